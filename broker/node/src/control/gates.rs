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
            let (_, gate) = gates.entry(name).or_insert_with(|| (group.obeyed(), Gate::shut(self.footing.clone())));
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
