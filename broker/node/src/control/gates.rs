//! The gates of a region: one per protection group and grant.

use crate::controller::Lease;
use crate::heart::Footing;
use crate::replica::Gate;
use broker_core::metadata::Image;
use env::BootInstant;
use model::{OwnershipEpoch, ProtectionGroup};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The gates of all grants this region holds.
pub(crate) struct Gates {
    footing: Arc<Footing>,
    /// Of the region's own topics.
    local: Arc<Gate>,
    groups: Mutex<BTreeMap<ProtectionGroup, (OwnershipEpoch, Arc<Gate>)>>,
    /// Whether the council gives leases to this broker itself.
    in_contact: AtomicBool,
}

impl Gates {
    /// Those of a broker that stands on `footing`.
    pub(crate) fn on(footing: Footing) -> Self {
        let footing = Arc::new(footing);
        Self {
            local: Gate::local(footing.clone()),
            footing,
            groups: Mutex::default(),
            in_contact: AtomicBool::new(false),
        }
    }

    /// What all gates of this broker stand on.
    pub(crate) fn footing(&self) -> &Footing {
        &self.footing
    }

    /// The gate of the region's own topics.
    pub(crate) fn local(&self) -> Arc<Gate> {
        self.local.clone()
    }

    /// Makes the gates be what `image` says: the gate of a grant that is over is shut for good, one that takes no writes
    /// is stopped.
    pub(crate) fn follow(&self, image: &Image) {
        let mut gates = self.gates();
        gates.retain(|name, (epoch, gate)| {
            let stays = image.group(name).is_some_and(|group| group.owned && group.obeyed() == *epoch);
            if !stays {
                gate.stop(true);
                gate.end();
            }
            stays
        });
        for group in image.groups().filter(|group| group.owned) {
            let name = group.grant.group.clone();
            // Where every region takes writes, nobody waits for this one's lease to run out.
            let fresh = || match group.grant.active {
                Some(_) => Gate::local(self.footing.clone()),
                None => Gate::shut(self.footing.clone()),
            };
            let (_, gate) = gates.entry(name).or_insert_with(|| (group.obeyed(), fresh()));
            gate.stop(!group.takes_writes());
        }
    }

    /// The gate of the grant this region holds on `group`, if it holds one.
    pub(crate) fn of(&self, group: &ProtectionGroup) -> Option<Arc<Gate>> {
        self.gates().get(group).map(|(_, gate)| gate.clone())
    }

    /// The council confirmed the grant to this broker: its lease stands until then.
    pub(crate) fn extend(&self, group: &ProtectionGroup, epoch: OwnershipEpoch, until: BootInstant) {
        self.in_contact.store(true, Ordering::SeqCst);
        self.borrow(group, epoch, until);
    }

    /// Whether the council gives leases to this broker itself.
    pub(crate) fn is_in_contact(&self) -> bool {
        self.in_contact.load(Ordering::SeqCst)
    }

    /// What is left at `now` of the leases the council gave to this broker itself.
    pub(crate) fn leases(&self, now: BootInstant) -> Vec<Lease> {
        if !self.is_in_contact() {
            return Vec::new();
        }
        let lease = |(group, (epoch, gate)): (&ProtectionGroup, &(OwnershipEpoch, Arc<Gate>))| {
            let left = gate.leased_for(now)?;
            Some(Lease { group: group.clone(), ownership_epoch: *epoch, left })
        };
        self.gates().iter().filter_map(lease).collect()
    }

    /// Another broker of the region was told by the council: the lease stands until then.
    pub(crate) fn borrow(&self, group: &ProtectionGroup, epoch: OwnershipEpoch, until: BootInstant) {
        if let Some((_, gate)) = self.gates().get(group).filter(|(known, _)| *known == epoch) {
            gate.extend(until);
        }
    }

    fn gates(&self) -> MutexGuard<'_, BTreeMap<ProtectionGroup, (OwnershipEpoch, Arc<Gate>)>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker_core::metadata::Command;
    use model::{Coverage, Grant, GrantState, Incarnation, RegionName};
    use std::time::Duration;

