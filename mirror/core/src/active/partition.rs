use super::carry::{Judgement, judge};
use super::clock::{Drift, HybridClock, HybridTime, Reading};
use super::limits::{ORIGINS_MAX, VERSIONS_MAX};
use super::table::Table;
use super::{
    Conflict, Content, Dot, Knowledge, Policy, Portion, Provenance, Quarantined, Refusal, Row, Run, SettleError,
    Settlement, Vector, Written,
};
use model::{Incarnation, LeaderEpoch, Offset, OffsetRange};
use std::sync::Arc;
use std::time::Duration;

/// What a region has to know of an active-active partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// All regions that take writes, this one included. A version is held until all of them have received it.
    pub regions: Vec<Incarnation>,
    /// Which of two versions stands.
    pub policy: Policy,
    /// How far a clock may be ahead before it is not followed.
    pub drift_max: Duration,
    /// How many versions are held before links have to wait.
    pub versions_max: usize,
}

impl Settings {
    /// With the limits that are meant for production.
    pub const fn new(regions: Vec<Incarnation>, policy: Policy) -> Self {
        Self { regions, policy, drift_max: super::DRIFT_MAX, versions_max: VERSIONS_MAX }
    }
}

/// A record of a batch, or a portion, that has a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedRecord {
    /// Its place, from 0 at the first offset of the batch or portion.
    pub index: u32,
    /// Its key.
    pub key: Arc<[u8]>,
}

/// What became of a portion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// What to append to the side log, with the portion's batches at its offsets. `None`: all of it was here already.
    pub run: Option<Run>,
    /// Versions that lost a conflict for the first time: for the conflict topic.
    pub conflicts: Vec<Conflict>,
    /// Records of the origin that the source does not have any more, to be stored as a fact.
    pub gap: Option<OffsetRange>,
    /// The origin's clock is out of bounds, to be shown.
    pub drift: Option<Drift>,
}

/// A record to append again, so that it is the last of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeat {
    /// The key.
    pub key: Arc<[u8]>,
    /// The record.
    pub dot: Dot,
    /// Where it stands in the local log.
    pub place: Offset,
    /// What to append to the side log with it.
    pub run: Run,
}

/// One active-active partition in one region.
#[derive(Clone, Debug)]
pub struct Partition {
    settings: Settings,
    log: Provenance,
    table: Table,
    clock: HybridClock,
    known: Knowledge,
    /// What was received of others, as the last run says; shared by the runs that have the same.
    seen: Arc<Vector>,
    /// The latest stamp of others that the log begins with, until the clock is read for the first time.
    carried: Option<HybridTime>,
}

impl Partition {
    /// The partition whose log tells this story. Records at or above the place that [`Self::settled_below`] last gave,
    /// or all of them, have to be [replayed](Self::replay) before anything else.
    pub fn new(settings: Settings, log: Provenance) -> Self {
        assert!(settings.regions.len() <= ORIGINS_MAX, "{} regions", settings.regions.len());
        let latest = |is_own: bool| {
            let written = log.runs().filter_map(|run| match &run.content {
                Content::Written(written) => Some(written),
                Content::Repeat(_) | Content::Control => None,
            });
            written.filter(|written| (written.origin == log.own()) == is_own).map(|written| written.time).max()
        };
        let (clock, carried) = (HybridClock::new(latest(true).unwrap_or_default(), settings.drift_max), latest(false));
        let seen = Arc::new(others(log.received(), log.own()));
        Self { settings, log, table: Table::default(), clock, known: Knowledge::default(), seen, carried }
    }

    /// Its story.
    pub const fn log(&self) -> &Provenance {
        &self.log
    }

    /// What has been received, and written here.
    pub const fn received(&self) -> &Vector {
        self.log.received()
    }

