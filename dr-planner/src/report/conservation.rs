//! Conservation: of the old lineage, every offset below the old tail is exactly one of present, declared lost, archived
//! as diverged, retired, or never written (a hole).

use model::{Offset, OffsetRange, PartitionId, TopicId};
use serde::{Deserialize, Serialize};

/// Whether nothing disappeared without a word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "conservation")]
pub enum Conservation {
    /// Every offset is accounted for, once.
    Holds {
        /// How many offsets that were at stake: declared lost or archived.
        at_stake: u64,
    },
    /// Some are accounted for not at all, or twice.
    Violated {
        /// Where, at most 20 of them.
        violations: Vec<Violation>,
    },
    /// That cannot be said.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// A range of offsets that is accounted for not at all, or twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// The offsets.
    pub range: OffsetRange,
    /// As what they are accounted for; empty when as nothing.
    pub accounted_as: Vec<String>,
}

/// What is known of one partition of the old lineage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionFacts {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// Where the old lineage ended, if its log said so.
    pub old_tail: Option<Offset>,
    /// Offsets that a surviving log holds.
    pub present: Vec<OffsetRange>,
    /// Offsets that are declared lost and that nobody archived.
    pub declared_lost: Vec<OffsetRange>,
    /// Offsets that were archived as diverged.
    pub archived: Vec<OffsetRange>,
    /// Offsets below the log start, or compacted away with a newer value of their key present.
    pub retired: Vec<OffsetRange>,
    /// Offsets nobody ever wrote.
    pub holes: Vec<OffsetRange>,
}

const VIOLATIONS_MAX: usize = 20;

/// Whether every offset of every partition is accounted for, once.
pub fn conserve(partitions: &[PartitionFacts]) -> Conservation {
    let violations: Vec<_> = partitions.iter().flat_map(violations).take(VIOLATIONS_MAX).collect();
    if !violations.is_empty() {
        return Conservation::Violated { violations };
    }
    let unknown = partitions.iter().filter(|facts| facts.old_tail.is_none()).count();
    if unknown > 0 {
        return Conservation::Unknown { reason: format!("the old log of {unknown} partitions has not come back") };
    }
    match partitions.iter().map(at_stake).sum() {
        0 => Conservation::Unknown { reason: "nothing was at stake".to_owned() },
        at_stake => Conservation::Holds { at_stake },
    }
}

fn at_stake(facts: &PartitionFacts) -> u64 {
    facts.declared_lost.iter().chain(&facts.archived).map(OffsetRange::len).sum()
}

impl PartitionFacts {
    fn accounts(&self) -> [(&'static str, &[OffsetRange]); 5] {
        [
            ("present", &self.present),
            ("declared lost", &self.declared_lost),
            ("archived", &self.archived),
            ("retired", &self.retired),
            ("never written", &self.holes),
        ]
    }
}

/// Cuts [0, old tail) at every bound of every range; each piece has to lie in exactly one range.
fn violations(facts: &PartitionFacts) -> Vec<Violation> {
    let Some(tail) = facts.old_tail else { return vec![] };
    let ranges =
        || facts.accounts().into_iter().flat_map(|(name, ranges)| ranges.iter().map(move |range| (name, range)));
    let mut cuts: Vec<Offset> = ranges().flat_map(|(_, range)| [range.start, range.end]).collect();
    cuts.extend([Offset::ZERO, tail]);
    cuts.retain(|cut| *cut <= tail);
    cuts.sort_unstable();
    cuts.dedup();
    let pieces = cuts.windows(2).map(|pair| OffsetRange::new(pair[0], pair[1]));
    let judged = pieces.map(|piece| {
        let holding = ranges().filter(|(_, range)| range.contains(piece.start));
        (piece, holding.map(|(name, _)| name.to_owned()).collect::<Vec<_>>())
    });
    let wrong = judged.filter(|(_, accounted_as)| accounted_as.len() != 1);
    let violation =
        |(range, accounted_as)| Violation { topic: facts.topic, partition: facts.partition, range, accounted_as };
    wrong.map(violation).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: i64, end: i64) -> OffsetRange {
        OffsetRange::new(Offset(start), Offset(end))
    }

    fn facts() -> PartitionFacts {
        PartitionFacts {
            topic: TopicId::ZERO,
            partition: PartitionId(0),
            old_tail: Some(Offset(100)),
            present: vec![range(10, 90)],
            declared_lost: vec![],
            archived: vec![range(90, 100)],
            retired: vec![range(0, 10)],
            holes: vec![],
        }
    }

    #[test]
    fn an_account_without_gap_or_overlap_holds() {
        assert_eq!(conserve(&[facts()]), Conservation::Holds { at_stake: 10 });
    }

    #[test]
    fn a_missing_offset_is_found() {
        let facts = PartitionFacts { archived: vec![range(91, 100)], ..facts() };
        let Conservation::Violated { violations } = conserve(&[facts]) else { panic!() };
        assert_eq!((violations[0].range, violations[0].accounted_as.len()), (range(90, 91), 0));
    }

    #[test]
    fn an_offset_that_is_both_lost_and_present_is_found() {
        let facts = PartitionFacts { declared_lost: vec![range(89, 90)], ..facts() };
        let Conservation::Violated { violations } = conserve(&[facts]) else { panic!() };
        assert_eq!(violations[0].range, range(89, 90));
        assert_eq!(violations[0].accounted_as, ["present", "declared lost"]);
    }

    #[test]
    fn what_lies_above_the_old_tail_is_the_new_lineage() {
        let facts = PartitionFacts { present: vec![range(10, 90), range(1 << 40, 1 << 41)], ..facts() };
        assert_eq!(conserve(&[facts]), Conservation::Holds { at_stake: 10 });
    }

    #[test]
    fn a_hole_of_an_earlier_lineage_is_accounted_for() {
        let facts =
            PartitionFacts { present: vec![range(10, 50), range(80, 90)], holes: vec![range(50, 80)], ..facts() };
        assert_eq!(conserve(&[facts]), Conservation::Holds { at_stake: 10 });
    }

    #[test]
    fn nothing_at_stake_or_no_old_log_is_unknown() {
        let idle = PartitionFacts { present: vec![range(10, 100)], archived: vec![], ..facts() };
        assert!(matches!(conserve(&[idle]), Conservation::Unknown { reason } if reason == "nothing was at stake"));
        let dark = PartitionFacts { old_tail: None, ..facts() };
        assert!(matches!(conserve(&[facts(), dark]), Conservation::Unknown { .. }));
    }
}
