use super::{Answer, Image, Lineage, Refusal};
use model::{Grant, GrantState, LeaderEpoch, Opening, OwnershipEpoch, ProtectionGroup};
use serde::{Deserialize, Serialize};

/// How the region stands towards one protection group: its highest grant, and what holds under it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The grant obeyed.
    pub grant: Grant,
    /// The council's entry that said so.
    pub council_index: u64,
    /// Whether the grant is this region's.
    pub owned: bool,
    /// Whether all its partitions were started under the grant, so that clients may write.
    pub opened: bool,
    /// Whether writes and commits are refused under the grant.
    pub stopped: bool,
    /// Whether nothing more is taken from any link under the grant.
    pub sealed: bool,
    /// Whether the council has dropped the group.
    pub retired: bool,
    /// A producer whose last batch here is of an earlier leader epoch may jump forward once: records of its may be lost.
    pub jumps_below: Option<LeaderEpoch>,
}

impl Group {
    /// The highest ownership epoch obeyed.
    pub fn obeyed(&self) -> OwnershipEpoch {
        self.grant.ownership_epoch
    }

    /// Whether this region may take writes and commits, given a lease.
    pub fn takes_writes(&self) -> bool {
        self.owned && self.opened && !self.stopped && !self.retired && self.grant.state == GrantState::Held
    }

    /// Whether links may write to this region's copies.
    pub fn takes_copies(&self) -> bool {
        !self.owned && !self.sealed && !self.retired
    }

    /// Whether mirrored producers may jump forward once where the grant's first leaderships begin.
    pub fn allows_jumps(&self) -> bool {
        self.jumps_below.is_some() && self.jumps_below == LeaderEpoch::of(self.obeyed(), 0).ok()
    }

    fn check_epoch(&self, given: OwnershipEpoch) -> Result<(), Refusal> {
        let (group, obeyed) = (self.grant.group.clone(), self.obeyed());
        match given.cmp(&obeyed) {
            std::cmp::Ordering::Less => Err(Refusal::Outdated { group, obeyed, given }),
            std::cmp::Ordering::Greater => Err(Refusal::NotYet { group, obeyed, given }),
            std::cmp::Ordering::Equal => Ok(()),
        }
    }

    fn not_owner(&self) -> Refusal {
        Refusal::NotOwner { group: self.grant.group.clone(), owner: self.grant.owner.clone(), epoch: self.obeyed() }
    }

    /// Whether a grant that follows this one to the same owner needs no `Open`: nothing can have been written elsewhere.
    fn goes_on_under(&self, grant: &Grant, owned: bool) -> bool {
        owned && (self.owned && self.opened && grant.openings.is_empty() || grant.active.is_some())
    }

    /// The lowest leader epoch of a lineage that may lack records of the one before.
    fn jumps_below_after(known: Option<LeaderEpoch>, grant: &Grant) -> Option<LeaderEpoch> {
        let lossy = grant.openings.iter().any(Opening::leaves_hole);
        let first = lossy.then(|| LeaderEpoch::of(grant.ownership_epoch, 0).ok()).flatten();
        known.max(first)
    }
}

impl Image {
    pub(super) fn obey(&mut self, council_index: u64, grant: Grant) -> Result<Answer, Refusal> {
        self.check_grant(council_index, &grant)?;
        self.see_council(council_index)?;
        let owned = self.region.as_ref().ok_or(Refusal::NotFounded)?.name == grant.owner;
        let next = self.group_under(council_index, &grant, owned);
        if self.groups.get(&grant.group).is_some_and(|known| same_but_for_index(known, &next)) {
            return Ok(Answer::Unchanged);
        }
        self.record_openings(&grant);
        self.groups.insert(grant.group.clone(), next);
        Ok(Answer::Applied)
    }