    /// Takes note of the keyed record at `local` once more, after a restart, in the order of the log. Gives conflicts
    /// that may have been told before.
    pub fn replay(&mut self, local: Offset, key: &Arc<[u8]>) -> Vec<Conflict> {
        let Some(run) = self.log.run_at(local) else { return Vec::new() };
        match &run.content {
            &Content::Repeat(dot) => {
                let conflicts = self.restore(key, dot);
                self.table.repeated(key, dot);
                conflicts
            }
            Content::Control => Vec::new(),
            Content::Written(_) => {
                let version = run.version_at(local).expect("a run of written records holds the offset");
                self.table.observe(key, version, local, &self.settings.policy)
            }
        }
    }

    /// Takes note of a repeated record below all that is replayed. What was replayed before its repeat does not stand
    /// over it, and must not seem to be alone.
    fn restore(&mut self, key: &Arc<[u8]>, dot: Dot) -> Vec<Conflict> {
        if self.table.holds(key, dot) {
            return Vec::new();
        }
        let place = self.log.local_of(dot);
        let found = place.and_then(|place| Some((place, self.log.run_at(place)?.version_at(place)?)));
        found.map_or_else(Vec::new, |(place, version)| self.table.observe(key, version, place, &self.settings.policy))
    }

    /// Takes `count` records of a client that are about to be appended at the tail under `epoch`. They have seen all
    /// that was received, so they conflict with nothing here. Gives what goes to the side log.
    pub fn write(&mut self, reading: Reading, epoch: LeaderEpoch, count: u32, keys: &[KeyedRecord]) -> Run {
        if let Some(carried) = self.carried.take() {
            // What is out of bounds is not followed, and was shown when it came.
            let _ = self.clock.receive(carried, reading);
        }
        let (own, tail) = (self.log.own(), self.log.tail());
        let after = self.received().tail(own);
        let written = Written {
            origin: own,
            start: tail,
            after,
            epoch,
            time: self.clock.stamp(reading),
            seen: self.seen.clone(),
        };
        let run = Run { local: tail, count, content: Content::Written(written) };
        let conflicts = self.append(&run, keys);
        debug_assert!(conflicts.is_empty(), "a write has seen all that is here");
        run
    }

    /// Takes note of a control record at the tail.
    pub fn control(&mut self) -> Run {
        let run = Run { local: self.log.tail(), count: 1, content: Content::Control };
        self.append(&run, &[]);
        run
    }

    /// Takes a portion of a link's answer, whose records with keys are `keys`.
    ///
    /// # Errors
    /// [`Refusal`]: nothing changes, and the rest of the answer is dropped.
    pub fn take(&mut self, reading: Reading, portion: &Portion, keys: &[KeyedRecord]) -> Result<Taken, Refusal> {
        let Judgement::Take { gap } = judge(&self.log, portion)? else {
            return Ok(Taken { run: None, conflicts: Vec::new(), gap: None, drift: None });
        };
        self.check_room(portion.written.origin)?;
        let drift = self.clock.receive(portion.written.time, reading).err();
        let count = portion.range.len() as u32;
        let run = Run { local: self.log.tail(), count, content: Content::Written(portion.written.clone()) };
        let conflicts = self.append(&run, keys);
        self.seen = Arc::new(others(self.log.received(), self.log.own()));
        let Written { origin, start, ref seen, .. } = portion.written;
        self.known.note(&Row { region: origin, from: start, seen: Vector::clone(seen) }, self.log.received());
        Ok(Taken { run: Some(run), conflicts, gap, drift })
    }

    fn check_room(&self, origin: Incarnation) -> Result<(), Refusal> {
        let (held, limit) = (self.table.held(), self.settings.versions_max);
        if held >= limit {
            return Err(Refusal::Full { held, limit });
        }
        let is_new = self.received().tail(origin) == Offset::ZERO;
        // One place is this region's own, whether it has written or not.
        let full = is_new && self.seen.origins() + 1 >= ORIGINS_MAX;
        if full { Err(Refusal::TooManyOrigins(origin)) } else { Ok(()) }
    }

