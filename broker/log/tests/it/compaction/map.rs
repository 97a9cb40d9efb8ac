//! A compacted log, compared with a map of what was written to it.

use super::{DAY, compact, compact_with, data, policy, small_segments};
use crate::support::*;
use broker_log::{Compaction, Log};
use model::{ByteCount, LeaderEpoch, Offset, OffsetRange, ProducerId, Timestamp};
use proptest::prelude::*;
use record::{BatchBuilder, Compression, end_txn_marker};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

#[derive(Clone, Debug)]
enum Step {
    Put { producer: i64, records: Vec<(u8, bool)>, compression: usize },
    End { producer: i64, commit: bool },
    Roll,
    Compact { hours: i64, memory: u64 },
    Kill,
    Close,
    Hole,
}

fn step() -> impl Strategy<Value = Step> {
    let put = (-3i64..3, proptest::collection::vec((0u8..12, prop::bool::weighted(0.25)), 1..6), 0usize..5);
    prop_oneof![
        12 => put.prop_map(|(producer, records, compression)| Step::Put { producer, records, compression }),
        3 => (0i64..3, any::<bool>()).prop_map(|(producer, commit)| Step::End { producer, commit }),
        3 => Just(Step::Roll),
        4 => (0i64..20, 1u64..40).prop_map(|(hours, memory)| Step::Compact { hours, memory: memory * 96 }),
        1 => Just(Step::Kill),
        1 => Just(Step::Close),
        1 => Just(Step::Hole),
    ]
}

/// What a reader of committed records must come to, and when each tombstone was first compacted.
#[derive(Default)]
struct Model {
    /// Every record ever written: offset to key, value, whether it counts.
    written: BTreeMap<i64, (u8, Option<i64>)>,
    /// Of open transactions, by producer.
    open: HashMap<i64, Vec<i64>>,
    aborted: Vec<i64>,
    sequences: HashMap<i64, i32>,
    epoch: i32,
    now: i64,
}

impl Model {
    fn put(&mut self, log: &mut Log, producer: i64, records: &[(u8, bool)], compression: usize) {
        let tail = log.tail().0;
        let mut builder = BatchBuilder::new().compression(Compression::ALL[compression]);
        for (at, (key, tombstone)) in records.iter().enumerate() {
            let offset = tail + at as i64;
            let value = (!tombstone).then(|| offset.to_string());
            builder.push(Timestamp(self.now), Some(&[*key]), value.as_deref().map(str::as_bytes), &[]);
            self.written.insert(offset, (*key, (!tombstone).then_some(offset)));
        }
        if producer >= 0 {
            let sequence = self.sequences.entry(producer).or_default();
            builder = builder.producer(ProducerId(producer), 0, *sequence).transactional();
            *sequence += records.len() as i32;
            self.open.entry(producer).or_default().extend((0..records.len()).map(|at| tail + at as i64));
        }
        log.append(&checked(builder.build()), LeaderEpoch(self.epoch), Timestamp(self.now)).unwrap();
    }

    fn end(&mut self, log: &mut Log, producer: i64, commit: bool) {
        if let Some(offsets) = self.open.remove(&producer) {
            let marker = end_txn_marker(commit, ProducerId(producer), 0, 1, Timestamp(self.now));
            log.append(&checked(marker), LeaderEpoch(self.epoch), Timestamp(self.now)).unwrap();
            if !commit {
                self.aborted.extend(offsets);
            }
        }
    }

    /// The last committed record of each key below `upto`.
    fn state(&self, upto: i64) -> BTreeMap<u8, i64> {
        let counts = |offset: &i64| !self.aborted.contains(offset) && *offset < upto;
        let committed = self.written.iter().filter(|(offset, _)| counts(offset));
        committed.map(|(offset, (key, _))| (*key, *offset)).collect()
    }

    fn check(&self, log: &Log) {
        let left = data(log);
        assert!(left.windows(2).all(|two| two[0].offset < two[1].offset));
        for record in &left {
            let (key, value) = &self.written[&record.offset.0];
            let text = value.map(|value| value.to_string().into_bytes());
            assert_eq!((record.key.as_deref(), &record.value), (Some(&[*key][..]), &text), "{}", record.offset);
        }
        let stable = log.last_stable(log.tail()).0;
        let there: Vec<_> = left.iter().map(|record| record.offset.0).collect();
        for (key, offset) in self.state(stable) {
            let tombstone = self.written[&offset].1.is_none();
            assert!(there.contains(&offset) || tombstone, "key {key} lost its record at {offset}: {there:?}");
            // Whatever an older record says must not come back.
            let older = there.iter().any(|at| *at < offset && self.written[at].0 == key && !self.aborted.contains(at));
            assert!(there.contains(&offset) || !older, "key {key} is back from before {offset}: {there:?}");
        }
        assert!(self.written.range(stable..).all(|(at, _)| there.contains(at)), "what is not decided is there");
        self.check_keys(log, Offset(stable));
    }

