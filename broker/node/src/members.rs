//! The brokers of the region as operators see them, and what is ordered about them.

use crate::{Broker, api::node_id};
use broker_core::metadata::{Broker as Known, Command, Image, Refusal};
use model::{BrokerDrain, BrokerOrder, BrokerOrderError, BrokerSlot, BrokerStatus};

impl Broker {
    /// The brokers of the region that host partitions, by slot, as the metadata has them that this one has made real.
    pub fn brokers(&self) -> Vec<BrokerStatus> {
        let image = self.image();
        image.brokers().map(|(slot, known)| self.broker_status(&image, slot, known)).collect()
    }

    fn broker_status(&self, image: &Image, slot: BrokerSlot, known: &Known) -> BrokerStatus {
        let load = image.load(slot);
        BrokerStatus {
            slot,
            node_id: node_id(self, slot),
            incarnation: known.incarnation,
            alive: !known.is_fenced(),
            data_centre: known.location.data_centre.clone(),
            rack: known.location.rack.clone(),
            clients: known.addresses.clients.clone(),
            replicas: load.replicas,
            in_sync: load.in_sync,
            leaders: load.leaders,
            leaving: load.leaving,
            drain: image.drain_of(slot).map(|drain| BrokerDrain { onto: drain.onto }),
        }
    }

    /// Has the region agree on an order about one of its brokers; returns when it is a fact of the metadata. Whatever
    /// follows from it is done by whoever is concerned. The same order again changes nothing.
    ///
    /// # Errors
    /// [`BrokerOrderError`]: there is no such broker, it cannot be, or it could not be agreed on now.
    pub async fn order_broker(&self, order: BrokerOrder) -> Result<(), BrokerOrderError> {
        let Some(control) = self.0.control.get() else {
            return Err(BrokerOrderError::Refused("this broker keeps no metadata: it is its region".to_owned()));
        };
        let not_now = |error: crate::ControlError| BrokerOrderError::NotNow(error.to_string());
        // Against the newest metadata, so that a refusal is told from a quorum that does not answer.
        control.catch_up().await.map_err(not_now)?;
        let command = command(order);
        let mut image = Image::clone(&control.controller().image());
        image.apply(command.clone()).map_err(refused)?;
        control.change(vec![command]).await.map(drop).map_err(not_now)
    }
}

fn command(order: BrokerOrder) -> Command {
    match order {
        BrokerOrder::Drain { broker, onto } => Command::Drain { broker, onto },
        BrokerOrder::CancelDrain { broker } => Command::CancelDrain { broker },
        BrokerOrder::Unregister { broker } => Command::UnregisterBroker { broker },
    }
}

fn refused(refusal: Refusal) -> BrokerOrderError {
    match refusal {
        Refusal::UnknownBroker(slot) => BrokerOrderError::Unknown(slot),
        refusal => BrokerOrderError::Refused(refusal.to_string()),
    }
}
