//! Leases on every broker of the region: the one in contact with the council tells the others.
//!
//! Whoever asks counts what is left of a lease from before it asked, on its own clock: so it never stands for longer there
//! than at the broker that was told by the council.

use super::calls::encode;
use super::{Controller, Question, Reply};
use crate::Broker;
use model::{BrokerSlot, OwnershipEpoch, ProtectionGroup};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// What is left of the lease on one protection group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease {
    /// The group.
    pub(crate) group: ProtectionGroup,
    /// The grant.
    pub(crate) ownership_epoch: OwnershipEpoch,
    /// For so long.
    pub(crate) left: Duration,
}

impl Broker {
    /// The leases that the council gave to this very broker.
    pub(super) fn leases(&self) -> Vec<Lease> {
        self.0.gates.leases(self.0.clock.boot())
    }

    /// Asks the others for their leases, as long as the council gives none to this broker.
    pub(crate) async fn borrow_leases(self) {
        let mut stop = self.0.stop.subscribe();
        let mut ticks = interval(self.0.config.liveness.heartbeat());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = crate::listener::stopped(&mut stop) => return,
            }
            if !self.0.gates.is_in_contact() {
                self.borrow_once().await;
            }
        }
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
            for Lease { group, ownership_epoch, left } in leases {
                self.0.gates.borrow(&group, ownership_epoch, asked_at.plus(left));
            }
        }
    }

    fn others(&self) -> Vec<BrokerSlot> {
        let image = self.image();
        let others = image.brokers().filter(|(slot, known)| *slot != self.0.config.slot && !known.is_fenced());
        others.map(|(slot, _)| slot).collect()
    }
}
