//! Where the records of a partition went, in runs of consecutive offsets on both sides.

use model::Offset;

/// How many runs one partition may have; beyond it the older half of them is thinned out.
const RUNS_MAX: usize = 1 << 21;

/// Records that follow each other on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The offset of the first in the source.
    pub source: Offset,
    /// Its offset in the target.
    pub target: Offset,
    /// How many they are; at least 1.
    pub count: u64,
}

impl Run {
    /// The source offset behind the last.
    pub const fn source_end(&self) -> Offset {
        self.source.plus(self.count as i64)
    }

    /// The target offset behind the last.
    pub const fn target_end(&self) -> Offset {
        self.target.plus(self.count as i64)
    }
}

/// A run that does not follow those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("records from source offset {} to target offset {} do not follow source {source_end} and target {target_end}", .run.source, .run.target)]
pub struct MapError {
    /// The run.
    pub run: Run,
    /// Where the map ends on the side of the source.
    pub source_end: Offset,
    /// Where it ends on the side of the target.
    pub target_end: Offset,
}

/// The runs of one partition, in order; both sides only grow.
///
/// ```text
/// source   start | 4 5 6 |   | 9 10 |   | 12 |
/// target   start | 0 1 2 |     3 4  |     5  |
/// reads on at        5 -> 1     7, 8, 9 -> 3     11, 12 -> 5     13 -> 6
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetMap {
    source_start: Offset,
    target_start: Offset,
    runs: Vec<Run>,
    thinned_below: Offset,
}

impl OffsetMap {
    /// A map without a record: a reader of the source at or below `source_start` begins at `target_start`.
    pub const fn new(source_start: Offset, target_start: Offset) -> Self {
        Self { source_start, target_start, runs: Vec::new(), thinned_below: Offset(i64::MIN) }
    }

    /// Takes note of a run.
    ///
    /// # Errors
    /// [`MapError`] when it is empty or does not follow the last one on both sides; nothing is changed.
    pub fn append(&mut self, run: Run) -> Result<(), MapError> {
        let (source_end, target_end) = (self.source_end(), self.target_end());
        if run.count == 0 || run.source < source_end || run.target < target_end || run.source_end().0 == i64::MAX {
            return Err(MapError { run, source_end, target_end });
        }
        match self.runs.last_mut() {
            Some(last) if run.source == source_end && run.target == target_end => last.count += run.count,
            _ => self.push(run),
        }
        Ok(())
    }

    fn push(&mut self, run: Run) {
        if self.runs.len() >= RUNS_MAX {
            self.thin();
        }
        self.runs.push(run);
    }

    /// Leaves out every second run of the older half: what is read there goes on a little earlier than it must.
    fn thin(&mut self) {
        let half = self.runs.len() / 2;
        self.thinned_below.advance(self.runs[half].source);
        let mut index = 0;
        self.runs.retain(|_| {
            index += 1;
            index > half || index % 2 == 1
        });
    }

    /// Where the source offset `source` is in the target; `None` when no copied record has it, or it is no longer known.
    pub fn at(&self, source: Offset) -> Option<Offset> {
        self.before(source).filter(|run| source < run.source_end()).map(|run| run.target.plus(source.0 - run.source.0))
    }

    /// Where a reader that goes on at `source` goes on in the target: never behind the first record at or above `source`,
    /// and behind every copied record below it, unless runs are no longer known there ([`OffsetMap::is_exact`]).
    pub fn translate(&self, source: Offset) -> Offset {
        self.before(source).map_or(self.target_start, |run| {
            let within = source.since(run.source).min(run.count);
            run.target.plus(within as i64)
        })
    }

    /// Whether all runs around `source` are known.
    pub fn is_exact(&self, source: Offset) -> bool {
        source >= self.thinned_below || self.at(source).is_some()
    }

    /// The last run that begins at or below `source`.
    fn before(&self, source: Offset) -> Option<&Run> {
        self.runs.get(self.runs.partition_point(|run| run.source <= source).checked_sub(1)?)
    }

    /// The source offset behind the last record.
    pub fn source_end(&self) -> Offset {
        self.runs.last().map_or(self.source_start, Run::source_end)
    }

    /// The target offset behind the last record.
    pub fn target_end(&self) -> Offset {
        self.runs.last().map_or(self.target_start, Run::target_end)
    }

    /// Where the map begins, in the source and in the target.
    pub const fn start(&self) -> (Offset, Offset) {
        (self.source_start, self.target_start)
    }

    /// The runs, in order.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Below this source offset runs were left out.
    pub const fn thinned_below(&self) -> Offset {
        self.thinned_below
    }

    /// Says that runs below `source` were left out.
    pub(super) fn set_thinned(&mut self, source: Offset) {
        self.thinned_below.advance(source);
    }

    /// Forgets runs that lie wholly below `source`, where the source no longer has any record.
    pub fn forget_below(&mut self, source: Offset) {
        let gone = self.runs.partition_point(|run| run.source_end() <= source);
        if let Some(last) = self.runs[..gone].last() {
            (self.source_start, self.target_start) = (last.source_end(), last.target_end());
        }
        self.runs.drain(..gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(source: i64, target: i64, count: u64) -> Run {
        Run { source: Offset(source), target: Offset(target), count }
    }

    fn example() -> OffsetMap {
        let mut map = OffsetMap::new(Offset(4), Offset(0));
        [run(4, 0, 3), run(9, 3, 2), run(12, 5, 1)].into_iter().for_each(|run| map.append(run).unwrap());
        map
    }

    #[test]
    fn a_reader_goes_on_at_the_next_copied_record() {
        let map = example();
        let expected = [(0, 0), (4, 0), (5, 1), (7, 3), (8, 3), (9, 3), (10, 4), (11, 5), (12, 5), (13, 6), (99, 6)];
        for (source, target) in expected {
            assert_eq!(map.translate(Offset(source)), Offset(target), "{source}");
        }
        assert_eq!((map.at(Offset(10)), map.at(Offset(8))), (Some(Offset(4)), None));
    }

    #[test]
    fn what_does_not_follow_is_refused_and_changes_nothing() {
        let mut map = example();
        for wrong in [run(12, 6, 1), run(13, 5, 1), run(20, 20, 0), run(i64::MAX - 1, 9, 1)] {
            assert!(map.append(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(map, example());
    }

    #[test]
    fn what_the_source_no_longer_has_may_be_forgotten() {
        let mut map = example();
        map.forget_below(Offset(10));
        assert_eq!(map.start(), (Offset(7), Offset(3)));
        assert_eq!((map.translate(Offset(10)), map.translate(Offset(13))), (Offset(4), Offset(6)));
    }

    proptest! {
        #[test]
        fn a_thinned_map_is_never_past_the_true_offset(gaps in prop::collection::vec((1i64..4, 1u64..4), 4..60)) {
            let (mut map, mut source, mut target) = (OffsetMap::new(Offset(0), Offset(0)), 0, 0);
            for (gap, count) in gaps {
                source += gap;
                map.append(run(source, target, count)).unwrap();
                source += count as i64;
                target += count as i64;
            }
            let whole = map.clone();
            map.thin();
            for offset in 0..source + 3 {
                let (thin, exact) = (map.translate(Offset(offset)), whole.translate(Offset(offset)));
                prop_assert!(thin <= exact);
                prop_assert!(thin == exact || !map.is_exact(Offset(offset)));
            }
            prop_assert_eq!(map.translate(Offset(source)), whole.translate(Offset(source)));
        }
    }
}
