//! Leases on every broker of the region: the one in contact with the council tells the others.
//!
//! Whoever asks counts what is left of a lease from before it asked, on its own clock: so it never stands for longer there
//! than at the broker that was told by the council.

use super::calls::encode;
use super::{Controller, Question, Reply};
use crate::Broker;
use broker_core::metadata::{BrokerEpoch, Image};
use env::BootInstant;
use model::{BrokerSlot, OwnershipEpoch, ProtectionGroup};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How soon a broker whose clients wait for a lease asks again.
const FIRST_PAUSE: Duration = Duration::from_millis(25);

/// How long to wait before leases are asked for again: each time twice as long, up to a bound.
#[derive(Clone, Copy, Debug)]
struct Pauses {
    next: Duration,
    longest: Duration,
}

impl Pauses {
    fn up_to(longest: Duration) -> Self {
        Self { next: FIRST_PAUSE.min(longest), longest }
    }

    fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause
    }
}

/// Who may have leases to give, and on what: the members that are let in, and the grants the region obeys.
#[derive(Debug, PartialEq, Eq)]
struct Lenders {
    members: Vec<(BrokerSlot, BrokerEpoch)>,
    grants: Vec<(ProtectionGroup, OwnershipEpoch)>,
}

impl Lenders {
    fn of(image: &Image) -> Self {
        let members = image.members().filter(|(_, known)| !known.is_fenced());
        let grants = image.groups().map(|group| (group.grant.group.clone(), group.obeyed()));
        Self { members: members.map(|(slot, known)| (slot, known.session)).collect(), grants: grants.collect() }
    }
}

/// What is left of the lease on one protection group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease {
    /// The group.
    pub(crate) group: ProtectionGroup,
    /// The grant.
    pub(crate) ownership_epoch: OwnershipEpoch,
    /// For so long, from when it was told.
    pub(crate) left: Duration,
}

impl Lease {
    /// Until when it stands for a broker that asked at `asked_at`, on that broker's own clock: however long the answer was
    /// on its way, it was told after it was asked for.
    pub(crate) fn until(&self, asked_at: BootInstant) -> BootInstant {
        asked_at.plus(self.left)
    }
}

impl Broker {
    /// The leases that the council gave to this very broker.
    pub(super) fn leases(&self) -> Vec<Lease> {
        self.0.gates.leases(self.0.clock.boot())
    }

    /// Asks the others for their leases, as long as the council gives none to this broker.
    pub(crate) async fn borrow_leases(self) {
        let (mut stop, mut images) = (self.0.stop.subscribe(), self.watch_image());
        let longest = self.0.config.liveness.heartbeat();
        let mut pauses = Pauses::up_to(longest);
        loop {
            let known = Lenders::of(&images.borrow_and_update());
            let pause = if self.waits_for_lease() { pauses.next() } else { longest };
            tokio::select! {
                () = sleep(pause) => {}
                // Somebody is back who may have some, or there are others to ask for.
                changed = images.wait_for(|image| Lenders::of(image) != known) => match changed {
                    Ok(_) => pauses = Pauses::up_to(longest),
                    Err(_) => return,
                },
                () = crate::listener::stopped(&mut stop) => return,
            }
            if !self.waits_for_lease() {
                pauses = Pauses::up_to(longest);
            }
            if !self.0.gates.is_in_contact() {
                self.borrow_once().await;
            }
        }
    }

    /// Whether clients could write to a group if its lease were known here.
    fn waits_for_lease(&self) -> bool {
        let (image, now) = (self.image(), self.0.clock.boot());
        let mut served = image.groups().filter(|group| group.takes_writes());
        served.any(|group| self.0.gates.of(&group.grant.group).is_some_and(|gate| gate.leased_for(now).is_none()))
    }

    async fn borrow_once(&self) {
        let (asked_at, within) = (self.0.clock.boot(), self.0.config.liveness.heartbeat() * 2);
        let mut asked = JoinSet::new();
        for slot in self.others() {
            let controller: Controller = self.control().controller().clone();
            asked.spawn(async move { controller.ask(slot, encode(&Question::Leases), within).await });
        }
        while let Some(answer) = asked.join_next().await {
            let Ok(Ok(Reply::Leases(leases))) = answer else { continue };
            for lease in leases {
                self.0.gates.borrow(&lease.group, lease.ownership_epoch, lease.until(asked_at));
            }
        }
    }

    fn others(&self) -> Vec<BrokerSlot> {
        let image = self.image();
        let others = image.members().filter(|(slot, known)| *slot != self.0.config.slot && !known.is_fenced());
        others.map(|(slot, _)| slot).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_their_bound() {
        let mut pauses = Pauses::up_to(Duration::from_millis(130));
        let taken: Vec<_> = (0..5).map(|_| pauses.next().as_millis()).collect();
        assert_eq!(taken, [25, 50, 100, 130, 130]);
        assert_eq!(Pauses::up_to(Duration::from_millis(10)).next().as_millis(), 10);
    }
}
