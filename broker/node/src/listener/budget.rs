use model::ByteCount;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many bytes of requests may be in memory at once (Kafka's `queued.max.request.bytes`). Who wants more waits, and
/// with it its connection, until others are done.
#[derive(Debug)]
pub(crate) struct Budget(Arc<Semaphore>);

/// A share of the budget, given back when dropped.
pub(crate) type Share = OwnedSemaphorePermit;

const UNIT: u64 = 1024;

impl Budget {
    /// A budget of `total`, which must allow for the largest frame.
    pub(crate) fn new(total: ByteCount) -> Self {
        Self(Arc::new(Semaphore::new((total.0 / UNIT) as usize)))
    }

    /// Waits until `bytes` are free.
    pub(crate) async fn share(&self, bytes: usize) -> Share {
        let units = (bytes as u64).div_ceil(UNIT) as u32;
        self.0.clone().acquire_many_owned(units).await.expect("the budget is never closed")
    }
}
