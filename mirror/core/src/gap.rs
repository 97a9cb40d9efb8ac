//! Offsets that were dropped at the source before they were copied.

use model::{Offset, OffsetRange, OwnershipEpoch, PartitionId, Timestamp, TopicId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why offsets are missing in a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The source's retention removed them while the link was behind.
    Retention,
    /// The source was compacted above what the copy had: the copy must be made again, it is no standby.
    Compaction,
    /// They are there, but not as the source has them: one of the disks gives something else than was written to it.
    Difference,
}

impl GapReason {
    /// Whether the copy cannot stand in for its source any more.
    pub const fn must_rebuild(self) -> bool {
        matches!(self, Self::Compaction)
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Retention => "the source's retention removed them before they were copied",
            Self::Compaction => "the source was compacted before they were copied; the copy must be rebuilt",
            Self::Difference => "what is stored here is not what the source stores; one of the two is damaged",
        })
    }
}

/// A fact: these offsets will never be in this copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// Exactly these offsets.
    pub range: OffsetRange,
    /// Why.
    pub reason: GapReason,
    /// Under which grant the source dropped them.
    pub ownership_epoch: OwnershipEpoch,
    /// When it was noticed, on the source's clock.
    pub found_at: Timestamp,
}

impl From<&Gap> for model::Gap {
    fn from(gap: &Gap) -> Self {
        Self { topic: gap.topic, partition: gap.partition, range: gap.range, reason: gap.reason.to_string() }
    }
}

/// What a copy that ends at `tail` has missed of a compacted source that keeps no tombstone below `forgotten` any more:
/// keys may have been deleted there whose older values the copy still holds. `None` when it missed nothing: it has come
/// further, or it holds nothing yet, since its `start` is its tail.
///
/// The range is recorded as a gap by [`GapReason::Compaction`]: the copy must be rebuilt, and is refused as a standby.
pub fn missed_deletions(start: Offset, tail: Offset, forgotten: Offset) -> Option<OffsetRange> {
    (start < tail && tail < forgotten).then_some(OffsetRange::new(tail, forgotten))
}

/// The gaps of one copy, apart and in order. Recording the same gap twice, as a restart does, changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Gaps(Vec<Gap>);

impl Gaps {
    /// Adds a gap, merged with those it touches for the same reason.
    pub fn record(&mut self, mut gap: Gap) {
        self.0.retain(|known| {
            let touches = known.range.start <= gap.range.end && gap.range.start <= known.range.end;
            let same = touches && known.reason == gap.reason;
            if same {
                gap.range.start = gap.range.start.min(known.range.start);
                gap.range.end = gap.range.end.max(known.range.end);
                gap.found_at = gap.found_at.min(known.found_at);
            }
            !same
        });
        let at = self.0.partition_point(|known| known.range.start < gap.range.start);
        self.0.insert(at, gap);
    }

    /// The gaps in order.
    pub fn entries(&self) -> &[Gap] {
        &self.0
    }

    /// Whether the copy has to be made again.
    pub fn must_rebuild(&self) -> bool {
        self.0.iter().any(|gap| gap.reason.must_rebuild())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(start: i64, end: i64, reason: GapReason) -> Gap {
        Gap {
            topic: TopicId::ZERO,
            partition: PartitionId(0),
            range: OffsetRange::new(Offset(start), Offset(end)),
            reason,
            ownership_epoch: OwnershipEpoch(1),
            found_at: Timestamp(5),
        }
    }

    fn ranges(gaps: &Gaps) -> Vec<(i64, i64)> {
        gaps.entries().iter().map(|gap| (gap.range.start.0, gap.range.end.0)).collect()
    }

    #[test]
    fn a_gap_recorded_twice_is_one_gap() {
        let mut gaps = Gaps::default();
        gaps.record(gap(10, 20, GapReason::Retention));
        gaps.record(gap(10, 20, GapReason::Retention));
        gaps.record(gap(10, 35, GapReason::Retention));
        assert_eq!(ranges(&gaps), [(10, 35)]);
    }

    #[test]
    fn only_a_copy_that_holds_something_misses_deletions() {
        let missed = |start, tail| missed_deletions(Offset(start), Offset(tail), Offset(50));
        assert_eq!(missed(0, 20), Some(OffsetRange::new(Offset(20), Offset(50))));
        assert_eq!((missed(0, 50), missed(0, 0), missed(20, 20)), (None, None, None));
    }

    #[test]
    fn gaps_apart_stay_apart_and_in_order() {
        let mut gaps = Gaps::default();
        gaps.record(gap(50, 60, GapReason::Retention));
        gaps.record(gap(10, 20, GapReason::Retention));
        assert_eq!(ranges(&gaps), [(10, 20), (50, 60)]);
        assert!(!gaps.must_rebuild());
        gaps.record(gap(20, 30, GapReason::Compaction));
        assert_eq!(ranges(&gaps), [(10, 20), (20, 30), (50, 60)]);
        assert!(gaps.must_rebuild());
    }
}
