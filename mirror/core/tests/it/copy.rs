//! A copy's log and the shell around its window: commands one after the other, a crash at any point.

use crate::source::{Batch, range};
use bytes::Bytes;
use mirror_core::EpochList;
use mirror_core::gap::Gaps;
use mirror_core::window::{Command, Event, Fetch, LogState, Partition, Settings};
use model::{ByteCount, CopyTerm, LeaderEpoch, Offset, OffsetRange, OwnershipEpoch, PartitionId, TopicId};
use record::{Batches, ControlRecord};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// What survives a crash, and what does not.
#[derive(Debug)]
pub(crate) struct Copy {
    pub(crate) window: Partition,
    pub(crate) batches: Vec<Batch>,
    pub(crate) start: Offset,
    flushed: Offset,
    pub(crate) high_watermark: Offset,
    epochs: EpochList,
    pub(crate) gaps: Gaps,
    archived: BTreeSet<Batch>,
    /// Commands that wait to be performed.
    queue: VecDeque<Command>,
    /// Those without an answer, and older ones.
    pub(crate) fetches: Vec<Fetch>,
    grant: OwnershipEpoch,
    term: CopyTerm,
    now: Duration,
    /// Offsets the copy jumped over without a batch that says so, each covered by a gap unless the copy was new.
    pub(crate) jumps: Vec<OffsetRange>,
}

pub(crate) fn settings() -> Settings {
    Settings {
        topic: TopicId(uuid::Uuid::from_u128(7)),
        partition: PartitionId(0),
        copy_term: CopyTerm(1),
        compacted: false,
        window: 1,
        shares_runs: true,
        unflushed_max: ByteCount(400),
        openings: Vec::new(),
    }
}

impl Copy {
    pub(crate) fn new() -> Self {
        Self {
            window: Partition::new(settings(), LogState::default()),
            batches: Vec::new(),
            start: Offset(0),
            flushed: Offset(0),
            high_watermark: Offset(0),
            epochs: EpochList::default(),
            gaps: Gaps::default(),
            archived: BTreeSet::new(),
            queue: VecDeque::new(),
            fetches: Vec::new(),
            grant: OwnershipEpoch(0),
            term: CopyTerm(1),
            now: Duration::ZERO,
            jumps: Vec::new(),
        }
    }

    pub(crate) fn tail(&self) -> Offset {
        self.batches.last().map_or(self.start, |batch| range(batch).end)
    }

    pub(crate) fn report(&mut self, event: Event) {
        self.now += Duration::from_millis(1);
        self.window.note_round_trip(Duration::from_millis(100));
        let commands = self.window.on_event(self.now, event);
        self.queue.extend(commands);
        assert!(self.window.high_watermark() >= self.high_watermark);
        assert!(self.window.copy_watermark() <= self.window.tail());
    }

    pub(crate) fn link_up(&mut self, grant: OwnershipEpoch) {
        self.grant = grant;
        self.report(Event::LinkUp { ownership_epoch: grant });
    }

    /// Performs the next command; false when there is none.
    pub(crate) fn perform(&mut self) -> bool {
        let Some(command) = self.queue.pop_front() else { return false };
        match command {
            Command::Fetch(fetch) => {
                assert!(
                    fetch.from <= self.tail() || !self.queue.is_empty(),
                    "{fetch:?} while the log ends at {}",
                    self.tail()
                );
                self.fetches.push(fetch);
            }
            Command::Append { records, range } => self.append(&records, range),
            Command::Cross { record, hole, .. } => self.cross(record, hole),
            Command::Archive { range: cut, .. } => {
                assert_eq!(cut.end, self.tail(), "the whole tail is archived");
                self.archived.extend(self.batches.iter().filter(|batch| range(batch).end > cut.start).cloned());
                self.report(Event::Archived { range: cut });
            }
            Command::Truncate { to } => self.truncate(to),
            Command::RecordGap(gap) => self.gaps.record(gap),
            Command::Inherit(baseline) => panic!("no source here is cleaned: {baseline:?}"),
            Command::Restart { at } => self.restart_log(at),
            Command::RaiseLogStart { to } => self.raise_start(to),
            Command::RaiseHighWatermark { to } => {
                assert!(to > self.high_watermark && to <= self.flushed.max(self.start));
                self.high_watermark = to;
            }
            Command::Report(fault) => panic!("a sound source is blamed: {fault}"),
            Command::Stop { reason } => panic!("stopped: {reason:?}"),
        }
        true
    }

