//! The cluster as clients see it: brokers by the listener a client came by, leaders, and what clients may do.

use crate::Broker;
use crate::api::Call;
use crate::leaders::leader;
use crate::listener::Door;
use broker_core::metadata::{Broker as Known, Image, Location, Partition as Placed, Topic};
use model::{BrokerSlot, LeaderEpoch, PartitionId, TopicState};
use wire::ErrorCode;
use wire::api::metadata::OPERATIONS_NOT_ASKED;

/// Kafka's numbers of what may be done to a topic: read, write, create, delete, alter, describe, and its configuration.
pub(crate) const TOPIC_OPERATIONS: i32 = bits(&[3, 4, 5, 6, 7, 8, 10, 11]);
/// What may be done to the cluster: create, alter, describe, act for it, its configuration, write idempotently.
pub(crate) const CLUSTER_OPERATIONS: i32 = bits(&[5, 7, 8, 9, 10, 11, 12]);
/// What may be done to a consumer group: read, delete, describe.
pub(crate) const GROUP_OPERATIONS: i32 = bits(&[3, 6, 8]);

const fn bits(operations: &[u32]) -> i32 {
    let (mut bits, mut at) = (0, 0);
    while at < operations.len() {
        bits |= 1 << operations[at];
        at += 1;
    }
    bits
}

/// Everybody may do everything: `all`, if it was asked for.
pub(crate) fn allowed(asked: bool, all: i32) -> i32 {
    if asked { all } else { OPERATIONS_NOT_ASKED }
}

/// One broker of the region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) id: i32,
    pub(crate) host: String,
    pub(crate) port: i32,
    /// Its rack, where somebody said.
    pub(crate) rack: Option<String>,
}

/// This broker, at the listener the client came by.
pub(crate) fn this_node(broker: &Broker, call: &Call) -> Node {
    let (config, address) = (broker.config(), call.listener);
    let (host, port) = (address.ip().to_string(), i32::from(address.port()));
    Node { id: config.node_id(), host, port, rack: rack(&config.location) }
}

fn rack(location: &Location) -> Option<String> {
    Some(location.rack.clone()).filter(|rack| !rack.is_empty())
}

/// All brokers that are let in, each at the same kind of listener as the one the client came by.
pub(crate) fn nodes(broker: &Broker, image: &Image, call: &Call) -> Vec<Node> {
    let others = others(broker, image).filter(|(_, known)| !known.is_fenced());
    let others = others.filter_map(|(slot, known)| node(broker, call, slot, known));
    let this = (!broker.config().is_desk()).then(|| this_node(broker, call));
    this.into_iter().chain(others).collect()
}

/// All brokers that are not.
pub(crate) fn fenced_nodes(broker: &Broker, image: &Image, call: &Call) -> Vec<Node> {
    let fenced = others(broker, image).filter(|(_, known)| known.is_fenced());
    fenced.filter_map(|(slot, known)| node(broker, call, slot, known)).collect()
}

fn others<'a>(broker: &Broker, image: &'a Image) -> impl Iterator<Item = (BrokerSlot, &'a Known)> + use<'a> {
    let this = broker.config().slot;
    image.brokers().filter(move |(slot, _)| *slot != this)
}

fn node(broker: &Broker, call: &Call, slot: BrokerSlot, known: &Known) -> Option<Node> {
    let address = match call.door {
        Door::Gateways => &known.addresses.gateways,
        Door::Clients | Door::Internal => &known.addresses.clients,
    };
    let (host, port) = address.rsplit_once(':')?;
    let (id, host, port) = (node_id(broker, slot), host.to_owned(), port.parse().ok()?);
    Some(Node { id, host, port, rack: rack(&known.location) })
}

/// The id that clients know the broker in `slot` by.
pub(crate) fn node_id(broker: &Broker, slot: BrokerSlot) -> i32 {
    broker.config().node_id() - i32::from(broker.config().slot.0) + i32::from(slot.0)
}

/// The topic with this name, if clients may know of it.
pub(crate) fn topic_named<'a>(image: &'a Image, name: &str) -> Option<&'a Topic> {
    image.topic_named(name).filter(|topic| topic.state == TopicState::Live)
}

/// One partition as clients see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) error_code: ErrorCode,
    pub(crate) index: i32,
    /// -1 while nobody leads it.
    pub(crate) leader_id: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) replicas: Vec<i32>,
    pub(crate) isr: Vec<i32>,
    /// Replicas on brokers that are not let in, or on disks that failed.
    pub(crate) offline: Vec<i32>,
    /// Replicas out of sync that may lead where nobody in sync can (KIP-966).
    pub(crate) eligible: Vec<i32>,
    /// Who was in sync last, where nobody may lead.
    pub(crate) last_known: Vec<i32>,
}

/// The partitions of `topic`. A copy is led here too: clients may read it.
pub(crate) fn partitions(broker: &Broker, image: &Image, topic: &Topic) -> Vec<Shown> {
    let held = broker.0.partitions.held();
    let shown = |(number, placed): (PartitionId, &Placed)| {
        let leader = leader(broker, image, held.partition(topic.id, number), placed);
        show(broker, image, number, placed, leader.map(|(slot, epoch)| (node_id(broker, slot), epoch)))
    };
    topic.partitions().map(shown).collect()
}

fn show(
    broker: &Broker,
    image: &Image,
    number: PartitionId,
    placed: &Placed,
    leader: Option<(i32, LeaderEpoch)>,
) -> Shown {
    let is_offline = |slot: &BrokerSlot| placed.offline.contains(slot) || !image.is_unfenced(*slot);
    let offline: Vec<_> = placed.replicas.iter().copied().filter(is_offline).collect();
    let ids = |slots: &[BrokerSlot]| slots.iter().map(|slot| node_id(broker, *slot)).collect();
    let (leader_id, leader_epoch) = leader.unwrap_or((-1, LeaderEpoch::NONE));
    Shown {
        error_code: if leader.is_some() { ErrorCode::NONE } else { ErrorCode::LEADER_NOT_AVAILABLE },
        index: number.0,
        leader_id,
        leader_epoch: leader_epoch.0,
        replicas: ids(&placed.replicas),
        isr: ids(&placed.isr),
        offline: ids(&offline),
        eligible: ids(&placed.elr),
        last_known: ids(placed.last_known_leader.as_slice()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_the_bits_kafka_sends_without_an_authorizer() {
        assert_eq!((TOPIC_OPERATIONS, CLUSTER_OPERATIONS, GROUP_OPERATIONS), (3576, 8096, 328));
        assert_eq!(allowed(false, TOPIC_OPERATIONS), i32::MIN);
    }
}