    fn check_grant(&self, council_index: u64, grant: &Grant) -> Result<(), Refusal> {
        let Some(known) = self.groups.get(&grant.group) else { return Ok(()) };
        let (group, obeyed, given) = (grant.group.clone(), known.obeyed(), grant.ownership_epoch);
        if given < obeyed {
            return Err(Refusal::Outdated { group, obeyed, given });
        }
        if council_index < known.council_index {
            return Err(Refusal::CouncilOutdated { seen: known.council_index, given: council_index });
        }
        if given == obeyed && known.grant.owner != grant.owner {
            let (owner, claimed) = (known.grant.owner.clone(), grant.owner.clone());
            return Err(Refusal::TwoOwners { group, epoch: given, owner, claimed });
        }
        Ok(())
    }

    fn group_under(&self, council_index: u64, grant: &Grant, owned: bool) -> Group {
        let known = self.groups.get(&grant.group);
        let jumps_below = Group::jumps_below_after(known.and_then(|group| group.jumps_below), grant);
        let fresh = |opened| Group {
            grant: grant.clone(),
            council_index,
            owned,
            opened,
            stopped: false,
            sealed: false,
            retired: false,
            jumps_below,
        };
        match known {
            Some(known) if known.obeyed() == grant.ownership_epoch => {
                Group { stopped: known.stopped, sealed: known.sealed, ..fresh(known.opened) }
            }
            Some(known) => fresh(known.goes_on_under(grant, owned)),
            // What a region of an active-active group writes has an origin of its own: it lacks nothing.
            None => fresh(owned && (grant.ownership_epoch == OwnershipEpoch(1) || grant.active.is_some())),
        }
    }

    /// Notes where each partition's lineage departed, in every region that holds the partition.
    fn record_openings(&mut self, grant: &Grant) {
        for opening in &grant.openings {
            if let Some(partition) = self.partition_mut(opening.topic, opening.partition) {
                partition.record_lineage(Lineage {
                    ownership_epoch: grant.ownership_epoch,
                    common_end: opening.common_end,
                    base: opening.base,
                });
            }
        }
    }

    pub(super) fn retire(&mut self, council_index: u64, group: &ProtectionGroup) -> Result<Answer, Refusal> {
        self.see_council(council_index)?;
        let known = self.groups.get_mut(group).ok_or_else(|| Refusal::UnknownGroup(group.clone()))?;
        if known.retired {
            return Ok(Answer::Unchanged);
        }
        known.retired = true;
        known.council_index = council_index;
        Ok(Answer::Applied)
    }

    pub(super) fn allow_jumps(&mut self, group: &ProtectionGroup, epoch: OwnershipEpoch) -> Result<Answer, Refusal> {
        let known = self.group_at(group, epoch)?;
        if !known.owned {
            return Err(known.not_owner());
        }
        let below = known.jumps_below.max(LeaderEpoch::of(epoch, 0).ok());
        let changed = std::mem::replace(&mut known.jumps_below, below) != below;
        Ok(if changed { Answer::Applied } else { Answer::Unchanged })
    }

    pub(super) fn open(
        &mut self,
        group: &ProtectionGroup,
        epoch: OwnershipEpoch,
        jumps: bool,
    ) -> Result<Answer, Refusal> {
        let known = self.group_at(group, epoch)?;
        if !known.owned {
            return Err(known.not_owner());
        }
        if known.opened {
            return Ok(Answer::Unchanged);
        }
        known.opened = true;
        if jumps {
            known.jumps_below = known.jumps_below.max(LeaderEpoch::of(epoch, 0).ok());
        }
        Ok(Answer::Applied)
    }

    pub(super) fn stop(
        &mut self,
        group: &ProtectionGroup,
        epoch: OwnershipEpoch,
        stopped: bool,
    ) -> Result<Answer, Refusal> {
        let known = self.group_at(group, epoch)?;
        if !known.owned {
            return Err(known.not_owner());
        }
        let changed = std::mem::replace(&mut known.stopped, stopped) != stopped;
        Ok(if changed { Answer::Applied } else { Answer::Unchanged })
    }

    pub(super) fn seal(
        &mut self,
        group: &ProtectionGroup,
        epoch: OwnershipEpoch,
        sealed: bool,
    ) -> Result<Answer, Refusal> {
        let known = self.group_at(group, epoch)?;
        let changed = std::mem::replace(&mut known.sealed, sealed) != sealed;
        Ok(if changed { Answer::Applied } else { Answer::Unchanged })
    }

