//! Offsets that were dropped at the source before they were copied.

use model::{Baseline, Offset, OffsetRange, OwnershipEpoch, PartitionId, Timestamp, TopicId};
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
    /// They are there, but not as the source has them.
    Difference,
    /// They are there, and sound, but the source's disk gives something else than was written to it.
    SourceDamaged,
    /// The disks of both give something else than was written to them.
    BothDamaged,
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
            Self::Compaction => "the source was compacted before they were copied; the copy must be rebuilt (farshore link rebuild)",
            Self::Difference => {
                "what is stored here is not what the source stores; rebuild the copy (farshore link rebuild)"
            }
            Self::SourceDamaged => {
                "what the source stores is damaged and what is stored here is sound; move the group to this copy, and do not \
                 rebuild it from there"
            }
            Self::BothDamaged => {
                "what is stored here and what the source stores are both damaged; restore them from a backup, or move the \
                 group to another copy"
            }
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

/// What a copy that holds `held`, and says `own` of itself, has to say of itself before it goes on with what a source holds
/// that says `source`.
///
/// A copy that holds nothing takes over what its source says: whatever went before was forgotten together with what it was
/// about. One that ends below what was forgotten since has missed deletions: it keeps keys that were deleted. That is
/// recorded as a gap by [`GapReason::Compaction`], and stays until the copy is made anew. What the source has not changed
/// since the copy began is not missed, or a copy that begins would miss it with every answer.
pub fn inherit(own: Baseline, source: &Baseline, held: OffsetRange) -> Baseline {
    if held.is_empty() {
        return Baseline { remade: own.remade, missed: None, different: None, ..*source };
    }
    let tail = held.end;
    let has_forgotten_else = (source.forgotten, source.forgotten_at) != (own.forgotten, own.forgotten_at);
    let has_missed = has_forgotten_else && tail < source.forgotten;
    let mut next = own;
    if source.forgotten > own.forgotten || has_missed {
        (next.forgotten, next.forgotten_at) = (source.forgotten.max(own.forgotten), source.forgotten_at);
    } else if has_forgotten_else && tail < own.forgotten {
        // Another leader, which has forgotten less: what comes of it now was not there where the copy began, and nothing
        // that the first one had forgotten above may be missing of it later.
        (next.forgotten, next.forgotten_at) = (tail, source.forgotten_at);
    }
    if tail < source.thinned {
        next.thinned.advance(source.thinned);
    }
    // A copy that has missed something is told so once.
    if has_missed && own.missed.is_none() { next.missing(OffsetRange::new(tail, source.forgotten)) } else { next }
}

/// Whether a copy that holds `held` may be completed from another copy that ends at `tail` and says `other` of itself: not
/// if it were less of a standby for it.
pub fn completes(own: Baseline, other: &Baseline, tail: Offset, held: OffsetRange) -> bool {
    other.is_whole(tail) && (own.missed.is_some() || inherit(own, other, held).missed.is_none())
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

    fn forgotten(below: i64, at: i64) -> Baseline {
        Baseline { forgotten: Offset(below), forgotten_at: Timestamp(at), ..Baseline::default() }
    }

    fn held(start: i64, tail: i64) -> OffsetRange {
        OffsetRange::new(Offset(start), Offset(tail))
    }

    #[test]
    fn a_copy_misses_what_was_forgotten_above_it_since_it_began() {
        let missed = |own, held| inherit(own, &forgotten(50, 9), held).missed;
        assert_eq!(missed(Baseline::default(), held(0, 20)), Some(held(20, 50)));
        assert_eq!(missed(forgotten(50, 8), held(0, 20)), Some(held(20, 50)), "the same offset, but later");
        assert_eq!(missed(forgotten(60, 8), held(0, 20)), Some(held(20, 50)), "another leader of the source");
        assert_eq!(missed(Baseline::default(), held(0, 50)), None, "it has read all of it");
        assert_eq!(missed(Baseline::default(), held(20, 20)), None, "it holds nothing yet");
        assert_eq!(missed(forgotten(50, 9), held(0, 20)), None, "it was forgotten before the copy began");
    }

    #[test]
    fn a_copy_that_began_with_one_leader_and_read_of_another_misses_what_the_first_had_forgotten() {
        let begun = inherit(Baseline::default(), &forgotten(50, 9), held(0, 0));
        let turned = inherit(begun, &Baseline::default(), held(0, 20));
        assert_eq!((turned.missed, turned.forgotten), (None, Offset(20)));
        assert_eq!(inherit(turned, &forgotten(50, 9), held(0, 30)).missed, Some(held(30, 50)));
        assert_eq!(inherit(turned, &forgotten(50, 9), held(0, 50)).missed, None);
    }

    #[test]
    fn a_copy_that_begins_takes_over_what_is_forgotten_and_never_loops() {
        let source = Baseline { thinned: Offset(70), ..forgotten(50, 9) };
        let mut own = inherit(Baseline { remade: 3, ..Baseline::default() }, &source, held(0, 0));
        assert_eq!(own, Baseline { remade: 3, ..source });
        for tail in 1..100 {
            own = inherit(own, &source, held(0, tail));
            assert_eq!((own.missed, own.is_whole(Offset(tail))), (None, tail >= 70));
        }
    }

    #[test]
    fn a_copy_that_missed_something_says_so_until_it_is_made_anew() {
        let own = inherit(Baseline::default(), &forgotten(50, 9), held(0, 20));
        let further = inherit(own, &forgotten(50, 9), held(0, 30));
        assert_eq!((further, further.missed), (own, Some(held(20, 50))), "once is enough");
        assert_eq!(inherit(own, &forgotten(80, 10), held(0, 60)).missed, Some(held(20, 50)));
        assert_eq!(inherit(own.cleared(), &forgotten(80, 10), held(0, 0)), forgotten(80, 10));
    }

    #[test]
    fn what_a_chain_of_regions_has_forgotten_is_handed_on() {
        let second = inherit(Baseline::default(), &forgotten(50, 9), held(0, 60));
        assert_eq!(second, forgotten(50, 9), "it had read that far");
        assert_eq!(inherit(Baseline::default(), &second, held(0, 20)).missed, Some(held(20, 50)));
    }

    #[test]
    fn a_copy_is_completed_only_by_one_that_is_a_standby() {
        let own = Baseline::default();
        assert!(completes(own, &forgotten(20, 9), Offset(60), held(0, 20)));
        assert!(!completes(own, &forgotten(50, 9), Offset(60), held(0, 20)), "it would miss a deletion");
        assert!(!completes(own, &own.missing(held(5, 9)), Offset(60), held(0, 20)));
        assert!(!completes(own, &Baseline { thinned: Offset(70), ..own }, Offset(60), held(0, 20)));
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
