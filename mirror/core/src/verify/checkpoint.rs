use model::{Offset, OffsetRange};
use serde::{Deserialize, Serialize};

const OFFSETS_BITS: u32 = 16;

/// The n-th 2^16 offsets of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Interval(pub u64);

impl Interval {
    /// The one `offset` lies in.
    pub const fn of(offset: Offset) -> Self {
        Self(if offset.0 < 0 { 0 } else { offset.0 as u64 >> OFFSETS_BITS })
    }

    /// Its offsets.
    pub const fn range(self) -> OffsetRange {
        let start = Offset(((self.0 << OFFSETS_BITS) & i64::MAX as u64) as i64);
        OffsetRange::new(start, start.plus(1 << OFFSETS_BITS))
    }

    /// The next one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// What stands in one interval of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Which.
    pub interval: Interval,
    /// The first offset that was looked at: the interval's own, or the log start when that was above it.
    pub from: Offset,
    /// How many batches begin there; 0 marks an interval that was passed over.
    pub batches: u32,
    /// Their content hash, as brokers give it for a range.
    pub hash: u64,
}

/// What is to be hashed next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The interval.
    pub interval: Interval,
    /// The range to hash.
    pub range: OffsetRange,
}

/// The next interval to hash of a log from `start`, when everything below `written` is: the first that is below the
/// high watermark as a whole and not in one of `holes` or below the start.
pub fn due(written: Interval, start: Offset, high_watermark: Offset, holes: &[OffsetRange]) -> Option<Due> {
    let mut interval = written.max(Interval::of(start));
    while let Some(hole) = holes.iter().find(|hole| is_within(interval.range(), **hole)) {
        interval = Interval::of(hole.end).max(interval.next());
    }
    let range = interval.range();
    let range = OffsetRange::new(range.start.max(start), range.end);
    (range.end <= high_watermark).then_some(Due { interval, range })
}

fn is_within(range: OffsetRange, hole: OffsetRange) -> bool {
    hole.start <= range.start && range.end <= hole.end
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::limits::PROMOTE_HOLE_OFFSETS;

    const STEP: i64 = 1 << 16;

    fn due_range(written: u64, start: i64, high_watermark: i64, holes: &[OffsetRange]) -> Option<(u64, i64, i64)> {
        let due = due(Interval(written), Offset(start), Offset(high_watermark), holes)?;
        Some((due.interval.0, due.range.start.0, due.range.end.0))
    }

    #[test]
    fn an_interval_is_due_when_all_of_it_is_committed() {
        assert_eq!(due_range(0, 0, STEP - 1, &[]), None);
        assert_eq!(due_range(0, 0, STEP, &[]), Some((0, 0, STEP)));
        assert_eq!(due_range(1, 0, STEP, &[]), None);
    }

    #[test]
    fn what_is_below_the_log_start_is_passed_over() {
        assert_eq!(due_range(0, STEP + 5, 3 * STEP, &[]), Some((1, STEP + 5, 2 * STEP)));
    }

    #[test]
    fn a_hole_is_passed_over_in_one_step() {
        let hole = OffsetRange::new(Offset(10), Offset(10 + PROMOTE_HOLE_OFFSETS));
        let behind = Interval::of(hole.end).0;
        assert_eq!(due_range(0, 0, hole.end.0 + STEP, &[hole]), Some((0, 0, STEP)));
        assert_eq!(due_range(1, 0, hole.end.0 + STEP, &[hole]).map(|due| due.0), Some(behind));
        assert_eq!(due_range(1, 0, hole.end.0 + 1, &[hole]), None);
    }
}
