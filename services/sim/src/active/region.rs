use super::event::Flushed;
use super::guard::Guard;
use super::marker::Marker;
use super::oracle::{Records, Truth};
use super::settings::{SKEW_MAX, Settings, incarnation};
use crate::marker::Coverage;
use crate::random::Random;
use mirror_core::active::{
    self, Conflict, Dot, KeyedRecord, Partition, Portion, Provenance, Reading, Reason, Recovery, Run, SideFile,
    SideIdentity, Vector,
};
use model::{LeaderEpoch, Offset, OwnershipEpoch, PartitionId, Timestamp, TopicId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What stands at one offset of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    Record(usize),
    Repeat(usize),
    Control,
}

/// What a region keeps. What is behind the durable ends may be lost, in part or as a whole.
#[derive(Debug, Default)]
struct Disk {
    log: Vec<Stored>,
    side: Vec<u8>,
    /// Losers, in the order of the conflict topic; all of it is durable.
    conflicts: Vec<Dot>,
    durable: Durable,
}

#[derive(Clone, Copy, Debug, Default)]
struct Durable {
    log: usize,
    side: usize,
    mark: Offset,
}

/// A region that runs.
#[derive(Debug)]
struct Live {
    partition: Partition,
    file: SideFile,
    held: Records,
    /// What was found in conflict, and how many of these are in the conflict topic.
    found: Vec<Conflict>,
    told: usize,
}

impl Live {
    fn settled_below(&self, without: Option<Guard>) -> Offset {
        let untold = if without == Some(Guard::MarkUntold) { &[] } else { &self.found[self.told..] };
        self.partition.settled_below(untold)
    }
}

#[derive(Debug)]
pub(super) struct Region {
    slot: usize,
    settings: active::Settings,
    without: Option<Guard>,
    disk: Disk,
    live: Option<Live>,
    pub(super) life: u64,
    /// How wrong its clock is, in milliseconds.
    skew: i64,
    tick: i64,
    /// The records of its log when it crashed.
    held_before: Vec<usize>,
    /// Records of other regions that crashes took: they have to be carried again.
    pub(super) carried_and_lost: u64,
}

