//! Leases on every broker of the region: the one in contact with the council tells the others.
//!
//! Whoever asks counts what is left of a lease from before it asked, on its own clock: so it never stands for longer there
//! than at the broker that was told by the council.

use super::calls::encode;
use super::{Controller, Question, Reply};
use crate::Broker;
use env::BootInstant;
use model::{BrokerSlot, OwnershipEpoch, ProtectionGroup};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How soon a broker whose clients wait for a lease asks again.
const FIRST_PAUSE: Duration = Duration::from_millis(25);

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
        let mut stop = self.0.stop.subscribe();
        loop {
            let pause = if self.waits_for_lease() { FIRST_PAUSE } else { self.0.config.liveness.heartbeat() };
            tokio::select! {
                () = sleep(pause) => {}
                () = crate::listener::stopped(&mut stop) => return,
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
