//! The log against a list in memory, whatever is done to it.

use crate::support::*;
use broker_log::{Config, Log};
use model::{LeaderEpoch, Offset, Timestamp};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Append { count: usize, new_epoch: bool },
    Copy { gap: i64, count: usize },
    Hole,
    Truncate { back: i64 },
    Retire { ahead: i64 },
    Flush,
    Kill,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1usize..5, any::<bool>()).prop_map(|(count, e)| Step::Append { count, new_epoch: e && count == 1 }),
        3 => (0i64..9, 1usize..4).prop_map(|(gap, count)| Step::Copy { gap, count }),
        1 => Just(Step::Hole),
        2 => (0i64..30).prop_map(|back| Step::Truncate { back }),
        1 => (0i64..15).prop_map(|ahead| Step::Retire { ahead }),
        2 => Just(Step::Flush),
        2 => Just(Step::Kill),
        1 => Just(Step::Close),
    ]
}

/// What the log should be: (base, next, epoch) of each batch, and where the holes in front of them begin.
#[derive(Debug)]
struct Model {
    batches: Vec<(i64, i64, i32)>,
    holes: std::collections::HashMap<i64, i64>,
    start: i64,
    tail: i64,
    epoch: i32,
}

impl Model {
    fn push(&mut self, base: i64, count: i64) {
        self.tail = base + count;
        self.batches.push((base, self.tail, self.epoch));
    }

    /// With no batch left, the end is where a batch that was retired ended, or where the first one began.
    fn truncate(&mut self, offset: i64, tail: i64) {
        let first = self.batches.first().map_or(offset, |(base, ..)| *self.holes.get(base).unwrap_or(base));
        self.batches.retain(|(_, next, _)| *next <= offset);
        assert!(self.batches.last().map_or(tail <= offset.min(first), |last| tail == last.1), "{tail}: {self:?}");
        self.tail = tail;
    }

    fn holds(&self, from: i64) -> Vec<(i64, i32)> {
        self.batches.iter().filter(|(_, next, _)| *next > from).map(|(base, _, epoch)| (*base, *epoch)).collect()
    }
}

fn apply(log: Log, model: &mut Model, step: &Step, config: &Config) -> Log {
    let mut log = log;
    match step {
        Step::Append { count, new_epoch } => {
            model.epoch += i32::from(*new_epoch);
            append_in(&mut log, LeaderEpoch(model.epoch), *count, 1);
            model.push(model.tail, *count as i64);
        }
        Step::Copy { gap, count } => {
            let (base, epoch) = (model.tail + gap, LeaderEpoch(model.epoch));
            let batch = records(*count, 1).base_offset(Offset(base)).leader_epoch(epoch).build();
            log.append_copy(&batch, Timestamp(1)).unwrap();
            model.push(base, *count as i64);
        }
        Step::Hole => {
            model.epoch += 1;
            let (end, base) = (Offset(model.tail), model.tail + (1 << 40));
            log.open_epoch_across_hole(end, Offset(base), LeaderEpoch(model.epoch), 1, Timestamp(1)).unwrap();
            model.holes.insert(base, model.tail);
            model.push(base, 1);
        }
        Step::Truncate { back } => {
            let to = (model.tail - back).max(model.start);
            let tail = log.truncate_to(Offset(to)).unwrap().0;
            if to < model.tail {
                model.truncate(to, tail);
            }
        }
        Step::Retire { ahead } => {
            let to = (model.start + ahead).min(model.tail);
            model.start = log.set_log_start(Offset(to)).unwrap().0;
            let start = model.start;
            model.batches.retain(|(_, next, _)| *next > start);
        }
        Step::Flush => assert_eq!(log.flush().unwrap(), log.tail()),
        Step::Kill => log = kill(log, config.clone()).0,
        Step::Close => log = reopen(log, config.clone()),
    }
    model.start = log.start().0;
    log
}

fn check(log: &Log, model: &Model) {
    assert_eq!(log.tail().0, model.tail);
    assert_eq!(batches(log, log.start()), model.holds(model.start), "{model:?}");
    for (base, next, epoch) in &model.batches {
        for offset in [*base, next - 1] {
            let offset = Offset(offset.max(model.start));
            let slice = log.reader().read(offset, Offset(*next), MAX, true).unwrap().unwrap();
            assert_eq!((slice.first_offset.0, slice.next_offset.0), (*base, *next));
            assert_eq!(log.epoch_at(offset), Some(LeaderEpoch(*epoch)), "epoch at {offset}: {:?}", log.epochs());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 2000, ..ProptestConfig::default() })]
    #[test]
    fn the_log_does_what_a_list_would(steps in proptest::collection::vec(step(), 1..60), tiny: bool) {
        let (dir, config) = (dir(), if tiny { small() } else { Config::default() });
        let mut log = open(dir.path(), config.clone());
        let mut model = Model { batches: vec![], holes: Default::default(), start: 0, tail: 0, epoch: 1 };
        for step in &steps {
            log = apply(log, &mut model, step, &config);
            check(&log, &model);
        }
    }
}
