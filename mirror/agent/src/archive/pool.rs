//! Partitions side by side, a bounded number at a time.

use super::{PARALLEL_MAX, ProgressListener};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

/// How far a backup or restore has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes done.
    pub bytes_done: u64,
    /// Bytes to do, as far as known.
    pub bytes_total: u64,
    /// Partitions done.
    pub partitions_done: u64,
    /// Partitions to do.
    pub partitions_total: u64,
}

/// Where workers tell how far they are.
#[derive(Clone)]
pub(super) struct Tracker(Arc<watch::Sender<Progress>>, Arc<Overlap>);

/// How many partitions are being worked on, and the most there ever were.
#[derive(Default)]
struct Overlap {
    now: AtomicU64,
    most: AtomicU64,
}

impl Overlap {
    /// Counts `work` from when it first runs until it ends.
    async fn count<T>(&self, work: impl Future<Output = T>) -> T {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        let done = work.await;
        self.now.fetch_sub(1, Ordering::Relaxed);
        done
    }
}

impl Tracker {
    pub(super) fn new(partitions_total: usize, bytes_total: u64) -> Self {
        let partitions_total = partitions_total as u64;
        Self(
            Arc::new(watch::Sender::new(Progress { bytes_total, partitions_total, ..Progress::default() })),
            Arc::default(),
        )
    }

    /// How many partitions were being worked on at one moment, at most.
    pub(super) fn at_once(&self) -> u64 {
        self.1.most.load(Ordering::Relaxed)
    }

    pub(super) fn add_bytes(&self, bytes: u64) {
        self.0.send_modify(|progress| {
            progress.bytes_done += bytes;
            progress.bytes_total = progress.bytes_total.max(progress.bytes_done);
        });
    }

    fn add_partition(&self) {
        self.0.send_modify(|progress| progress.partitions_done += 1);
    }
}

/// Starts `work` on what `next` gives, `width` at a time; the first failure ends everything. Dropping it does, too.
pub(super) async fn run<T, R, E, W>(
    width: usize,
    tracker: &Tracker,
    listener: ProgressListener<'_>,
    mut next: impl FnMut() -> Option<T>,
    work: impl Fn(T) -> W,
) -> Result<Vec<R>, E>
where
    R: Send + 'static,
    E: Send + 'static,
    W: Future<Output = Result<R, E>> + Send + 'static,
{
    let (mut tasks, mut done, mut told) = (JoinSet::new(), Vec::new(), tracker.0.subscribe());
    told.mark_changed();
    loop {
        while tasks.len() < width.clamp(1, PARALLEL_MAX)
            && let Some(item) = next()
        {
            let (work, overlap) = (work(item), tracker.1.clone());
            tasks.spawn(async move { overlap.count(work).await });
        }
        tokio::select! {
            joined = tasks.join_next() => match joined {
                Some(result) => done.push(finished(result)?),
                None => break,
            },
            Ok(()) = told.changed() => {
                listener(*told.borrow_and_update());
                continue;
            }
        }
        tracker.add_partition();
    }
    listener(*told.borrow_and_update());
    Ok(done)
}

/// What a task ended with; its panic goes on here.
pub(super) fn finished<T>(result: Result<T, JoinError>) -> T {
    result.unwrap_or_else(|error| resume_unwind(error.into_panic()))
}

/// Runs what keeps a processor busy beside everything else.
pub(super) async fn compute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    finished(tokio::task::spawn_blocking(work).await)
}