    const TTL: u64 = 3;
    const LATEST: u64 = 7;

    /// Second `second` by the clock of one process: no two of them show the same.
    fn on(clock: u64, second: u64) -> BootInstant {
        BootInstant::after_boot(Duration::from_secs(clock * 1000 + second))
    }

    const DESK: u64 = 1;
    const MEMBER: u64 = 2;

    /// A region that owns a group, and the gates of one of its brokers.
    fn gates() -> (Gates, ProtectionGroup, OwnershipEpoch) {
        let (group, epoch) = (ProtectionGroup::new("orders").unwrap(), OwnershipEpoch(1));
        let owner = RegionName::new("r1").unwrap();
        let grant = Grant {
            group: group.clone(),
            owner: owner.clone(),
            ownership_epoch: epoch,
            state: GrantState::Held,
            home: owner.clone(),
            standbys: vec![],
            coverage: Coverage::default(),
            openings: vec![],
            mode: model::ModeState::default(),
            active: None,
        };
        let mut image = Image::default();
        image.apply(Command::Found { region: owner, incarnation: Incarnation(1) }).unwrap();
        image.apply(Command::Obey { council_index: 1, grant }).unwrap();
        let gates = Gates::on(Footing::firm());
        gates.follow(&image);
        (gates, group, epoch)
    }

    /// A lease from the council through the desk to another broker. The desk asks the council at second 0, so nobody waits
    /// for this lease longer than until second `TTL`. Whoever is stopped between two of these moments wakes up in a later
    /// one.
    struct Way {
        desk_hears: u64,
        member_asks: u64,
        desk_tells: u64,
        member_hears: u64,
    }

    impl Way {
        fn all() -> impl Iterator<Item = Self> {
            let span = 0..=LATEST;
            span.clone().flat_map(move |desk_hears| {
                let span = span.clone();
                span.clone().flat_map(move |member_asks| {
                    (member_asks..=LATEST).flat_map(move |desk_tells| {
                        (desk_tells..=LATEST).map(move |member_hears| Self {
                            desk_hears,
                            member_asks,
                            desk_tells,
                            member_hears,
                        })
                    })
                })
            })
        }

        /// From when on the member takes writes, if it ever does.
        fn member_takes_writes_at(&self) -> Vec<u64> {
            let ((desk, group, epoch), (member, ..)) = (gates(), gates());
            if self.desk_hears <= self.desk_tells {
                desk.extend(&group, epoch, on(DESK, 0).plus(Duration::from_secs(TTL)));
            }
            for lease in desk.leases(on(DESK, self.desk_tells)) {
                member.borrow(&lease.group, lease.ownership_epoch, lease.until(on(MEMBER, self.member_asks)));
            }
            let gate = member.of(&group).unwrap();
            (self.member_hears..=LATEST + TTL).filter(|second| gate.is_leased(on(MEMBER, *second))).collect()
        }
    }

    #[test]
    fn no_broker_takes_writes_longer_than_its_desk_may_whoever_is_stopped_on_the_way() {
        let mut served = 0;
        for way in Way::all() {
            let Way { desk_hears, member_asks, desk_tells, member_hears } = way;
            let taken = way.member_takes_writes_at();
            let what = format!("heard {desk_hears}, asked {member_asks}, told {desk_tells}, heard {member_hears}");
            assert!(taken.iter().all(|second| *second < TTL), "{what}: writes are taken in {taken:?}");
            served += usize::from(!taken.is_empty());
        }
        assert!(served > 10, "a lease that comes in time is of use: {served}");
    }

    #[test]
    fn a_broker_passes_on_no_lease_that_it_has_from_another_one() {
        let (member, group, epoch) = gates();
        member.borrow(&group, epoch, on(MEMBER, TTL));
        assert!(member.of(&group).unwrap().is_leased(on(MEMBER, 0)));
        assert!(member.leases(on(MEMBER, 0)).is_empty());
        member.borrow(&group, OwnershipEpoch(2), on(MEMBER, 9));
        assert!(!member.of(&group).unwrap().is_leased(on(MEMBER, TTL)), "a lease of another grant is none");
    }
}