    /// The group, if exactly `epoch` is obeyed.
    pub(super) fn group_at(&mut self, group: &ProtectionGroup, epoch: OwnershipEpoch) -> Result<&mut Group, Refusal> {
        let known = self.groups.get_mut(group).ok_or_else(|| Refusal::UnknownGroup(group.clone()))?;
        known.check_epoch(epoch)?;
        Ok(known)
    }
}

fn same_but_for_index(known: &Group, next: &Group) -> bool {
    known.grant == next.grant && known.retired == next.retired
}

#[cfg(test)]
mod tests {
    use super::super::samples::{founded, grant, name};
    use super::*;
    use model::{ActiveActive, ConflictPolicy, GroupId, Offset, PartitionId, Pattern, TopicId, coordinating_grant};

    fn obeying(grants: &[Grant]) -> Image {
        let mut image = founded();
        for (index, grant) in grants.iter().enumerate() {
            image.obey(index as u64, grant.clone()).unwrap();
        }
        image
    }

    #[test]
    fn the_highest_ownership_epoch_is_obeyed() {
        let mut image = obeying(&[grant("orders", "r1", 1), grant("orders", "r2", 2)]);
        let late = image.obey(7, grant("orders", "r1", 1));
        assert!(matches!(late, Err(Refusal::Outdated { .. })));
        let known = image.group(&name("orders")).unwrap();
        assert_eq!((known.obeyed(), known.owned), (OwnershipEpoch(2), false));
    }

    #[test]
    fn one_epoch_has_one_owner() {
        let mut image = obeying(&[grant("orders", "r1", 1)]);
        assert!(matches!(image.obey(1, grant("orders", "r2", 1)), Err(Refusal::TwoOwners { .. })));
    }

    #[test]
    fn a_first_grant_opens_by_itself_and_a_taken_over_one_waits_for_the_order() {
        let mut image = obeying(&[grant("orders", "r1", 1)]);
        assert!(image.group(&name("orders")).unwrap().takes_writes());
        image.obey(1, grant("orders", "r2", 2)).unwrap();
        assert!(!image.group(&name("orders")).unwrap().takes_writes());
        image.obey(2, grant("orders", "r1", 3)).unwrap();
        assert!(!image.group(&name("orders")).unwrap().takes_writes());
        image.open(&name("orders"), OwnershipEpoch(3), false).unwrap();
        assert!(image.group(&name("orders")).unwrap().takes_writes());
    }

    #[test]
    fn an_owner_whose_epoch_is_raised_goes_on() {
        let image = obeying(&[grant("orders", "r1", 1), grant("orders", "r1", 65)]);
        assert!(image.group(&name("orders")).unwrap().takes_writes());
    }

    #[test]
    fn a_fresh_region_does_not_open_what_it_is_said_to_have_owned() {
        let image = obeying(&[grant("orders", "r1", 5)]);
        assert!(!image.group(&name("orders")).unwrap().takes_writes());
    }

    #[test]
    fn a_group_that_every_region_owns_needs_no_opening() {
        let active = Some(ActiveActive { policy: ConflictPolicy::LastWriterWins, regions: vec![] });
        let mut image = obeying(&[Grant { active: active.clone(), ..grant("both", "r1", 5) }]);
        assert!(image.group(&name("both")).unwrap().takes_writes());
        image.obey(1, Grant { active, ..grant("both", "r1", 69) }).unwrap();
        assert!(image.group(&name("both")).unwrap().takes_writes());
    }