    fn append(&mut self, records: &Bytes, expected: OffsetRange) {
        assert_eq!(expected.start, self.tail());
        for batch in Batches::new(records) {
            let batch = batch.unwrap();
            assert!(
                batch.base_offset == self.tail(),
                "no hole and nothing twice: {} at {}",
                batch.base_offset,
                self.tail()
            );
            self.epochs.note(batch.leader_epoch, self.tail(), batch.base_offset);
            self.batches.push(Bytes::copy_from_slice(batch.bytes()));
        }
        assert_eq!(expected.end, self.tail());
    }

    fn cross(&mut self, record: Bytes, hole: OffsetRange) {
        let batch = Batches::new(&record).next().unwrap().unwrap();
        assert_eq!(ControlRecord::of(&batch), Some(ControlRecord::LeaderChange));
        assert_eq!(hole, OffsetRange::new(self.tail(), batch.base_offset));
        self.epochs.note(batch.leader_epoch, self.tail(), batch.base_offset);
        self.batches.push(record.clone());
    }

    fn truncate(&mut self, to: Offset) {
        while let Some(last) = self.batches.pop_if(|batch| range(batch).end > to) {
            // A batch is never cut in two: it goes as a whole, also when the log start lies in it.
            self.start = self.start.min(range(&last).start);
            assert!(self.archived.contains(&last), "nothing is cut off that was not archived");
        }
        self.epochs.truncate(self.tail());
        self.flushed = self.flushed.min(self.tail());
        self.report(Event::Truncated { tail: self.tail() });
    }

    fn restart_log(&mut self, at: Offset) {
        assert!(at > self.tail() || self.batches.is_empty(), "nothing is dropped but for a gap");
        self.jumps.extend((at > self.tail()).then(|| OffsetRange::new(self.tail(), at)));
        self.batches.clear();
        self.epochs.clear();
        (self.start, self.flushed) = (at, at);
    }

    fn raise_start(&mut self, to: Offset) {
        assert!(to > self.start && to <= self.tail() && to <= self.high_watermark);
        self.start = to;
        self.batches.retain(|batch| range(batch).end > to);
        self.epochs.raise_start(to);
    }

    /// Everything is on disk. The shell has done all that followed from one event before it reports this one: else a log
    /// that is to begin again further down would be told of what had been on disk above.
    pub(crate) fn flush(&mut self) {
        while self.perform() {}
        self.flushed = self.tail();
        self.report(Event::Flushed { to: self.flushed });
    }

    /// The process dies and starts again; perhaps the machine did, and what was not flushed is gone.
    pub(crate) fn crash(&mut self, machine: bool) {
        self.queue.clear();
        self.fetches.clear();
        if machine {
            self.batches.retain(|batch| range(batch).end <= self.flushed);
            self.epochs.truncate(self.tail());
        }
        self.flushed = self.tail();
        let (start, tail, flushed) = (self.start, self.tail(), self.flushed);
        let (high_watermark, epochs) = (self.high_watermark, self.epochs.clone());
        self.term = self.term.next();
        let settings = Settings { copy_term: self.term, window: self.term.0, ..settings() };
        self.window =
            Partition::new(settings, LogState { start, tail, flushed, high_watermark, epochs, ..LogState::default() });
        let grant = self.grant;
        if grant > OwnershipEpoch(0) {
            self.link_up(grant);
        }
    }

    pub(crate) fn last_epoch(&self) -> LeaderEpoch {
        self.epochs.last_epoch()
    }

    pub(crate) fn epochs(&self) -> &EpochList {
        &self.epochs
    }
}
