//! Group commit: a few threads flush the partitions that have something to flush.
//!
//! ```text
//!   appends -> request --> queue --> thread: job = log.flush_job(); job.run(); log.flushed_to(..); bell
//!   appends meanwhile ------------------------------------------------------> again
//! ```
//!
//! A partition is flushed by one thread at a time, so that everything appended during a flush shares the next one.

use super::Partition;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// A disk takes several flushes at once and, on a journaling file system, commits them together.
const THREADS: usize = 4;

/// Where a partition is on its way through the flusher.
#[derive(Default)]
pub(crate) struct Phase(AtomicU8);

const IDLE: u8 = 0;
const QUEUED: u8 = 1;
const RUNNING: u8 = 2;
const AGAIN: u8 = 3;

impl Phase {
    /// Notes a request; whether the partition has to be queued for it.
    fn request(&self) -> bool {
        let next = |phase| match phase {
            IDLE => Some(QUEUED),
            RUNNING => Some(AGAIN),
            _ => None,
        };
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next) == Ok(IDLE)
    }

    fn begin(&self) {
        self.0.store(RUNNING, Ordering::SeqCst);
    }

    /// Ends a run; whether the partition has to be queued again.
    fn end(&self) -> bool {
        let next = |phase| Some(if phase == AGAIN { QUEUED } else { IDLE });
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next) == Ok(AGAIN)
    }
}

#[derive(Default)]
struct Queue {
    partitions: VecDeque<Arc<Partition>>,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, partition: Arc<Partition>) {
        self.queue().partitions.push_back(partition);
        self.filled.notify_one();
    }

    /// The next partition; `None` when the flusher is closed and nothing is left.
    fn take(&self) -> Option<Arc<Partition>> {
        let empty = |queue: &mut Queue| queue.partitions.is_empty() && !queue.closed;
        let mut queue = self.filled.wait_while(self.queue(), empty).unwrap_or_else(PoisonError::into_inner);
        queue.partitions.pop_front()
    }
}

/// The threads that flush.
pub(crate) struct Flusher {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Flusher {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let start = |number| {
            let shared = shared.clone();
            thread::Builder::new().name(format!("flush-{number}")).spawn(move || work(&shared))
        };
        let threads = (0..THREADS).map(start).collect::<io::Result<_>>()?;
        Ok(Self { shared, threads: Mutex::new(threads) })
    }

    /// Has `partition` flushed, soon and at least once from now on.
    pub(crate) fn request(&self, partition: &Arc<Partition>) {
        if partition.flushing.request() {
            self.shared.put(partition.clone());
        }
    }

    /// Flushes what was requested and ends the threads.
    pub(crate) fn close(&self) {
        self.shared.queue().closed = true;
        self.shared.filled.notify_all();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        // The last partition may be dropped by one of the threads, which cannot wait for itself.
        let others = threads.into_iter().filter(|thread| thread.thread().id() != thread::current().id());
        for thread in others {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.close();
    }
}

fn work(shared: &Shared) {
    while let Some(partition) = shared.take() {
        partition.flushing.begin();
        partition.flush();
        if partition.flushing.end() {
            shared.put(partition);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_during_a_run_asks_for_one_more() {
        let phase = Phase::default();
        assert!(phase.request());
        assert!(!phase.request(), "it is queued already");
        phase.begin();
        assert!(!phase.request());
        assert!(!phase.request());
        assert!(phase.end(), "what came during the run needs another one");
        phase.begin();
        assert!(!phase.end());
        assert!(phase.request());
    }
}
