use model::{Offset, ProducerId};
use std::collections::BTreeMap;

/// A transaction that has neither been committed nor aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenTransaction {
    /// Who began it.
    pub producer_id: ProducerId,
    /// Under which epoch.
    pub producer_epoch: i16,
    /// Its first record.
    pub first_offset: Offset,
}

/// The transactions that hold back the last stable offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Transactions {
    /// Not ended yet, by first offset.
    open: BTreeMap<Offset, ProducerId>,
    /// Ended, but the marker may not be committed: first offset to marker.
    ended: BTreeMap<Offset, Offset>,
}

impl Transactions {
    pub(crate) fn begin(&mut self, first: Offset, producer: ProducerId) {
        self.open.insert(first, producer);
    }

    /// The marker at `last` ends the transaction that began at `first`. Gives the last stable offset behind it, as
    /// far as open transactions go: what Kafka's index of aborted transactions keeps.
    pub(crate) fn end(&mut self, first: Offset, last: Offset) -> Offset {
        self.open.remove(&first);
        self.ended.insert(first, last);
        self.open.keys().next().copied().unwrap_or(last.plus(1))
    }

    /// Below it every transaction is decided, and the decision is below `high_watermark`.
    pub(crate) fn last_stable(&self, high_watermark: Offset) -> Offset {
        let undecided = self.open.keys().next().copied();
        let uncommitted = self.ended.iter().find(|(_, marker)| **marker >= high_watermark).map(|(first, _)| *first);
        [undecided, uncommitted].into_iter().flatten().fold(high_watermark, Offset::min)
    }

    /// Forgets what is committed; the watermark does not go back below `high_watermark` any more.
    pub(crate) fn forget_stable(&mut self, high_watermark: Offset) {
        self.ended.retain(|_, marker| *marker >= high_watermark);
    }

    pub(crate) fn open(&self) -> impl Iterator<Item = (Offset, ProducerId)> + '_ {
        self.open.iter().map(|(first, producer)| (*first, *producer))
    }

    pub(crate) fn ended(&self) -> impl ExactSizeIterator<Item = (Offset, Offset)> + '_ {
        self.ended.iter().map(|(first, last)| (*first, *last))
    }

    pub(crate) fn restore_ended(&mut self, first: Offset, last: Offset) {
        self.ended.insert(first, last);
    }
}
