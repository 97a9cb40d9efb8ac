//! A partition that every region takes writes for.
//!
//! ```text
//!   append  --write--> run --.
//!   a link  --take---> run ---+--> unwritten --flush--> story (side file), then the log: nothing is seen before its story
//!              '--> repeats --'
//!                      conflicts --once flushed--> __farshore_conflicts
//! ```
//!
//! What conflicts with what and which record stands is decided by [`mirror_core::active`]. Here it is given the keys of
//! records, and what it decides is done under the same lock as the append. The story of a batch goes to its file before
//! the batch is flushed, so whatever is shown to anybody has one; after a crash [`recovery`] says what of the two belongs
//! together. Only what lies above the settled mark, in a file of its own, is then looked at again.

mod keys;
mod settled;
mod story;
mod take;
mod tell;

pub(super) use keys::BadRecords;
pub(crate) use take::Selected;
pub(super) use take::TakeError;
pub(crate) use tell::{Disputed, SettleError};

use super::{Closed, Held, Partition};
use keys::KeyedBatch;
use log::{AppendError, Appended, ReadError, TruncateError};
use mirror_core::active::{
    self, Conflict, Defect, KeyedRecord, MarkBounds, Policy, Provenance, Reading, Recovery, Run, Settling, SideFile,
    SideIdentity, Vector, recovery,
};
use model::{ActiveActive, ByteCount, ConflictPolicy, Incarnation, LeaderEpoch, Offset};
use record::{BatchBuilder, CheckedBatch, ProduceRules, Record};
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::atomic::Ordering;
pub(super) use story::Story;

/// How much of a log is read at once when it is replayed.
const REPLAY_BYTES: ByteCount = ByteCount::mib(1);
/// How much one batch of repeated records has, about.
const REPEATS_BYTES: usize = 1 << 18;

/// How a region takes part in an active-active group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// This region.
    pub(crate) own: Incarnation,
    /// All of them.
    pub(crate) all: ActiveActive,
}

impl Part {
    fn settings(&self) -> active::Settings {
        let regions = self.all.regions.iter().map(|known| known.incarnation).collect();
        active::Settings::new(regions, self.policy())
    }

    fn policy(&self) -> Policy {
        match &self.all.policy {
            ConflictPolicy::LastWriterWins => Policy::LastWriterWins,
            ConflictPolicy::RegionPriority { order } => {
                let order = order.iter().filter_map(|region| self.all.incarnation_of(region));
                Policy::RegionPriority { order: order.collect() }
            }
            ConflictPolicy::KeepBoth => Policy::KeepBoth,
            ConflictPolicy::Quarantine => Policy::Quarantine,
        }
    }
}

/// What is known of the records of such a partition.
pub(super) struct Active {
    part: Part,
    partition: active::Partition,
    file: SideFile,
    /// What goes to the side file before the log is flushed next.
    unwritten: Vec<u8>,
    /// Conflicts that were not told yet.
    found: VecDeque<Found>,
    /// What links brought.
    pub(super) brought: Brought,
    /// Regions whose clocks are out of bounds.
    drifting: BTreeSet<Incarnation>,
    /// From where its records are looked at after a restart.
    settling: Settling,
    /// How many records were looked at when it was opened.
    replayed: u64,
}

/// A conflict to be told of.
struct Found {
    /// What must be flushed before: a crash may still take one of the two records.
    behind: Offset,
    conflict: Conflict,
    /// It was found when the log was looked at once more, and may have been told of before.
    again: bool,
}

/// What links brought since the broker started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Brought {
    /// How many records were taken.
    pub(crate) records: u64,
    /// How many bytes of batches came, whether they were taken or not.
    pub(crate) bytes: u64,
    /// How many bytes of them were taken.
    pub(crate) bytes_taken: u64,
    /// How many records were repeated, so that the standing one is the last of its key.
    pub(crate) repeats: u64,
}

