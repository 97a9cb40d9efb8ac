//! The brokers of a region, and what is ordered about them.

use crate::{BrokerSlot, Incarnation};
use serde::{Deserialize, Serialize};

/// One broker of a region, as the region's metadata has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerStatus {
    /// Its place.
    pub slot: BrokerSlot,
    /// The id that the region's own Kafka clients know it by.
    pub node_id: i32,
    /// The incarnation of its disk: one more whenever it began again with an empty one.
    pub incarnation: Incarnation,
    /// Whether it may lead and be in sync now.
    pub alive: bool,
    /// Its data centre; empty where nobody said.
    pub data_centre: String,
    /// Its rack in it; empty where nobody said.
    pub rack: String,
    /// `host:port` of the listener for the region's own Kafka clients.
    pub clients: String,
    /// Partitions it is a replica of.
    pub replicas: u64,
    /// Those of them it is in sync with.
    pub in_sync: u64,
    /// Those of them it leads.
    pub leaders: u64,
    /// Those of them that are on their way to others.
    pub leaving: u64,
    /// The order to empty it, if there is one. It is carried out when `replicas` is 0.
    pub drain: Option<BrokerDrain>,
}

/// A broker is to be emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerDrain {
    /// The one broker that takes all of it; `None` for whoever is fit.
    pub onto: Option<BrokerSlot>,
}

/// What a region is to do about one of its brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrokerOrder {
    /// Empty it: give its leaderships and then its replicas to others, and place nothing new on it.
    Drain {
        /// The broker.
        broker: BrokerSlot,
        /// The one broker that takes all of it; `None` for whoever is fit.
        onto: Option<BrokerSlot>,
    },
    /// Use it as before.
    CancelDrain {
        /// The broker.
        broker: BrokerSlot,
    },
    /// Forget it: it is empty and stopped.
    Unregister {
        /// The broker.
        broker: BrokerSlot,
    },
}

impl BrokerOrder {
    /// The broker it is about.
    pub fn broker(self) -> BrokerSlot {
        match self {
            Self::Drain { broker, .. } | Self::CancelDrain { broker } | Self::Unregister { broker } => broker,
        }
    }
}

/// Why a [`BrokerOrder`] was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrokerOrderError {
    /// There is no such broker.
    #[error("there is no broker {} in this region", .0.0)]
    Unknown(BrokerSlot),
    /// It cannot be, and why. Nothing happened.
    #[error("{0}")]
    Refused(String),
    /// It could not be agreed on now; it may have been all the same. It can be given again.
    #[error("{0}")]
    NotNow(String),
}