    fn append(&mut self, run: &Run, keys: &[KeyedRecord]) -> Vec<Conflict> {
        self.log.append(run.clone()).expect("it was made to follow");
        let placed = keys.iter().map(|record| (&record.key, run.local.plus(i64::from(record.index))));
        let versions = placed.filter_map(|(key, place)| Some((key, place, run.version_at(place)?)));
        let (table, policy) = (&mut self.table, &self.settings.policy);
        versions.flat_map(|(key, place, version)| table.observe(key, version, place, policy)).collect()
    }

    /// The records to append at the tail so that the standing version is the last of each key. Called after an answer,
    /// and after a restart: a key that several records disturbed needs one repeat.
    pub fn repeats(&mut self) -> Vec<Repeat> {
        let due = self.table.due(&self.settings.policy);
        due.into_iter().map(|(key, dot, place)| self.repeat(key, dot, place)).collect()
    }

    fn repeat(&mut self, key: Arc<[u8]>, dot: Dot, place: Offset) -> Repeat {
        let run = Run { local: self.log.tail(), count: 1, content: Content::Repeat(dot) };
        self.append(&run, &[]);
        self.table.repeated(&key, dot);
        Repeat { key, dot, place, run }
    }

    /// What this region knows of all that was received anywhere, for the answer of a link, of a log that is durable
    /// below
    /// `durable`.
    pub fn rows(&self, durable: Offset) -> Vec<Row> {
        let own = self.log.own();
        let row = || Row { region: own, from: self.received().tail(own), seen: Vector::clone(&self.seen) };
        let all = (durable >= self.log.tail()).then(|| self.known.rows().cloned().chain([row()]).collect());
        all.unwrap_or_default()
    }

    /// Takes note of what a source knows, and lets go of versions that no conflict can be with any more.
    pub fn note(&mut self, rows: &[Row]) {
        let own = self.log.own();
        rows.iter().filter(|row| row.region != own).for_each(|row| self.known.note(row, self.log.received()));
        let stable = self.known.stable(own, &self.settings.regions, self.log.received());
        self.table.settle_below(&stable, &self.settings.policy);
    }

    /// Below this offset nothing has to be replayed after a restart: no conflict is open there, and none will be; those
    /// in `untold` are found again. The shell may keep it once all that is in the log by now is durable, repeats included,
    /// and for these [regions](Settings::regions): one that joins them may still conflict with everything.
    pub fn settled_below<'a>(&self, untold: impl IntoIterator<Item = &'a Conflict>) -> Offset {
        let versions = untold.into_iter().flat_map(|conflict| [&conflict.winner, &conflict.loser]);
        let waiting = versions.filter_map(|version| self.log.local_of(version.dot));
        waiting.chain(self.table.first_place()).min().unwrap_or_else(|| self.log.tail())
    }

    /// How many versions are held, and how many were forgotten though they might still have lost a conflict.
    pub const fn versions(&self) -> (usize, u64) {
        (self.table.held(), self.table.forgotten())
    }

    /// What waits for a human. Nothing does unless the policy says so.
    pub fn quarantined(&self) -> Vec<Quarantined> {
        if self.settings.policy == Policy::Quarantine { self.table.quarantined().collect() } else { Vec::new() }
    }

    /// Settles the dispute about `key`: `choice` is to be written again, as a client's record, which then has seen the
    /// others and stands over them in every region. `known` is what the human was shown.
    ///
    /// # Errors
    /// [`SettleError`] when there is no such dispute, or not only that.
    pub fn settle(&self, key: &[u8], choice: Dot, known: &[Dot]) -> Result<Settlement, SettleError> {
        if self.settings.policy != Policy::Quarantine {
            return Err(SettleError::NotInDispute);
        }
        self.table.settle(key, choice, known)
    }
}

/// What was received of others.
fn others(received: &Vector, own: Incarnation) -> Vector {
    received.iter().filter(|(origin, _)| *origin != own).collect()
}