    /// Whatever was cleaned, the latest value of each key is handed on, batch after batch and all at once.
    fn check_keys(&self, log: &Log, stable: Offset) {
        let state = self.state(stable.0).into_iter().map(|(key, offset)| (key, self.written[&offset].1));
        let expected: BTreeMap<_, _> = state.filter_map(|(key, value)| Some((vec![key], value?.to_string()))).collect();
        for max in [ByteCount(1), ByteCount(500), ByteCount::mib(64)] {
            let (mut latest, mut next) = (BTreeMap::new(), log.start());
            while next < stable {
                let take = |key: &[u8], value: Option<&[u8]>| {
                    match value {
                        Some(value) => latest.insert(key.to_vec(), String::from_utf8(value.to_vec()).unwrap()),
                        None => latest.remove(key),
                    };
                };
                let (reached, _) = log.reader().read_keys(OffsetRange::new(next, stable), max, take).unwrap();
                assert!(reached > next);
                next = reached;
            }
            assert_eq!(latest, expected);
        }
    }

    /// Nothing but the last committed record of each key is left below `upto`.
    fn check_clean(&self, log: &Log, upto: i64) {
        let last = self.state(upto);
        for record in data(log).iter().take_while(|record| record.offset.0 < upto) {
            assert_eq!(last.get(&record.key.as_ref().unwrap()[0]), Some(&record.offset.0));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, max_shrink_iters: 3000, ..ProptestConfig::default() })]
    #[test]
    fn a_compacted_log_says_of_each_key_what_a_map_would(steps in proptest::collection::vec(step(), 1..80)) {
        let (dir, config) = (dir(), small_segments());
        let mut log = open(dir.path(), config.clone());
        let mut model = Model { epoch: 1, now: 1_000_000, ..Model::default() };
        for step in &steps {
            match step {
                Step::Put { producer, records, compression } => model.put(&mut log, *producer, records, *compression),
                Step::End { producer, commit } => model.end(&mut log, *producer, *commit),
                Step::Roll => _ = log.roll_if_older(Duration::ZERO, Timestamp(i64::MAX)).unwrap(),
                Step::Compact { hours, memory } => {
                    model.now += hours * 3_600_000;
                    let policy = Compaction { memory: ByteCount(*memory), ..policy() };
                    let (tail, epochs) = (log.tail(), log.epochs());
                    if let Some(done) = compact_with(&mut log, &policy, model.now) {
                        model.check_clean(&log, done.upto.0);
                    }
                    assert_eq!((log.tail(), log.epochs()), (tail, epochs));
                }
                Step::Kill => log = kill(log, config.clone()).0,
                Step::Close => log = reopen(log, config.clone()),
                Step::Hole => {
                    model.epoch += 1;
                    let (end, base) = (log.tail(), log.tail().plus(1 << 40));
                    log.open_epoch_across_hole(end, base, LeaderEpoch(model.epoch), 1, Timestamp(model.now)).unwrap();
                }
            }
            model.check(&log);
        }
        check_tombstones_go(&mut log, &mut model);
    }
}

/// Two compactions a day apart leave no tombstone, and nothing but the last records, where all is decided.
fn check_tombstones_go(log: &mut Log, model: &mut Model) {
    for producer in 0..3 {
        model.end(log, producer, true);
    }
    for _ in 0..3 {
        model.put(log, -1, &[(99, false)], 0);
        while compact(log, model.now).is_some() {}
        model.check(log);
        model.now += 2 * DAY;
    }
    let expected: Vec<_> = {
        let mut last: Vec<_> = model.state(i64::MAX).into_values().collect();
        last.retain(|offset| model.written[offset].1.is_some());
        last.sort_unstable();
        last
    };
    assert_eq!(data(log).iter().map(|record| record.offset.0).collect::<Vec<_>>(), expected);
}
