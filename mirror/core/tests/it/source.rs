//! A source region's partition: what the owner of the moment holds.

use bytes::Bytes;
use mirror_core::window::{Answer, Body, Diverging, Fetch, Stream};
use mirror_core::{EpochList, EpochStart};
use model::{LeaderEpoch, Offset, OffsetRange, OwnershipEpoch, Timestamp, limits};
use record::{BatchBuilder, BatchView};

/// One batch of the model, as its bytes.
pub(crate) type Batch = Bytes;

pub(crate) fn range(batch: &Batch) -> OffsetRange {
    let view = BatchView::parse(batch).unwrap();
    OffsetRange::new(view.base_offset, view.next_offset())
}

#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) batches: Vec<Batch>,
    pub(crate) log_start: Offset,
    pub(crate) ownership: OwnershipEpoch,
    leadership: u32,
    epochs: Vec<EpochStart>,
    clock: i64,
    values: u64,
    /// How far a run of fetches was handed out; what a leader knows of it ends with its leadership.
    cursor: Option<(Stream, Offset)>,
    /// Whether it hands out runs, or answers each fetch by itself.
    pub(crate) shares_runs: bool,
}

impl Source {
    pub(crate) fn new() -> Self {
        Self {
            batches: Vec::new(),
            log_start: Offset(0),
            ownership: OwnershipEpoch(1),
            leadership: 0,
            epochs: Vec::new(),
            clock: 1_000_000,
            values: 0,
            cursor: None,
            shares_runs: true,
        }
    }

    pub(crate) fn tail(&self) -> Offset {
        self.batches.last().map_or(self.log_start, |batch| range(batch).end)
    }

    pub(crate) fn epoch(&self) -> LeaderEpoch {
        LeaderEpoch::of(self.ownership, self.leadership).unwrap()
    }

    pub(crate) fn epochs(&self) -> EpochList {
        EpochList::new(self.epochs.clone()).unwrap()
    }

    /// Every record has a value of its own: a record that stands twice anywhere shows.
    pub(crate) fn produce(&mut self, records: u8) {
        self.clock += 10;
        let mut builder = BatchBuilder::new().base_offset(self.tail()).leader_epoch(self.epoch());
        for _ in 0..=records % 5 {
            self.values += 1;
            builder.push(Timestamp(self.clock), None, Some(&self.values.to_be_bytes()), &[]);
        }
        self.append(self.tail(), builder.build());
    }

    fn append(&mut self, start: Offset, batch: Vec<u8>) {
        let batch = Bytes::from(batch);
        if self.epochs.last().is_none_or(|last| last.epoch < self.epoch()) {
            self.epochs.push(EpochStart { epoch: self.epoch(), start, base: range(&batch).start });
        }
        self.batches.push(batch);
    }

    fn begin_epoch(&mut self, start: Offset, base: Offset) {
        self.cursor = None;
        let batch = record::leader_change(base, self.epoch(), 1, Timestamp(self.clock));
        self.append(start, batch);
    }

    /// The broker starts again.
    pub(crate) fn restart(&mut self) {
        self.leadership += 1;
        self.begin_epoch(self.tail(), self.tail());
    }

    /// The group moves in a planned way: nothing is left behind.
    pub(crate) fn switch(&mut self) {
        self.ownership = self.ownership.next();
        self.leadership = 0;
        self.begin_epoch(self.tail(), self.tail());
    }

    /// Another region takes over with the batches up to the `kept`-th and jumps over what may have been given out.
    pub(crate) fn fail_over(&mut self, kept: usize) {
        let seen = self.tail();
        self.batches.truncate(kept % (self.batches.len() + 1));
        let common_end = self.tail();
        self.epochs.retain(|entry| entry.start < common_end && entry.base < common_end);
        self.ownership = self.ownership.next();
        self.leadership = 0;
        self.begin_epoch(common_end, seen.plus(limits::PROMOTE_HOLE_OFFSETS));
    }

    /// Drops all but the last `kept` batches, and of the first of those its records up to the `within`-th.
    pub(crate) fn purge(&mut self, kept: usize, within: i64) {
        let dropped = self.batches.len().saturating_sub(kept % 4);
        let Some(last) = dropped.checked_sub(1) else { return };
        self.log_start = range(&self.batches[last]).end;
        self.batches.drain(..dropped);
        if let Some(first) = self.batches.first().map(range).filter(|first| first.start == self.log_start) {
            self.log_start = self.log_start.plus(within % first.len() as i64);
        }
        let kept = self.epochs.partition_point(|entry| entry.start <= self.log_start).saturating_sub(1);
        self.epochs.drain(..kept);
    }

    pub(crate) fn answer(&mut self, fetch: &Fetch, batches_max: usize) -> Answer {
        let from = self.cursor_of(fetch);
        let body = self.body(fetch, from, batches_max);
        let mut end = from;
        if let Body::Records(records) = &body {
            end = record::Batches::new(records)
                .map(|batch| batch.unwrap().next_offset())
                .last()
                .unwrap_or(from)
                .max(from);
        }
        let stream = fetch.stream.filter(|_| self.shares_runs);
        if let (Some(stream), Body::Records(_)) = (stream, &body) {
            self.cursor = Some((stream, end));
        }
        Answer {
            source_time: Timestamp(self.clock),
            source_tail: self.tail(),
            high_watermark: self.tail(),
            log_start: self.log_start,
            leader_epoch: self.epoch(),
            ownership_epoch: self.ownership,
            oldest_unread: Timestamp::NONE,
            served: stream.map(|_| OffsetRange::new(from, end)),
            baseline: model::Baseline::default(),
            body,
        }
    }

    fn cursor_of(&self, fetch: &Fetch) -> Offset {
        let known = self.cursor.filter(|(stream, _)| self.shares_runs && fetch.stream == Some(*stream));
        known.map_or(fetch.from, |(_, next)| next)
    }

    fn body(&self, fetch: &Fetch, from: Offset, batches_max: usize) -> Body {
        if let Some(diverging) = self.diverging(fetch) {
            return Body::Diverging(diverging);
        }
        if from < self.log_start || from > self.tail() {
            return Body::OutOfRange;
        }
        let unread = self.batches.iter().filter(|batch| range(batch).end > from);
        Body::Records(unread.take(batches_max).flatten().copied().collect())
    }

    /// KIP-595: where the largest epoch up to the asked one ends, when the copy does not end within it.
    fn diverging(&self, fetch: &Fetch) -> Option<Diverging> {
        if fetch.last_epoch == LeaderEpoch::NONE {
            return None;
        }
        let end = self.epochs().end_of(fetch.last_epoch, self.tail());
        match end {
            Some((epoch, end)) if epoch == fetch.last_epoch && fetch.from <= end => None,
            Some((epoch, end)) => Some(Diverging { epoch, end }),
            // All epochs that are left are younger: retention took the rest; below the start nothing can be compared.
            None if fetch.from <= self.log_start => None,
            None => Some(Diverging { epoch: LeaderEpoch::NONE, end: self.log_start }),
        }
    }
}
