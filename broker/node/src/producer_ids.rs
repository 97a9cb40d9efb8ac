//! Ids for idempotent producers, in blocks that the region's metadata sets aside.

use env::PortFuture;
use model::ProducerId;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Who sets blocks of producer ids aside, durably: no id is ever given out twice.
pub(crate) trait ProducerIdBlocks: Send + Sync + 'static {
    /// The next block: its first id and how many there are.
    fn reserve(&self) -> PortFuture<'_, Result<(ProducerId, i64), Unavailable>>;
}

/// No block could be set aside; the client asks again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no producer ids can be given out: {0}")]
pub(crate) struct Unavailable(pub(crate) String);

/// The ids this broker has left.
#[derive(Default)]
pub(crate) struct ProducerIds {
    blocks: OnceLock<Arc<dyn ProducerIdBlocks>>,
    left: Mutex<VecDeque<Range<i64>>>,
}

impl ProducerIds {
    /// Takes blocks from `blocks` from now on. The first one stays.
    pub(crate) fn take_from(&self, blocks: Arc<dyn ProducerIdBlocks>) {
        let _ = self.blocks.set(blocks);
    }

    /// An id nobody has.
    ///
    /// # Errors
    /// [`Unavailable`], for now.
    pub(crate) async fn next(&self) -> Result<ProducerId, Unavailable> {
        if let Some(id) = self.next_left() {
            return Ok(id);
        }
        let blocks = self.blocks.get().ok_or_else(|| Unavailable("the broker is starting".into()))?;
        let (first, count) = blocks.reserve().await?;
        self.left().push_back(first.0..first.0 + count);
        self.next_left().ok_or_else(|| Unavailable("the block was used up at once; ask again".into()))
    }

    fn next_left(&self) -> Option<ProducerId> {
        let mut left = self.left();
        while let Some(block) = left.front_mut() {
            match block.next() {
                Some(id) => return Some(ProducerId(id)),
                None => left.pop_front(),
            };
        }
        None
    }

    fn left(&self) -> MutexGuard<'_, VecDeque<Range<i64>>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering};

    struct Tens(AtomicI64);

    impl ProducerIdBlocks for Tens {
        fn reserve(&self) -> PortFuture<'_, Result<(ProducerId, i64), Unavailable>> {
            let first = self.0.fetch_add(10, Ordering::Relaxed);
            Box::pin(async move { Ok((ProducerId(first), 10)) })
        }
    }

    #[tokio::test]
    async fn ids_follow_each_other_over_blocks() {
        let ids = ProducerIds::default();
        assert!(ids.next().await.is_err());
        ids.take_from(Arc::new(Tens(AtomicI64::new(100))));
        for expected in 100..125 {
            assert_eq!(ids.next().await, Ok(ProducerId(expected)));
        }
    }
}
