//! Logs of real batches in memory.

use bytes::Bytes;
use mirror_core::EpochList;
use model::{LeaderEpoch, Offset, OffsetRange, Timestamp};
use record::{BatchBuilder, BatchView, Batches};

pub(crate) fn range(batch: &Bytes) -> OffsetRange {
    let view = BatchView::parse(batch).unwrap();
    OffsetRange::new(view.base_offset, view.next_offset())
}

/// A batch of `records` records at `base`; what they say depends on where they are and on `seed`.
pub(crate) fn batch(base: i64, records: i64, epoch: i32, seed: u64) -> Bytes {
    let mut builder = BatchBuilder::new().base_offset(Offset(base)).leader_epoch(LeaderEpoch(epoch));
    for n in 0..records {
        let value = format!("{seed}-{epoch}-{}", base + n).repeat(3);
        builder.push(Timestamp(1_000 + base % 1_000_000 + n), None, Some(value.as_bytes()), &[]);
    }
    builder.build().into()
}

/// One log: whole batches in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryLog {
    pub(crate) start: Offset,
    /// Where it ends when there is no batch.
    pub(crate) empty_at: Offset,
    pub(crate) batches: Vec<Bytes>,
}

impl PartialEq for MemoryLog {
    fn eq(&self, other: &Self) -> bool {
        (self.start, self.tail(), &self.batches) == (other.start, other.tail(), &other.batches)
    }
}

impl MemoryLog {
    pub(crate) fn empty_at(at: i64) -> Self {
        Self { start: Offset(at), empty_at: Offset(at), batches: Vec::new() }
    }

    pub(crate) fn tail(&self) -> Offset {
        self.batches.last().map_or(self.empty_at, |batch| range(batch).end)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.batches.concat()
    }

    pub(crate) fn append(&mut self, batches: &Bytes) {
        let mut whole = Batches::new(batches);
        let mut at = 0;
        while let Some(batch) = whole.next() {
            let batch = batch.unwrap();
            batch.verify().unwrap();
            assert!(batch.base_offset >= self.tail(), "{} behind {}", batch.base_offset, self.tail());
            self.batches.push(batches.slice(at..whole.position()));
            at = whole.position();
        }
        assert_eq!(at, batches.len(), "whole batches");
    }

    /// About `bytes_max` of whole batches from the one that holds `from` on, up to `until`.
    pub(crate) fn read(&self, from: Offset, until: Offset, bytes_max: usize) -> Bytes {
        let mut out = Vec::new();
        for batch in self.batches.iter().filter(|batch| range(batch).end > from && range(batch).end <= until) {
            if !out.is_empty() && out.len() + batch.len() > bytes_max {
                break;
            }
            out.extend_from_slice(batch);
        }
        out.into()
    }

    pub(crate) fn restart(&mut self, at: Offset) {
        *self = Self::empty_at(at.0);
    }

    /// Cuts off what lies at or above `to`, with the batch over it as a whole.
    pub(crate) fn truncate(&mut self, to: Offset) -> Vec<Bytes> {
        let kept = self.batches.iter().take_while(|batch| range(batch).end <= to).count();
        let cut = self.batches.split_off(kept);
        if self.batches.is_empty() {
            self.empty_at = cut.first().map_or(self.empty_at, |batch| range(batch).start);
            self.start = self.start.min(self.empty_at);
        }
        cut
    }

    pub(crate) fn raise_start(&mut self, to: Offset) {
        let tail = self.tail();
        self.start.advance(to);
        self.batches.retain(|batch| range(batch).end > to);
        if self.batches.is_empty() {
            self.empty_at = tail;
        }
    }

    pub(crate) fn epochs(&self) -> EpochList {
        let mut epochs = EpochList::default();
        let mut tail = self.batches.first().map_or(self.start, |batch| range(batch).start);
        for batch in &self.batches {
            let view = BatchView::parse(batch).unwrap();
            epochs.note(view.leader_epoch, tail, view.base_offset);
            tail = view.next_offset();
        }
        epochs
    }
}
