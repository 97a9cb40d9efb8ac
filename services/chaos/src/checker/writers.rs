//! One writer: once an owner of a newer grant has acknowledged a record, no producer gets an acknowledgement of an older
//! one any more.
//!
//! Which grant an acknowledgement belongs to follows from its region, where the producer knows it, and from its offset:
//! a new lineage starts at its base and offsets are never used again.

use super::evidence::{Evidence, Partition};
use super::{Anomaly, Cases, Class};
use model::{Offset, OwnershipEpoch, RegionName};

pub(super) fn check(evidence: &Evidence<'_>) -> Vec<Anomaly> {
    evidence.partitions.iter().flat_map(|(name, partition)| one_writer(Cases::of(name), partition)).collect()
}

fn one_writer(mut cases: Cases<'_>, partition: &Partition<'_>) -> Vec<Anomaly> {
    let mut acks: Vec<(u64, OwnershipEpoch, u64)> = partition
        .acked()
        .map(|(value, _, at, offset, region)| (at, epoch_of(partition, offset, region), value))
        .collect();
    acks.sort_unstable();
    let mut newest: Option<(OwnershipEpoch, u64)> = None;
    for (at, epoch, value) in acks {
        match newest {
            Some((reigning, since)) if epoch < reigning => cases.add(Class::DualWriter, || {
                let late = (at - since) / 1_000_000;
                format!("{value} was acknowledged under grant {epoch} {late} ms after the first under grant {reigning}")
            }),
            Some((reigning, _)) if epoch == reigning => {}
            _ => newest = Some((epoch, at)),
        }
    }
    cases.into_anomalies()
}

/// The grant of an acknowledgement: the newest whose lineage reaches down to the offset, of that region if it is known.
fn epoch_of(partition: &Partition<'_>, offset: Offset, region: Option<&RegionName>) -> OwnershipEpoch {
    partition
        .promotions
        .iter()
        .filter(|promotion| promotion.base <= offset && region.is_none_or(|region| region == promotion.owner))
        .map(|promotion| promotion.ownership_epoch)
        .max()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::checker::story::Story;
    use crate::checker::{Class, Verdict};

    const BASE: i64 = 1 << 40;

    #[test]
    fn an_old_owner_that_acknowledges_after_the_new_one_is_found() {
        let mut story = Story::new();
        story.acked_by(1, 0, "r1").promoted("r2", 2, 1, BASE).acked_by(2, BASE + 1, "r2").acked_by(3, 1, "r1");
        story.loses(1, 2).scan("r2", &[(0, 1), (BASE + 1, 2)]);
        assert_eq!(story.classes(), [Class::DualWriter]);
    }

    #[test]
    fn an_acknowledgement_in_the_diverged_range_gives_the_old_owner_away() {
        let mut story = Story::new();
        story.acked(1, 0).promoted("r2", 2, 1, BASE).acked(2, BASE + 1).acked(3, 1);
        story.loses(1, 2).scan("r2", &[(0, 1), (BASE + 1, 2)]);
        assert_eq!(story.classes(), [Class::DualWriter]);
    }

    #[test]
    fn after_a_planned_switch_the_region_tells_them_apart() {
        let mut story = Story::new();
        story.acked_by(1, 0, "r1").promoted("r2", 2, 1, 1).acked_by(2, 1, "r2").acked_by(3, 2, "r1");
        story.scan("r2", &[(0, 1), (1, 2), (2, 3)]);
        assert_eq!(story.classes(), [Class::DualWriter]);
    }

    #[test]
    fn a_late_acknowledgement_before_the_new_owners_first_is_fine() {
        let mut story = Story::new();
        story.acked_by(1, 0, "r1").promoted("r2", 2, 1, BASE).acked_by(3, 1, "r1").acked_by(2, BASE + 1, "r2");
        story.loses(1, 2).scan("r2", &[(0, 1), (BASE + 1, 2)]);
        assert_eq!(story.check().verdict, Verdict::Pass);
    }

    #[test]
    fn going_there_and_back_again_is_fine() {
        let mut story = Story::new();
        story.acked_by(1, 0, "r1").promoted("r2", 2, 1, 1).acked_by(2, 1, "r2");
        story.promoted("r1", 3, 2, 2).acked_by(3, 2, "r1").scan("r1", &[(0, 1), (1, 2), (2, 3)]);
        assert_eq!(story.check().verdict, Verdict::Pass);
    }
}
