use model::{Offset, Opening, PartitionId, SealedPartition, TopicId, limits};

/// How each partition starts after an unplanned failover, from what the sealed copy holds.
///
/// The common end is what the copy holds durably. The new lineage's first batch lies 2^40 offsets above everything the
/// old owner is known to have written, so that no offset is ever given out twice. A partition of `expected` that the copy
/// has nothing of starts at a common end of 0, across the same hole.
pub fn openings(sealed: &[SealedPartition], expected: &[(TopicId, PartitionId)]) -> Vec<Opening> {
    let has = |(topic, partition): &(TopicId, PartitionId)| {
        sealed.iter().any(|copy| copy.topic == *topic && copy.partition == *partition)
    };
    let missing = expected.iter().filter(|partition| !has(partition));
    let missing = missing.map(|(topic, partition)| opening(*topic, *partition, Offset::ZERO, None));
    let held = sealed.iter().map(|copy| opening(copy.topic, copy.partition, copy.durable_end, copy.source_tail));
    let mut all: Vec<_> = held.chain(missing).collect();
    all.sort_unstable_by_key(|opening| (opening.topic, opening.partition));
    all
}

fn opening(topic: TopicId, partition: PartitionId, common_end: Offset, source_tail: Option<Offset>) -> Opening {
    let highest = source_tail.map_or(common_end, |tail| tail.max(common_end));
    Opening { topic, partition, common_end, base: highest.plus(limits::PROMOTE_HOLE_OFFSETS) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::LeaderEpoch;

    fn sealed(durable_end: i64, source_tail: Option<i64>) -> SealedPartition {
        SealedPartition {
            topic: TopicId::ZERO,
            partition: PartitionId(0),
            durable_end: Offset(durable_end),
            last_epoch: LeaderEpoch(4096),
            source_tail: source_tail.map(Offset),
            source_watermark: None,
            missing_bytes: 0,
            oldest_missing: None,
            heard_at: None,
        }
    }

    #[test]
    fn the_hole_lies_above_everything_the_source_is_known_to_have_written() {
        let hole = 1 << 40;
        let base = |copy| openings(&[copy], &[])[0].base;
        assert_eq!(base(sealed(70, Some(100))), Offset(100 + hole));
        assert_eq!(base(sealed(70, Some(60))), Offset(70 + hole));
        assert_eq!(base(sealed(70, None)), Offset(70 + hole));
    }

    #[test]
    fn a_partition_nobody_copied_starts_across_a_hole_too() {
        let expected = [(TopicId::ZERO, PartitionId(0)), (TopicId::ZERO, PartitionId(1))];
        let all = openings(&[sealed(70, Some(100))], &expected);
        assert_eq!(all.len(), 2);
        assert_eq!((all[1].partition, all[1].common_end, all[1].base), (PartitionId(1), Offset(0), Offset(1 << 40)));
    }
}
