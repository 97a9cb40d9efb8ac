use super::limits::UNPROVEN_MAX;
use super::{Checkpoint, Checkpoints, Interval};
use model::{Offset, OffsetRange};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// One of the logs.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// Its log start.
    pub start: Offset,
    /// Its checkpoints.
    pub checkpoints: &'a Checkpoints,
}

/// How far a copy is proven to be what its source is. Shown by the API as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// From the first offset that both logs still have, up to which they are identical, but for what is unproven. It
    /// ends before the first difference of any kind, or where one of them has no checkpoints yet.
    pub identical: OffsetRange,
    /// What of that cannot be compared, and why; at most [`UNPROVEN_MAX`] ranges.
    pub unproven: Vec<Unproven>,
    /// How many more there are.
    pub unproven_more: u64,
    /// The first difference, but for those that are known to be the source's alone: only what is identical ends before them.
    pub difference: Option<Difference>,
}

/// A range that hashes say nothing about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unproven {
    /// The range.
    pub range: OffsetRange,
    /// Why.
    pub why: WhyUnproven,
}

/// Why a range cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyUnproven {
    /// Retention had taken its beginning on one side when it was hashed.
    Retention,
    /// Compaction took batches away, on each side in its own time; the digest by key says more.
    Compaction,
    /// Offsets of it are a recorded gap.
    Gap,
}

/// Where the logs are not the same, though nothing explains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The range.
    pub range: OffsetRange,
    /// What the source has there; `None` for no batch.
    pub source: Option<Checkpoint>,
    /// What the copy has.
    pub target: Option<Checkpoint>,
}

impl Difference {
    /// Whether both say the same of the same batches, whatever the log starts are by now.
    pub fn is_that(&self, other: &Self) -> bool {
        (self.source, self.target) == (other.source, other.target)
    }

    /// Where it is.
    pub const fn interval(&self) -> Interval {
        Interval::of(self.range.start)
    }

    /// Whether both still have there what they had.
    pub fn stands(&self, source: &Checkpoints, target: &Checkpoints) -> bool {
        let of = |checkpoints| checkpoint(checkpoints, self.interval());
        (of(source), of(target)) == (self.source, self.target)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "identical from offset {} up to offset {}", self.identical.start, self.identical.end)?;
        match self.unproven.len() as u64 + self.unproven_more {
            0 => {}
            ranges => write!(f, ", but for {ranges} ranges that cannot be compared")?,
        }
        self.difference.iter().try_for_each(|difference| write!(f, "; different in {}", difference.range))
    }
}

/// Compares a copy with its source. `gaps` are the offsets recorded as never to be in the copy; `compacted` says
/// whether the cleaner works on the topic; `source_damaged` are differences that are the source's alone.
pub fn compare(
    source: Side<'_>,
    target: Side<'_>,
    gaps: &[OffsetRange],
    compacted: bool,
    source_damaged: &[Difference],
) -> Comparison {
    let start = source.start.max(target.start);
    let end = source.checkpoints.written().min(target.checkpoints.written()).range().start.max(start);
    let mut comparison = Comparison {
        identical: OffsetRange::new(start, end),
        unproven: Vec::new(),
        unproven_more: 0,
        difference: None,
    };
    for interval in intervals([source, target], Interval::of(start), end) {
        let range = OffsetRange::new(interval.range().start.max(start), interval.range().end);
        let pair = [source, target].map(|side| checkpoint(side.checkpoints, interval));
        match judge(pair, range, gaps, compacted) {
            Judgement::Equal => {}
            Judgement::Unproven(why) => comparison.note(Unproven { range, why }),
            Judgement::Different => {
                comparison.end_before(range);
                let [source, target] = pair;
                let difference = Difference { range, source, target };
                if !source_damaged.iter().any(|known| known.is_that(&difference)) {
                    comparison.difference = Some(difference);
                    break;
                }
            }
        }
    }
    comparison
}

