use crate::EpochList;
use model::{Baseline, LeaderEpoch, Offset, OffsetRange};
use std::collections::VecDeque;

/// What a copy's log holds when its window begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogState {
    /// The first offset kept.
    pub start: Offset,
    /// The next offset.
    pub tail: Offset,
    /// Everything below is on disk in the whole in-sync set.
    pub flushed: Offset,
    /// What readers were shown.
    pub high_watermark: Offset,
    /// The leader epochs of its batches.
    pub epochs: EpochList,
    /// What it does not hold although nothing in it says so.
    pub baseline: Baseline,
}

/// The copy's log as it will be when every command so far is done.
#[derive(Clone, Debug)]
pub(super) struct CopyLog {
    start: Offset,
    tail: Offset,
    flushed: Offset,
    epochs: EpochList,
    baseline: Baseline,
    /// Where each append that is not yet on disk ends, and its bytes.
    unflushed: VecDeque<(Offset, u64)>,
    unflushed_bytes: u64,
}

impl CopyLog {
    pub(super) fn new(state: LogState) -> Self {
        let LogState { start, tail, flushed, epochs, baseline, .. } = state;
        assert!(start <= tail && flushed <= tail, "a log from {start} to {tail}, on disk up to {flushed}");
        Self { start, tail, flushed, epochs, baseline, unflushed: VecDeque::new(), unflushed_bytes: 0 }
    }

    pub(super) const fn start(&self) -> Offset {
        self.start
    }

    pub(super) const fn tail(&self) -> Offset {
        self.tail
    }

    pub(super) const fn flushed(&self) -> Offset {
        self.flushed
    }

    pub(super) const fn epochs(&self) -> &EpochList {
        &self.epochs
    }

    pub(super) const fn baseline(&self) -> Baseline {
        self.baseline
    }

    pub(super) const fn set_baseline(&mut self, baseline: Baseline) {
        self.baseline = baseline;
    }

    /// What it holds.
    pub(super) const fn held(&self) -> OffsetRange {
        OffsetRange::new(self.start, self.tail)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.tail
    }

    pub(super) fn last_epoch(&self) -> LeaderEpoch {
        self.epochs.last_epoch()
    }

    pub(super) const fn unflushed_bytes(&self) -> u64 {
        self.unflushed_bytes
    }

    /// Where this log and one that ends `epoch` at `end` part: never above the tail, never below the start.
    pub(super) fn common_end(&self, epoch: LeaderEpoch, end: Offset) -> Offset {
        let own = self.epochs.end_of(epoch, self.tail);
        // An epoch the source has and this log has not ends here where the one below it ends.
        own.map_or(self.start, |(found, own)| if found == epoch { own.min(end) } else { own })
            .clamp(self.start, self.tail)
    }

    /// Takes note of a batch over `[base, tail)`. An epoch that begins with it starts at `start`.
    pub(super) fn append(&mut self, epoch: LeaderEpoch, start: Offset, batch: OffsetRange, bytes: u64) {
        assert!(start <= batch.start && self.tail < batch.end, "a batch over {batch} behind {}", self.tail);
        self.epochs.note(epoch, start, batch.start);
        self.tail = batch.end;
        self.unflushed.push_back((self.tail, bytes));
        self.unflushed_bytes += bytes;
    }

    pub(super) fn flush(&mut self, to: Offset) {
        self.flushed.advance(to.min(self.tail));
        while let Some((_, bytes)) = self.unflushed.pop_front_if(|(end, _)| *end <= self.flushed) {
            self.unflushed_bytes -= bytes;
        }
    }

    /// Cuts off what lies at or above `to`. Below the log start lies at most the rest of the batch that start is in.
    pub(super) fn truncate(&mut self, to: Offset) {
        self.tail = self.tail.min(to);
        self.start = self.start.min(self.tail);
        self.flushed = self.flushed.min(self.tail);
        self.epochs.truncate(self.tail);
        self.baseline = self.baseline.cut(self.tail);
        self.forget_unflushed();
    }

    /// Drops everything. A log that was empty has begun to be what is said of it.
    pub(super) fn restart(&mut self, at: Offset) {
        if !self.is_empty() {
            self.baseline = self.baseline.cleared();
        }
        (self.start, self.tail, self.flushed) = (at, at, at);
        self.epochs.clear();
        self.forget_unflushed();
    }

    fn forget_unflushed(&mut self) {
        self.unflushed.retain(|(end, _)| *end <= self.tail && *end > self.flushed);
        self.unflushed_bytes = self.unflushed.iter().map(|(_, bytes)| bytes).sum();
    }

    pub(super) fn raise_start(&mut self, to: Offset) {
        self.start.advance(to.min(self.tail));
        self.epochs.raise_start(self.start);
    }
}
