//! Reading from the nearest replica (KIP-392): a consumer that says which rack it is in is sent to a replica there.
//!
//! Only replicas in sync are named (KAFKA-14372, KAFKA-15390), only to clients of the region itself, and only while the
//! leader is in another rack. What a replica shows ends at its own high watermark.

use crate::Broker;
use crate::api::{Call, cluster};
use crate::listener::Door;
use crate::replica::{Partition, Standing};
use broker_core::metadata::{Broker as Known, Image, Leader, Role};
use broker_core::partition::ReplicaView;
use model::Offset;
use std::sync::Arc;
use wire::api::fetch::Request;

/// The first version whose readers say where they are, and may read from replicas.
const FIRST_WITH_RACK: i16 = 11;

/// Where a reader is.
pub(super) struct Nearness {
    /// Whether it is a client that may read from replicas.
    reads_replicas: bool,
    /// Its rack, if it is not this broker's.
    elsewhere: Option<Elsewhere>,
}

struct Elsewhere {
    rack: String,
    image: Arc<Image>,
    broker: Broker,
}

impl Nearness {
    /// Of the reader that sent `request`.
    pub(super) fn of(broker: &Broker, call: &Call, request: &Request) -> Self {
        let reads_replicas = call.door == Door::Clients && call.header.api_version >= FIRST_WITH_RACK;
        let rack = &request.rack_id;
        if !reads_replicas || rack.is_empty() || broker.config().location.rack == *rack {
            return Self { reads_replicas, elsewhere: None };
        }
        let elsewhere = Elsewhere { rack: rack.clone(), image: broker.image(), broker: broker.clone() };
        Self { reads_replicas, elsewhere: Some(elsewhere) }
    }

    /// Whether it may read `partition` here though another broker leads it. Replicas of a copy may differ in the last
    /// epoch they know of, so that readers could not tell who is right.
    pub(super) fn may_read_replica(&self, partition: &Partition) -> bool {
        let is_owners =
            |standing| matches!(standing, Standing::Replica { leader: Leader { role: Role::Owner { .. }, .. } });
        self.reads_replicas && is_owners(partition.standing())
    }

    /// The node id of a broker in the reader's rack that can give it the records from `from` on, where this one leads.
    pub(super) fn nearer(&self, partition: &Partition, from: Offset) -> Option<i32> {
        let Elsewhere { rack, image, broker } = self.elsewhere.as_ref()?;
        if !matches!(partition.standing(), Standing::Owner { .. }) {
            return None;
        }
        let is_there = |known: &Known| !known.is_fenced() && known.location.rack == *rack;
        let is_fit = |replica: &ReplicaView| {
            replica.in_sync && replica.durable >= from && image.broker(replica.slot).is_some_and(is_there)
        };
        let nearest = partition.replicas().into_iter().filter(is_fit).max_by_key(|replica| replica.durable)?;
        Some(cluster::node_id(broker, nearest.slot))
    }
}
