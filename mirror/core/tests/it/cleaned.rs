//! A copy of a compacted log, whose source is cleaned whenever it likes: what the copy says of itself is true.

use mirror_core::gap::{completes, inherit};
use model::{Baseline, Offset, OffsetRange, Timestamp};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

type Record = (u8, Option<u8>);

/// One replica of the source, cleaned by itself.
#[derive(Clone, Default)]
struct Log {
    records: BTreeMap<i64, Record>,
    baseline: Baseline,
    /// Tombstones that a cleaning has seen: the next one takes them.
    seen: BTreeSet<i64>,
}

#[derive(Clone, Default)]
struct World {
    history: Vec<Record>,
    replicas: [Log; 2],
    copy: Log,
    tail: i64,
    now: i64,
}

#[derive(Clone, Debug)]
enum Step {
    Write(Record),
    /// A replica is cleaned below the copy's tail and so much above it.
    Clean(usize, i64),
    /// The copy reads so many offsets from a replica.
    Read(usize, i64),
    Rebuild,
}

fn live<'a>(records: impl Iterator<Item = &'a Record>) -> BTreeMap<u8, u8> {
    let mut live = BTreeMap::new();
    for (key, value) in records {
        match value {
            Some(value) => live.insert(*key, *value),
            None => live.remove(key),
        };
    }
    live
}

impl World {
    fn end(&self) -> i64 {
        self.history.len() as i64
    }

    fn held(&self) -> OffsetRange {
        OffsetRange::new(Offset(0), Offset(self.tail))
    }

    fn take(&mut self, step: &Step) {
        self.now += 1;
        match step {
            Step::Write(record) => {
                let end = self.end();
                self.replicas.iter_mut().for_each(|log| _ = log.records.insert(end, *record));
                self.history.push(*record);
            }
            Step::Clean(replica, beyond) => {
                let limit = (self.tail + beyond).min(self.end());
                self.replicas[*replica].clean(limit, self.now);
            }
            Step::Read(replica, count) => self.read(*replica, *count),
            Step::Rebuild => {
                self.copy = Log { baseline: self.copy.baseline.cleared(), ..Log::default() };
                self.tail = 0;
            }
        }
    }

    fn read(&mut self, replica: usize, count: i64) {
        let source = &self.replicas[replica];
        self.copy.baseline = inherit(self.copy.baseline, &source.baseline, self.held());
        let end = (self.tail + count).min(self.end());
        self.copy.records.extend(source.records.range(self.tail..end).map(|(offset, record)| (*offset, *record)));
        self.tail = end;
    }

    fn is_true_to_its_word(&self) -> bool {
        let is_whole = self.copy.baseline.is_whole(Offset(self.tail));
        !is_whole || live(self.copy.records.values()) == live(self.history[..self.tail as usize].iter())
    }
}

impl Log {
    fn clean(&mut self, limit: i64, now: i64) {
        let latest: BTreeMap<u8, i64> = self.records.range(..limit).map(|(offset, (key, _))| (*key, *offset)).collect();
        let mut forgotten = None;
        let seen = std::mem::take(&mut self.seen);
        self.records.retain(|offset, (key, value)| {
            if *offset >= limit {
                return true;
            }
            let is_latest = latest[key] == *offset;
            if is_latest && value.is_none() && seen.contains(offset) {
                forgotten = forgotten.max(Some(Offset(*offset + 1)));
                return false;
            }
            is_latest
        });
        let tombstones = self.records.range(..limit).filter(|(_, (_, value))| value.is_none());
        self.seen = tombstones.map(|(offset, _)| *offset).collect();
        self.baseline.thinned.advance(Offset(limit));
        if let Some(forgotten) = forgotten {
            self.baseline.forgotten.advance(forgotten);
            self.baseline.forgotten_at = Timestamp(now);
        }
    }
}

fn step(beyond_max: i64) -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_u8, prop::option::of(0..3_u8)).prop_map(Step::Write),
        2 => (0..2_usize, 0..=beyond_max).prop_map(|(replica, beyond)| Step::Clean(replica, beyond)),
        3 => (0..2_usize, 1..6_i64).prop_map(|(replica, count)| Step::Read(replica, count)),
        1 => Just(Step::Rebuild),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_copy_that_says_it_is_whole_holds_the_latest_value_of_every_key(
        steps in prop::collection::vec(step(12), 1..80),
    ) {
        let mut world = World::default();
        for step in &steps {
            world.take(step);
            prop_assert!(world.is_true_to_its_word(), "{step:?} at {}: {:?}", world.tail, world.copy.baseline);
        }
        // Made anew from a source that stands still it is a standby, whatever went before.
        world.take(&Step::Rebuild);
        while world.tail < world.end() {
            world.take(&Step::Read(0, 3));
        }
        world.take(&Step::Read(0, 3));
        prop_assert!(world.copy.baseline.is_whole(Offset(world.tail)), "{:?}", world.copy.baseline);
        prop_assert!(world.is_true_to_its_word());
    }

    #[test]
    fn a_copy_that_nothing_is_cleaned_above_misses_nothing(
        steps in prop::collection::vec(step(0), 1..80),
    ) {
        let mut world = World::default();
        for step in steps.iter().filter(|step| !matches!(step, Step::Rebuild)) {
            world.take(step);
            prop_assert_eq!(world.copy.baseline.missed, None);
        }
    }

    #[test]
    fn a_copy_completed_from_another_one_is_still_true_to_its_word(
        steps in prop::collection::vec(step(12), 1..60),
        more in prop::collection::vec(step(12), 1..60),
    ) {
        let mut other = World::default();
        steps.iter().for_each(|step| other.take(step));
        let mut own = other.clone();
        for step in more.iter().filter(|step| !matches!(step, Step::Write(_))) {
            other.take(step);
        }
        let (known, said) = (own.copy.baseline, other.copy.baseline);
        if own.tail < other.tail && completes(known, &said, Offset(other.tail), own.held()) {
            own.replicas[0] = other.copy.clone();
            own.read(0, other.tail - own.tail);
            prop_assert!(own.is_true_to_its_word(), "{:?} then {:?}", known, own.copy.baseline);
        }
    }
}