/// The intervals in which one of the logs has a batch; in the others both are the same.
fn intervals(sides: [Side<'_>; 2], first: Interval, end: Offset) -> BTreeSet<Interval> {
    let entries = sides.into_iter().flat_map(|side| side.checkpoints.entries());
    let looked_at = entries.map(|entry| entry.interval);
    looked_at.filter(|interval| *interval >= first && interval.range().start < end).collect()
}

fn checkpoint(checkpoints: &Checkpoints, interval: Interval) -> Option<Checkpoint> {
    let entries = checkpoints.entries();
    let at = entries.binary_search_by_key(&interval, |entry| entry.interval).ok()?;
    Some(entries[at]).filter(|entry| entry.batches > 0)
}

enum Judgement {
    Equal,
    Unproven(WhyUnproven),
    Different,
}

fn judge(
    [source, target]: [Option<Checkpoint>; 2],
    range: OffsetRange,
    gaps: &[OffsetRange],
    compacted: bool,
) -> Judgement {
    let is_gap = gaps.iter().any(|gap| gap.start < range.end && range.start < gap.end);
    match (source, target) {
        (None, None) => Judgement::Equal,
        (Some(source), Some(target)) if source == target => Judgement::Equal,
        _ if is_gap => Judgement::Unproven(WhyUnproven::Gap),
        _ if compacted => Judgement::Unproven(WhyUnproven::Compaction),
        (Some(source), Some(target)) if source.from != target.from => Judgement::Unproven(WhyUnproven::Retention),
        (Some(one), None) | (None, Some(one)) if one.from < range.start => Judgement::Unproven(WhyUnproven::Retention),
        _ => Judgement::Different,
    }
}

impl Comparison {
    fn end_before(&mut self, range: OffsetRange) {
        self.identical.end = self.identical.end.min(range.start);
    }

    fn note(&mut self, unproven: Unproven) {
        if unproven.range.start >= self.identical.end {
            return;
        }
        let goes_on = |last: &&mut Unproven| last.why == unproven.why && last.range.end == unproven.range.start;
        if let Some(last) = self.unproven.last_mut().filter(goes_on) {
            last.range.end = unproven.range.end;
        } else if self.unproven.len() < UNPROVEN_MAX {
            self.unproven.push(unproven);
        } else {
            self.unproven_more += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: i64 = 1 << 16;

    fn checkpoints(hashes: &[(u64, u64)]) -> Checkpoints {
        let mut checkpoints = Checkpoints::default();
        for (interval, hash) in hashes {
            let interval = Interval(*interval);
            checkpoints.add(Checkpoint { interval, from: interval.range().start, batches: 3, hash: *hash });
        }
        checkpoints
    }

    fn range(start: i64, end: i64) -> OffsetRange {
        OffsetRange::new(Offset(start), Offset(end))
    }

    fn of(source: &Checkpoints, target: &Checkpoints, gaps: &[OffsetRange], compacted: bool) -> Comparison {
        let side = |checkpoints| Side { start: Offset::ZERO, checkpoints };
        compare(side(source), side(target), gaps, compacted, &[])
    }

    #[test]
    fn equal_logs_are_identical_as_far_as_both_were_hashed() {
        let comparison = of(&checkpoints(&[(0, 1), (1, 2), (2, 3)]), &checkpoints(&[(0, 1), (1, 2)]), &[], false);
        assert_eq!(comparison.identical, range(0, 2 * STEP));
        assert_eq!((comparison.difference, comparison.unproven.len()), (None, 0));
        assert_eq!(comparison.to_string(), "identical from offset 0 up to offset 131072");
    }

    #[test]
    fn the_first_difference_ends_what_is_identical() {
        let comparison =
            of(&checkpoints(&[(0, 1), (1, 2), (2, 3)]), &checkpoints(&[(0, 1), (1, 9), (2, 3)]), &[], false);
        assert_eq!(comparison.identical, range(0, STEP));
        assert_eq!(comparison.difference.unwrap().range, range(STEP, 2 * STEP));
        let missing = of(&checkpoints(&[(0, 1), (1, 2), (2, 3)]), &checkpoints(&[(0, 1), (2, 3)]), &[], false);
        assert_eq!(missing.difference.unwrap().target, None);
    }

    #[test]
    fn behind_a_damaged_source_the_copy_is_compared_on_and_is_not_identical() {
        let source = checkpoints(&[(0, 1), (1, 2), (2, 3), (3, 4)]);
        let target = checkpoints(&[(0, 1), (1, 9), (2, 3), (3, 8)]);
        let found = of(&source, &target, &[], false).difference.unwrap();
        let side = |checkpoints| Side { start: Offset(7), checkpoints };
        let behind = compare(side(&source), side(&target), &[], false, &[found]);
        assert_eq!(behind.identical, range(7, STEP));
        assert_eq!(behind.difference.unwrap().range, range(3 * STEP, 4 * STEP));
        let mended = checkpoints(&[(0, 1), (1, 5), (2, 3), (3, 8)]);
        let again = compare(side(&mended), side(&target), &[], false, &[found]);
        assert_eq!(again.difference.unwrap().range, found.range, "it is another");
    }

    #[test]
    fn a_hole_is_the_same_on_both_sides_or_a_difference() {
        let far = (1 << 24) + 1;
        let both = checkpoints(&[(0, 1), (far, 2)]);
        assert_eq!(of(&both, &both, &[], false).identical.end, Interval(far + 1).range().start);
        let other = checkpoints(&[(0, 1), (5, 4), (far, 2)]);
        assert_eq!(of(&both, &other, &[], false).identical, range(0, 5 * STEP));
    }

    #[test]
    fn a_recorded_gap_and_compaction_are_no_differences_and_no_proof() {
        let (source, target) = (checkpoints(&[(0, 1), (1, 2), (2, 3)]), checkpoints(&[(0, 1), (2, 3)]));
        let gap = of(&source, &target, &[range(STEP + 5, 2 * STEP)], false);
        assert_eq!(gap.unproven, [Unproven { range: range(STEP, 2 * STEP), why: WhyUnproven::Gap }]);
        assert_eq!((gap.identical, gap.difference), (range(0, 3 * STEP), None));
        let compacted = of(&source, &target, &[], true);
        assert_eq!(compacted.unproven[0].why, WhyUnproven::Compaction);
        assert!(compacted.to_string().ends_with("but for 1 ranges that cannot be compared"));
    }

    #[test]
    fn a_copy_that_began_within_an_interval_proves_the_next_ones() {
        let source = checkpoints(&[(0, 1), (1, 2), (2, 3)]);
        let mut target = Checkpoints::default();
        target.add(Checkpoint { interval: Interval(1), from: Offset(STEP + 7), batches: 1, hash: 8 });
        target.add(source.entries()[2]);
        let (start, zero) = (Offset(STEP + 7), Offset::ZERO);
        let sides = (Side { start: zero, checkpoints: &source }, Side { start, checkpoints: &target });
        let comparison = compare(sides.0, sides.1, &[], false, &[]);
        assert_eq!(comparison.identical, range(STEP + 7, 3 * STEP));
        assert_eq!(comparison.unproven, [Unproven { range: range(STEP + 7, 2 * STEP), why: WhyUnproven::Retention }]);
    }

    #[test]
    fn intervals_hashed_before_retention_took_their_beginning_still_prove() {
        let both = checkpoints(&[(1, 2), (2, 3)]);
        let side = Side { start: Offset(STEP + 9), checkpoints: &both };
        let comparison = compare(side, side, &[], false, &[]);
        assert_eq!((comparison.identical, comparison.unproven.len()), (range(STEP + 9, 3 * STEP), 0));
    }

    #[test]
    fn nothing_hashed_is_nothing_proven() {
        let comparison = of(&Checkpoints::default(), &checkpoints(&[(0, 1)]), &[], false);
        assert!(comparison.identical.is_empty());
    }

    #[test]
    fn many_unproven_ranges_are_counted() {
        let entries: Vec<_> = (0..250).map(|n| (n * 2, 1)).collect();
        let other: Vec<_> = (0..250).map(|n| (n * 2, 2)).collect();
        let comparison = of(&checkpoints(&entries), &checkpoints(&other), &[], true);
        assert_eq!((comparison.unproven.len(), comparison.unproven_more), (UNPROVEN_MAX, 150));
    }
}
