//! What copies have on disk, said to a source that waits for it without waiting for the next fetch.
//!
//! ```text
//!   flushed p0, p1, p0 --newest of each--> one request, a few on their way at a time, answered at once
//! ```
//!
//! A word that is lost is said again by the next fetch.

use super::line::Line;
use crate::ports::{CopyKey, FetchPartition, FetchRequest};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tokio::task::AbortHandle;

/// How many requests are on their way: over a long line one would be answered before the next is sent.
const REQUESTS_MAX: usize = 4;

/// The words for one broker. Dropping it ends what it began.
#[derive(Debug)]
pub(super) struct Words {
    shared: Arc<Shared>,
    telling: AbortHandle,
}

#[derive(Debug, Default)]
struct Shared {
    newest: Mutex<BTreeMap<CopyKey, FetchPartition>>,
    told: Notify,
}

impl Drop for Words {
    fn drop(&mut self) {
        self.telling.abort();
    }
}

impl Words {
    pub(super) fn start(line: Arc<Line>) -> Self {
        let shared = Arc::new(Shared::default());
        let telling = tokio::spawn(tell(line, shared.clone())).abort_handle();
        Self { shared, telling }
    }

    pub(super) fn tell(&self, word: FetchPartition) {
        self.shared.newest().insert(word.key, word);
        self.shared.told.notify_one();
    }
}

impl Shared {
    fn newest(&self) -> MutexGuard<'_, BTreeMap<CopyKey, FetchPartition>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn tell(line: Arc<Line>, shared: Arc<Shared>) {
    let room = Arc::new(Semaphore::new(REQUESTS_MAX));
    loop {
        shared.told.notified().await;
        let permit = room.clone().acquire_owned().await.expect("it is never closed");
        let partitions: Vec<_> = std::mem::take(&mut *shared.newest()).into_values().collect();
        if partitions.is_empty() {
            continue;
        }
        let line = line.clone();
        tokio::spawn(async move {
            let word = FetchRequest { partitions, max_wait: Duration::ZERO, bytes_max: 0 };
            if let Err(error) = line.fetch(word).await {
                tracing::debug!(%error, "what copies have on disk was not heard");
            }
            drop(permit);
        });
    }
}