    #[test]
    fn stop_and_seal_end_with_their_grant() {
        let mut image = obeying(&[grant("orders", "r1", 1)]);
        image.stop(&name("orders"), OwnershipEpoch(1), true).unwrap();
        image.seal(&name("orders"), OwnershipEpoch(1), true).unwrap();
        let mut revoked = grant("orders", "r1", 1);
        revoked.state = GrantState::Revoked;
        image.obey(1, revoked).unwrap();
        let known = image.group(&name("orders")).unwrap();
        assert!(known.stopped && known.sealed);
        image.obey(2, grant("orders", "r2", 2)).unwrap();
        let known = image.group(&name("orders")).unwrap();
        assert!(!known.stopped && !known.sealed && known.takes_copies());
        assert!(matches!(image.stop(&name("orders"), OwnershipEpoch(1), true), Err(Refusal::Outdated { .. })));
    }

    #[test]
    fn a_revoked_owner_takes_no_writes_and_a_regranted_one_does() {
        let mut image = obeying(&[grant("orders", "r1", 1)]);
        let mut revoked = grant("orders", "r1", 1);
        revoked.state = GrantState::Revoked;
        image.obey(1, revoked).unwrap();
        assert!(!image.group(&name("orders")).unwrap().takes_writes());
        image.obey(2, grant("orders", "r1", 1)).unwrap();
        assert!(image.group(&name("orders")).unwrap().takes_writes());
    }

    #[test]
    fn an_order_of_a_grant_not_heard_of_is_not_yet_and_one_to_a_copy_is_not_owner() {
        let mut image = obeying(&[grant("orders", "r2", 1)]);
        assert!(matches!(image.open(&name("orders"), OwnershipEpoch(2), true), Err(Refusal::NotYet { .. })));
        assert!(matches!(image.open(&name("orders"), OwnershipEpoch(1), true), Err(Refusal::NotOwner { .. })));
        assert!(matches!(image.seal(&name("gone"), OwnershipEpoch(1), true), Err(Refusal::UnknownGroup(_))));
    }

    #[test]
    fn a_lossy_opening_lets_earlier_producers_jump_in_every_region() {
        let mut lossy = grant("orders", "r2", 2);
        let (topic, partition) = (TopicId::ZERO, PartitionId(0));
        lossy.openings = vec![Opening { topic, partition, common_end: Offset(5), base: Offset(1 << 40) }];
        let mut image = obeying(&[grant("orders", "r1", 1), lossy, grant("orders", "r1", 3)]);
        let jumps = |image: &Image| {
            let group = image.group(&name("orders")).unwrap();
            (group.jumps_below, group.allows_jumps())
        };
        let below = Some(LeaderEpoch::of(OwnershipEpoch(2), 0).unwrap());
        assert_eq!(jumps(&image), (below, false));
        let mut proven = grant("orders", "r1", 4);
        proven.openings = vec![Opening { topic, partition, common_end: Offset(5), base: Offset(5) }];
        image.obey(3, proven).unwrap();
        image.open(&name("orders"), OwnershipEpoch(4), false).unwrap();
        assert_eq!(
            jumps(&image),
            (below, false),
            "a proven one lets nobody, and takes nothing from whom an earlier one let"
        );
    }

    #[test]
    fn a_retired_group_keeps_its_fence() {
        let mut image = obeying(&[grant("orders", "r1", 4)]);
        image.retire(1, &name("orders")).unwrap();
        assert!(image.group(&name("orders")).is_none());
        assert!(matches!(image.obey(2, grant("orders", "r1", 3)), Err(Refusal::Outdated { .. })));
    }

    #[test]
    fn the_image_and_the_model_coordinate_alike() {
        let covering = |group: &str, pattern: Pattern| {
            let mut grant = grant(group, "r1", 1);
            grant.coverage.consumer_groups = vec![pattern];
            grant
        };
        let grants = [
            covering("a", Pattern::Any),
            covering("b", Pattern::Prefix("x".into())),
            covering("c", Pattern::Prefix("x".into())),
            covering("d", Pattern::Exact("xyz".into())),
        ];
        let image = obeying(&grants);
        for group in ["q", "x", "xy", "xyz", "__internal"] {
            let group = GroupId::new(group);
            let expected = coordinating_grant(&grants, &group);
            assert_eq!(image.coordinating_group(&group).map(|known| &known.grant), expected);
        }
    }
}