/// Why a partition does not take part.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ActiveError {
    /// The log was closed or deleted.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// The side file cannot be read or written.
    #[error("the story of its records: {0}")]
    File(#[from] io::Error),
    /// The side file is none of this partition.
    #[error("the story of its records is of no use: {0}")]
    Defect(#[from] Defect),
    /// What was shown to others has no story any more.
    #[error(
        "its records up to {visible} were shown to others and the story of those from {story} on is lost; remove the log's \
         directory, and what the other regions have comes back"
    )]
    Rebuild {
        /// Where the story ends.
        story: Offset,
        /// What was shown.
        visible: Offset,
    },
    /// It has records of a time when no other region took writes.
    #[error("it has records up to {0} and no story of them")]
    NoStory(Offset),
    /// The log could not be cut.
    #[error(transparent)]
    Truncate(#[from] TruncateError),
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A record cannot be decoded.
    #[error(transparent)]
    Records(#[from] BadRecords),
    /// What was repeated could not be appended.
    #[error(transparent)]
    Append(#[from] AppendError),
}

impl Active {
    fn note_run(&mut self, run: &Run) {
        let frame = self.file.run(run);
        self.unwritten.extend(frame);
    }

    fn note_conflicts(&mut self, conflicts: Vec<Conflict>, again: bool) {
        let behind = self.partition.log().tail();
        self.found.extend(conflicts.into_iter().map(|conflict| Found { behind, conflict, again }));
    }

    /// Takes note of a client's batch that was appended.
    pub(super) fn wrote(&mut self, reading: Reading, epoch: LeaderEpoch, appended: &Appended, keys: &[KeyedRecord]) {
        let count = u32::try_from(appended.next_offset.since(appended.first_offset)).expect("a batch's count fits");
        let run = self.partition.write(reading, epoch, count, keys);
        assert_eq!(run.local, appended.first_offset, "the story of the log ends where the log does");
        self.note_run(&run);
    }

    /// What goes to the side file before the log is flushed.
    pub(super) fn take_unwritten(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.unwritten)
    }

    /// Whether there are conflicts to tell of records that are flushed.
    pub(super) fn has_news(&self, flushed: Offset) -> bool {
        self.found.front().is_some_and(|found| found.behind <= flushed)
    }
}

impl Partition {
    /// Whether this broker leads it for a group that every region takes writes for.
    pub(crate) fn is_active(&self) -> bool {
        self.is_active.load(Ordering::SeqCst)
    }

    /// What the region's clocks show.
    pub(super) fn reading(&self) -> Reading {
        Reading { wall: self.storage.clock.now(), boot: self.boot() }
    }

    /// Makes it take part, before anything is written under a leadership: reads the story of its records, brings log and
    /// story together, and looks at every record that may still be in conflict. Doing it again changes nothing.
    pub(super) fn open_active(
        &self,
        held: &mut Held,
        story: &mut Option<Story>,
        part: &Part,
    ) -> Result<(), ActiveError> {
        match &mut held.active {
            Some(known) if known.part == *part => return Ok(()),
            Some(known) => {
                let log = known.partition.log().clone();
                (known.part, known.partition) = (part.clone(), active::Partition::new(part.settings(), log));
            }
            None => {
                let (provenance, file) = self.recover_story(held, story, part.own)?;
                let partition = active::Partition::new(part.settings(), provenance);
                held.active = Some(Active {
                    part: part.clone(),
                    partition,
                    file,
                    unwritten: Vec::new(),
                    found: VecDeque::new(),
                    brought: Brought::default(),
                    drifting: BTreeSet::new(),
                    settling: Settling::default(),
                    replayed: 0,
                });
            }
        }
        self.replay(held)?;
        // A producer that a gateway sent to another region meanwhile went on counting there.
        held.log.as_mut().ok_or(Closed)?.let_producers_roam();
        self.is_active.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn bounds(&self, part: &Part) -> MarkBounds {
        MarkBounds { identity: self.identity(part.own), regions: part.settings().regions }
    }

    /// Keeps the mark below which nothing has to be looked at after a restart, if it has moved on. It may block.
    ///
    /// # Errors
    /// What the system says; an old mark is as good, but for the time a restart takes.
    pub(crate) fn note_settled(&self) -> io::Result<()> {
        // Whoever closes the log or begins its story anew waits.
        let _story = self.story();
        let (dir, bounds, mark) = {
            let mut held = self.held();
            let Held { log: Some(log), active: Some(active), .. } = &mut *held else { return Ok(()) };
            let Active { partition, settling, found, part, .. } = active;
            let untold = || found.iter().map(|found| &found.conflict);
            let mark = settling.step(log.flushed(), log.tail(), || partition.settled_below(untold()));
            let Some(mark) = mark else { return Ok(()) };
            (log.dir().to_owned(), self.bounds(part), mark)
        };
        settled::write(&bounds, &dir, mark)
    }

    fn identity(&self, own: Incarnation) -> SideIdentity {
        SideIdentity { topic: self.topic_id, partition: self.name.partition, own }
    }

    /// Brings the log and the story of its records together.
    fn recover_story(
        &self,
        held: &mut Held,
        story: &mut Option<Story>,
        own: Incarnation,
    ) -> Result<(Provenance, SideFile), ActiveError> {
        let log = held.log.as_mut().ok_or(Closed)?;
        let identity = self.identity(own);
        let Some(bytes) = Story::bytes(log.dir())? else {
            let first = active::first_offset(own);
            if log.start() < log.tail() || ![Offset::ZERO, first].contains(&log.tail()) {
                return Err(ActiveError::NoStory(log.tail()));
            }
            self.cut_proven(Offset::ZERO, || log.restart_at(first).map(|()| Offset::ZERO))?;
            let empty = Provenance::new(own, first, Vector::default());
            *story = Some(Story::begin(log.dir(), &SideFile::header(&identity, &empty))?);
            return Ok((empty, SideFile::default()));
        };
        let (mut known, whole, mut file) = SideFile::read(&identity, &bytes)?;
        let visible = held.core.high_watermark();
        match recovery(log.tail(), visible, known.tail()) {
            Recovery::Whole | Recovery::CutStory { .. } => {}
            Recovery::CutLog { to } => drop(self.cut_proven(to, || log.truncate_to(to))?),
            Recovery::Rebuild { story, visible } => return Err(ActiveError::Rebuild { story, visible }),
        }
        if known.tail() == log.tail() {
            *story = Some(Story::go_on(log.dir(), whole)?);
            return Ok((known, file));
        }
        known.truncate(log.tail());
        file = SideFile::default();
        let mut bytes = SideFile::header(&identity, &known);
        known.runs().for_each(|run| bytes.extend(file.run(run)));
        *story = Some(Story::begin(log.dir(), &bytes)?);
        Ok((known, file))
    }

    /// Looks once more at all records that may still be in conflict. What conflicts was told before, or is told now.
    fn replay(&self, held: &mut Held) -> Result<(), ActiveError> {
        let (log, active) = (held.log.as_ref().ok_or(Closed)?, held.active.as_mut().expect("it was just opened"));
        let tail = log.tail();
        let mark = settled::read(&self.bounds(&active.part), log.dir(), log.start(), tail)?;
        (active.settling, active.replayed) = (Settling::from(mark), tail.since(mark));
        let mut from = mark;
        while from < tail {
            let slice = self.reader.read(from, tail, REPLAY_BYTES, true)?;
            let Some(slice) = slice else { break };
            // A batch may begin below the mark.
            let keys = keys::keys_of(&slice.to_bytes()?)?.into_iter().filter(|(offset, _)| *offset >= mark);
            for (offset, key) in keys {
                let conflicts = active.partition.replay(offset, &key);
                active.note_conflicts(conflicts, true);
            }
            from = slice.next_offset;
        }
        Ok(())
    }

    /// Appends once more what stands and is not the last of its key. What cannot be appended fails the log.
    pub(super) fn repeat_standing(&self, held: &mut Held, epoch: LeaderEpoch) -> Result<(), ActiveError> {
        let Held { log: Some(log), active: Some(active), .. } = held else { return Ok(()) };
        let due = active.partition.repeats();
        let mut left = due.as_slice();
        while !left.is_empty() {
            let mut builder = BatchBuilder::new();
            for repeat in left {
                if builder.plain_bytes() >= REPEATS_BYTES {
                    break;
                }
                push(&mut builder, &self.record_at(repeat.place)?);
            }
            let taken = usize::try_from(builder.count()).unwrap_or(0);
            log.append(&own_batch(builder)?, epoch, self.storage.clock.now())?;
            left[..taken].iter().for_each(|repeat| active.note_run(&repeat.run));
            active.brought.repeats += taken as u64;
            left = &left[taken..];
        }
        Ok(())
    }

    /// The record at `offset`, flushed or not.
    fn record_at(&self, offset: Offset) -> Result<Record, ActiveError> {
        let slice = self.reader.read(offset, self.reader.tail(), ByteCount(1), true)?;
        let bytes = slice.ok_or(ReadError::Truncated)?.to_bytes()?;
        Ok(keys::record_at(&bytes, offset)?)
    }
}

fn push(builder: &mut BatchBuilder, record: &Record) {
    let headers: Vec<_> = record.headers.iter().map(|header| (&*header.key, header.value.as_deref())).collect();
    builder.push_raw(record.timestamp, record.key.as_deref(), record.value.as_deref(), &headers);
}

/// A batch that this broker writes itself, of records that were in the log before.
fn own_batch(builder: BatchBuilder) -> Result<CheckedBatch, BadRecords> {
    CheckedBatch::check(builder.build().into(), &ProduceRules::BROKER).map_err(BadRecords::from)
}

/// What is looked at of a client's batch before it is appended.
pub(super) fn keyed(batch: &CheckedBatch) -> Result<Vec<KeyedRecord>, BadRecords> {
    KeyedBatch::of(&batch.view()).map(|keyed| keyed.keys)
}