/// What must not be.
pub(super) type Checked<T = ()> = Result<T, (&'static str, String)>;

pub(super) fn key_bytes(key: u8) -> Arc<[u8]> {
    [key].as_slice().into()
}

impl Region {
    pub(super) fn new(slot: usize, settings: &Settings, without: Option<Guard>, random: &mut Random) -> Self {
        let regions = (0..settings.regions).map(incarnation).collect();
        let skew = random.between(0..2 * SKEW_MAX) as i64 - SKEW_MAX as i64;
        let mut region = Self {
            slot,
            settings: active::Settings::new(regions, settings.policy.clone()),
            without,
            disk: Disk::default(),
            live: None,
            life: 0,
            skew: if settings.tick > 1 { 0 } else { skew },
            tick: settings.tick,
            held_before: Vec::new(),
            carried_and_lost: 0,
        };
        let empty = Provenance::new(incarnation(slot), Offset::ZERO, Vector::default());
        region.disk.side = SideFile::header(&region.identity(), &empty);
        region.disk.durable.side = region.disk.side.len();
        region.begin(empty, SideFile::default());
        region
    }

    fn identity(&self) -> SideIdentity {
        SideIdentity { topic: TopicId::ZERO, partition: PartitionId(0), own: incarnation(self.slot) }
    }

    fn begin(&mut self, story: Provenance, file: SideFile) {
        let mut held = Records::default();
        let records =
            self.disk.log.iter().filter_map(|stored| if let Stored::Record(id) = stored { Some(*id) } else { None });
        records.for_each(|record| held.add(record));
        let partition = Partition::new(self.settings.clone(), story);
        self.live = Some(Live { partition, file, held, found: Vec::new(), told: 0 });
    }

    pub(super) const fn is_up(&self) -> bool {
        self.live.is_some()
    }

    fn live(&mut self) -> &mut Live {
        self.live.as_mut().expect("only regions that run are asked for anything")
    }

    pub(super) fn partition(&self) -> Option<&Partition> {
        self.live.as_ref().map(|live| &live.partition)
    }

    pub(super) fn note(&mut self, rows: &[active::Row]) {
        self.live().partition.note(rows);
    }

    pub(super) fn jump(&mut self, millis: i64) {
        self.skew += millis;
    }

    fn reading(&self, now: Duration) -> Reading {
        let wall = 1_700_000_000_000 + now.as_millis() as i64 + self.skew;
        Reading { wall: Timestamp(wall / self.tick * self.tick), boot: now }
    }

    fn epoch(&self) -> LeaderEpoch {
        LeaderEpoch::of(OwnershipEpoch(1), self.life as u32).expect("few restarts")
    }

    /// The offsets links may read below.
    pub(super) fn readable(&self) -> Offset {
        let all = self.without == Some(Guard::ReadDurable);
        Offset(if all { self.disk.log.len() } else { self.disk.durable.log } as i64)
    }

    pub(super) fn record_at(&self, local: Offset) -> Option<usize> {
        match self.disk.log.get(local.0 as usize)? {
            Stored::Record(record) | Stored::Repeat(record) => Some(*record),
            Stored::Control => None,
        }
    }

    fn append(&mut self, run: &Run, stored: &[Stored]) {
        let live = self.live.as_mut().expect("a region that runs appends");
        self.disk.side.extend(live.file.run(run));
        self.disk.log.extend(stored);
    }

    /// Takes a client's batch with these keys.
    pub(super) fn write(&mut self, now: Duration, keys: &[Option<u8>], truths: &mut Vec<Truth>) {
        let (reading, epoch) = (self.reading(now), self.epoch());
        let keyed: Vec<_> = keyed(keys.iter().copied());
        let live = self.live();
        let run = live.partition.write(reading, epoch, keys.len() as u32, &keyed);
        let mut stored = Vec::new();
        for (index, key) in keys.iter().enumerate() {
            let version = run.version_at(run.local.plus(index as i64)).expect("a written run holds its records");
            let (dot, time, held) = (version.dot, version.time, live.held.clone());
            live.held.add(truths.len());
            stored.push(Stored::Record(truths.len()));
            truths.push(Truth { dot, key: *key, time, held, acked: false, gone: false });
        }
        self.append(&run, &stored);
    }

    /// Takes one portion of an answer. Whether it went on.
    pub(super) fn take(
        &mut self,
        now: Duration,
        (portion, records): &(Portion, Vec<usize>),
        truths: &[Truth],
        coverage: &mut Coverage<Marker>,
    ) -> Checked<bool> {
        let reading = self.reading(now);
        let keyed = keyed(records.iter().map(|record| truths[*record].key));
        let Ok(taken) = self.live().partition.take(reading, portion, &keyed) else { return Ok(false) };
        taken.drift.into_iter().for_each(|_| coverage.hit(Marker::Drift));
        let Some(run) = taken.run else {
            let Portion { range, written } = portion;
            return Err(("brought-once", format!("region {} was sent {range} of {} twice", self.slot, written.origin)));
        };
        if let Some(gap) = taken.gap {
            return Err(("no-silent-gap", format!("region {} lacks {gap}", self.slot)));
        }
        self.hold(records, truths)?;
        let stored: Vec<_> = records.iter().map(|record| Stored::Record(*record)).collect();
        self.append(&run, &stored);
        self.tell(&taken.conflicts, coverage);
        Ok(true)
    }

    fn hold(&mut self, records: &[usize], truths: &[Truth]) -> Checked {
        let slot = self.slot;
        let live = self.live();
        for record in records {
            let truth = &truths[*record];
            if live.held.has(*record) {
                return Err(("carried-once", format!("region {slot} took {} twice", truth.dot)));
            }
            if !live.held.includes(&truth.held) {
                return Err(("causal-order", format!("region {slot} took {} before what its writer held", truth.dot)));
            }
            live.held.add(*record);
        }
        Ok(())
    }

    fn tell(&mut self, conflicts: &[Conflict], coverage: &mut Coverage<Marker>) {
        for conflict in conflicts {
            if conflict.reason == Reason::SameTime {
                coverage.hit(Marker::SameTime);
            }
            match self.without {
                Some(Guard::TellDurable) => self.disk.conflicts.push(conflict.loser.dot),
                _ => self.live().found.push(conflict.clone()),
            }
        }
    }

    pub(super) fn repeat(&mut self, coverage: &mut Coverage<Marker>) {
        if self.without == Some(Guard::RepeatStanding) {
            return;
        }
        for repeat in self.live().partition.repeats() {
            coverage.hit(Marker::Repeated);
            let stored = self.record_at(repeat.place).map_or(Stored::Control, Stored::Repeat);
            self.append(&repeat.run, &[stored]);
        }
    }

    /// What a flush that begins now makes durable.
    pub(super) fn flush(&self) -> Flushed {
        let Disk { log, side, durable, .. } = &self.disk;
        let mark = self.live.as_ref().map_or(Offset::ZERO, |live| live.settled_below(self.without));
        let mark = mark.min(Offset(log.len() as i64));
        // What came to the log in between is the next flush's, its story too.
        let side = if self.without == Some(Guard::StoryFirst) { durable.side.max(side.len() / 2) } else { side.len() };
        let conflicts = self.live.as_ref().map_or(0, |live| live.found.len());
        Flushed { log: log.len(), side, conflicts, mark }
    }

    /// What a flush has made durable. Whether all conflicts of that are told.
    pub(super) fn flushed(&mut self, flushed: Flushed, truths: &mut [Truth]) -> bool {
        let durable = &mut self.disk.durable;
        for stored in &self.disk.log[durable.log..flushed.log.max(durable.log)] {
            if let Stored::Record(record) = stored
                && truths[*record].dot.origin == incarnation(self.slot)
            {
                truths[*record].acked = true;
            }
        }
        durable.log = durable.log.max(flushed.log);
        durable.side = durable.side.max(flushed.side);
        durable.mark.advance(flushed.mark);
        self.tell_found(flushed.conflicts)
    }

    /// What conflicts are about is durable: they go to the conflict topic, not all of them at once.
    fn tell_found(&mut self, found: usize) -> bool {
        let Some(live) = &mut self.live else { return true };
        let upto = live.told + found.saturating_sub(live.told).div_ceil(2);
        self.disk.conflicts.extend(live.found[live.told..upto].iter().map(|conflict| conflict.loser.dot));
        live.told = upto;
        upto >= found
    }

    /// Something of what was not durable is left.
    pub(super) fn crash(&mut self, random: &mut Random, coverage: &mut Coverage<Marker>) {
        self.held_before = self.records();
        let Disk { log, side, durable, .. } = &mut self.disk;
        if log.len() > durable.log {
            coverage.hit(Marker::CrashUnflushed);
        }
        let mut left = |durable: usize, all: usize| durable + random.below(all.saturating_sub(durable) + 1);
        log.truncate(left(durable.log, log.len()));
        side.truncate(left(durable.side, side.len()));
        self.live = None;
        self.life += 1;
    }

    pub(super) fn restart(&mut self, truths: &mut [Truth], coverage: &mut Coverage<Marker>) -> Checked {
        let (mut story, whole, mut file) = SideFile::read(&self.identity(), &self.disk.side)
            .map_err(|defect| ("side-log-sound", format!("region {}: {defect}", self.slot)))?;
        if whole < self.disk.side.len() {
            coverage.hit(Marker::TornStory);
        }
        self.disk.side.truncate(whole);
        let tail = Offset(self.disk.log.len() as i64);
        match active::recovery(tail, Offset(self.disk.durable.log as i64), story.tail()) {
            Recovery::Whole => {}
            Recovery::CutLog { to } => {
                coverage.hit(Marker::LogCut);
                if self.without != Some(Guard::CutToStory) {
                    self.disk.log.truncate(to.0 as usize);
                }
            }
            Recovery::CutStory { to } => {
                coverage.hit(Marker::StoryCut);
                story.truncate(to);
                (self.disk.side, file) = self.side_of(&story);
            }
            Recovery::Rebuild { story, visible } => {
                let what = format!("region {} showed {visible} records but knows the story of {story}", self.slot);
                return Err(("story-before-visible", what));
            }
        }
        let left = self.disk.log.iter().filter(|stored| matches!(stored, Stored::Record(_))).count();
        let own = incarnation(self.slot);
        let carried = self.held_before.split_off(left).into_iter().filter(|record| truths[*record].dot.origin != own);
        self.carried_and_lost += carried.count() as u64;
        self.forget_lost(truths)?;
        self.disk.durable.log = self.disk.log.len();
        self.disk.durable.side = self.disk.side.len();
        self.begin(story, file);
        self.replay(truths, coverage);
        let run = self.live().partition.control();
        self.append(&run, &[Stored::Control]);
        self.repeat(coverage);
        Ok(())
    }

    fn side_of(&self, story: &Provenance) -> (Vec<u8>, SideFile) {
        let (mut file, mut side) = (SideFile::default(), SideFile::header(&self.identity(), story));
        story.runs().for_each(|run| side.extend(file.run(run)));
        (side, file)
    }

    /// A crash may take what no client was told of.
    fn forget_lost(&self, truths: &mut [Truth]) -> Checked {
        let kept = |record: usize| self.disk.log.contains(&Stored::Record(record));
        let own = incarnation(self.slot);
        for (record, truth) in truths.iter_mut().enumerate().filter(|(_, truth)| truth.dot.origin == own && !truth.gone)
        {
            truth.gone = !kept(record);
            if truth.gone && truth.acked {
                return Err(("acked-never-lost", format!("region {} lost {}", self.slot, truth.dot)));
            }
        }
        Ok(())
    }

    fn replay(&mut self, truths: &[Truth], coverage: &mut Coverage<Marker>) {
        if self.without == Some(Guard::Replay) {
            return;
        }
        for at in self.disk.durable.mark.0..self.disk.log.len() as i64 {
            let key = self.record_at(Offset(at)).and_then(|record| truths[record].key);
            let Some(key) = key else { continue };
            coverage.hit(Marker::Replayed);
            let conflicts = self.live().partition.replay(Offset(at), &key_bytes(key));
            self.tell(&conflicts, coverage);
        }
    }

    /// The last record of each key.
    pub(super) fn standing(&self, truths: &[Truth]) -> BTreeMap<u8, usize> {
        let records = (0..self.disk.log.len()).filter_map(|at| self.record_at(Offset(at as i64)));
        records.filter_map(|record| Some((truths[record].key?, record))).collect()
    }

    /// The records of its log, in order.
    pub(super) fn records(&self) -> Vec<usize> {
        let records = self.disk.log.iter();
        records.filter_map(|stored| if let Stored::Record(record) = stored { Some(*record) } else { None }).collect()
    }

    /// The versions that the conflict topic says lost.
    pub(super) fn losers(&self) -> impl Iterator<Item = Dot> + '_ {
        self.disk.conflicts.iter().copied()
    }
}

fn keyed(keys: impl Iterator<Item = Option<u8>>) -> Vec<KeyedRecord> {
    let indexed = (0..).zip(keys);
    indexed.filter_map(|(index, key)| Some(KeyedRecord { index, key: key_bytes(key?) })).collect()
}
