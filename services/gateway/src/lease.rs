//! A gateway's leases on grants. The council confirms grants that stand; a gateway that has not heard so for a lease's
//! time serves them no longer, whatever it hears from the region itself.

use crate::state::State;
use env::BootInstant;
use model::{OwnershipEpoch, ProtectionGroup};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How often leases are looked at. The new owner waits 5 % of a lease longer than its end.
const WATCH_INTERVAL: Duration = Duration::from_millis(50);

/// The leases of one gateway.
#[derive(Debug, Default)]
pub(crate) struct Leases(BTreeMap<ProtectionGroup, Lease>);

#[derive(Clone, Copy, Debug)]
struct Lease {
    epoch: OwnershipEpoch,
    until: BootInstant,
    has_lapsed: bool,
}

impl Leases {
    /// The council confirmed the grant; `until` counts from before it was asked. An older grant is ignored.
    pub(crate) fn extend(&mut self, group: ProtectionGroup, epoch: OwnershipEpoch, until: BootInstant) {
        let lease = Lease { epoch, until, has_lapsed: false };
        let known = self.0.entry(group).or_insert(lease);
        if epoch > known.epoch || (epoch == known.epoch && until > known.until) {
            *known = lease;
        }
    }

    /// The grant was revoked: it is served no longer. Whether it was until now.
    pub(crate) fn end(&mut self, group: &ProtectionGroup, epoch: OwnershipEpoch, now: BootInstant) -> bool {
        let Some(lease) = self.0.get_mut(group).filter(|lease| lease.epoch == epoch && !lease.has_lapsed) else {
            return false;
        };
        (lease.until, lease.has_lapsed) = (now.min(lease.until), true);
        true
    }

    /// Whether the grant may be served at `now`.
    pub(crate) fn stands(&self, group: &ProtectionGroup, epoch: OwnershipEpoch, now: BootInstant) -> bool {
        self.0.get(group).is_some_and(|lease| lease.epoch == epoch && now < lease.until)
    }

    /// The grants whose time has run out since this was last asked.
    pub(crate) fn lapsed(&mut self, now: BootInstant) -> Vec<(ProtectionGroup, OwnershipEpoch)> {
        let mut lapsed = Vec::new();
        for (group, lease) in &mut self.0 {
            if !lease.has_lapsed && now >= lease.until {
                lease.has_lapsed = true;
                lapsed.push((group.clone(), lease.epoch));
            }
        }
        lapsed
    }
}

/// Drops the connections to a region whenever a lease on one of its grants runs out.
pub(crate) async fn watch(state: Arc<State>) {
    let mut ticks = tokio::time::interval(WATCH_INTERVAL);
    loop {
        ticks.tick().await;
        let now = state.boot();
        for (group, epoch) in state.with_leases(|leases| leases.lapsed(now)) {
            let routing = state.routing();
            let route = routing.route(&group).filter(|route| route.ownership_epoch == epoch);
            // What every region takes writes for needs no lease.
            let Some(route) = route.filter(|route| route.active.is_empty()) else { continue };
            tracing::warn!(%group, %epoch, region = %route.owner, "route lease ran out: connections are dropped");
            state.cut(&route.owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> BootInstant {
        BootInstant::after_boot(Duration::from_secs(seconds))
    }

    #[test]
    fn a_lease_ends_once_and_never_goes_back() {
        let group = ProtectionGroup::new("default").unwrap();
        let mut leases = Leases::default();
        leases.extend(group.clone(), OwnershipEpoch(2), at(10));
        leases.extend(group.clone(), OwnershipEpoch(1), at(20));
        assert!(leases.stands(&group, OwnershipEpoch(2), at(9)));
        assert!(!leases.stands(&group, OwnershipEpoch(1), at(9)));
        assert!(!leases.stands(&group, OwnershipEpoch(2), at(10)));
        assert_eq!(leases.lapsed(at(10)), [(group.clone(), OwnershipEpoch(2))]);
        assert!(leases.lapsed(at(11)).is_empty());
        leases.extend(group.clone(), OwnershipEpoch(3), at(15));
        assert!(leases.stands(&group, OwnershipEpoch(3), at(12)));
    }

    #[test]
    fn a_revoked_grant_is_served_no_longer_until_it_is_confirmed_again() {
        let group = ProtectionGroup::new("default").unwrap();
        let mut leases = Leases::default();
        leases.extend(group.clone(), OwnershipEpoch(2), at(10));
        assert!(!leases.end(&group, OwnershipEpoch(1), at(5)));
        assert!(leases.end(&group, OwnershipEpoch(2), at(5)));
        assert!(!leases.end(&group, OwnershipEpoch(2), at(6)));
        assert!(!leases.stands(&group, OwnershipEpoch(2), at(5)));
        assert!(leases.lapsed(at(11)).is_empty());
        leases.extend(group.clone(), OwnershipEpoch(2), at(20));
        assert!(leases.stands(&group, OwnershipEpoch(2), at(15)));
    }
}
