//! Leases: until when this region may write for the protection groups it owns.
//!
//! The keeper notes the boot clock *before* it sends a renewal and extends to that time plus the council's TTL, so no
//! clock is ever compared with another one. A lease that lapsed is gone until it is extended; one of an older ownership
//! epoch never comes back.

use model::{OwnershipEpoch, ProtectionGroup};
use std::collections::BTreeMap;
use std::time::Duration;

/// The leases of a region; a region boots without any.
#[derive(Clone, Debug, Default)]
pub struct Leases {
    leases: BTreeMap<ProtectionGroup, Lease>,
}

/// One lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The grant it stands for.
    pub ownership_epoch: OwnershipEpoch,
    /// The moment it ends, since boot.
    pub until: Duration,
}

/// The lease does not stand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lease on {group} under ownership epoch {ownership_epoch} does not stand")]
pub struct Lapsed {
    /// The group.
    pub group: ProtectionGroup,
    /// The grant.
    pub ownership_epoch: OwnershipEpoch,
}

impl Leases {
    /// The council confirmed the grant: it stands until `until`, or for longer if it already does.
    pub fn extend(&mut self, group: &ProtectionGroup, ownership_epoch: OwnershipEpoch, until: Duration) {
        let lease = self.of(group);
        if ownership_epoch > lease.ownership_epoch {
            *lease = Lease { ownership_epoch, until };
        } else if ownership_epoch == lease.ownership_epoch {
            lease.until = lease.until.max(until);
        }
    }

    /// The grant was revoked, or a later one is obeyed: a lease of this epoch ends now and an earlier one for ever. The
    /// council may confirm this epoch again (a revocation can be undone).
    pub fn revoke(&mut self, group: &ProtectionGroup, ownership_epoch: OwnershipEpoch) {
        let lease = self.of(group);
        if ownership_epoch >= lease.ownership_epoch {
            *lease = Lease { ownership_epoch, until: Duration::ZERO };
        }
    }

    fn of(&mut self, group: &ProtectionGroup) -> &mut Lease {
        let none = Lease { ownership_epoch: OwnershipEpoch(0), until: Duration::ZERO };
        self.leases.entry(group.clone()).or_insert(none)
    }

    /// Until when the lease stands under exactly this epoch, if it does at `now`.
    ///
    /// # Errors
    /// [`Lapsed`].
    pub fn standing(
        &self,
        now: Duration,
        group: &ProtectionGroup,
        ownership_epoch: OwnershipEpoch,
    ) -> Result<Duration, Lapsed> {
        let stands = |lease: &&Lease| lease.ownership_epoch == ownership_epoch && now < lease.until;
        let lapsed = || Lapsed { group: group.clone(), ownership_epoch };
        self.leases.get(group).filter(stands).map(|lease| lease.until).ok_or_else(lapsed)
    }

    /// When the next standing lease ends.
    pub fn next_lapse(&self, now: Duration) -> Option<Duration> {
        self.leases.values().map(|lease| lease.until).filter(|until| *until > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn group() -> ProtectionGroup {
        ProtectionGroup::new("orders").unwrap()
    }

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_region_boots_without_leases() {
        assert!(Leases::default().standing(Duration::ZERO, &group(), OwnershipEpoch(1)).is_err());
        assert!(Leases::default().standing(Duration::ZERO, &group(), OwnershipEpoch(0)).is_err());
    }

    #[test]
    fn a_lease_ends_when_it_is_not_extended() {
        let (mut leases, epoch) = (Leases::default(), OwnershipEpoch(1));
        leases.extend(&group(), epoch, seconds(3));
        leases.extend(&group(), epoch, seconds(2));
        assert_eq!(leases.standing(seconds(2), &group(), epoch), Ok(seconds(3)));
        assert_eq!(leases.next_lapse(seconds(2)), Some(seconds(3)));
        assert!(leases.standing(seconds(3), &group(), epoch).is_err());
        leases.extend(&group(), epoch, seconds(9));
        assert!(leases.standing(seconds(4), &group(), epoch).is_ok());
    }

    #[test]
    fn a_revoked_lease_ends_at_once_and_may_be_granted_again() {
        let (mut leases, epoch) = (Leases::default(), OwnershipEpoch(2));
        leases.extend(&group(), epoch, seconds(9));
        leases.revoke(&group(), OwnershipEpoch(1));
        assert!(leases.standing(seconds(1), &group(), epoch).is_ok());
        leases.revoke(&group(), epoch);
        assert!(leases.standing(seconds(1), &group(), epoch).is_err());
        leases.extend(&group(), epoch, seconds(9));
        assert!(leases.standing(seconds(1), &group(), epoch).is_ok());
    }

    #[derive(Clone, Debug)]
    enum Act {
        Extend(u32, u64),
        Revoke(u32),
    }

    proptest! {
        #[test]
        fn a_lease_stands_for_the_highest_epoch_only(
            acts in prop::collection::vec(
                prop_oneof![(1_u32..5, 0_u64..50).prop_map(|(e, u)| Act::Extend(e, u)), (1_u32..5).prop_map(Act::Revoke)],
                0..40,
            ),
            now in 0_u64..50,
        ) {
            let (mut leases, mut highest) = (Leases::default(), 0);
            for act in acts {
                match act {
                    Act::Extend(epoch, until) => leases.extend(&group(), OwnershipEpoch(epoch), seconds(until)),
                    Act::Revoke(epoch) => leases.revoke(&group(), OwnershipEpoch(epoch)),
                }
                let (Act::Extend(epoch, _) | Act::Revoke(epoch)) = act;
                highest = highest.max(epoch);
                for epoch in (0..5).filter(|epoch| *epoch != highest) {
                    prop_assert!(leases.standing(seconds(now), &group(), OwnershipEpoch(epoch)).is_err());
                }
            }
        }
    }
}
