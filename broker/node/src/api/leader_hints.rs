//! Leader hints (KIP-951): a client that came to the wrong broker is told in the same answer who leads, and where, so that it
//! need not ask for metadata first. Only the region's own clients are: gateways' clients know other nodes.

use super::access::TopicRef;
use super::{Call, cluster};
use crate::Broker;
use crate::leaders::leader;
use crate::listener::Door;
use broker_core::metadata::Image;
use model::{LeaderEpoch, PartitionId, TopicId};
use std::collections::BTreeSet;
use std::sync::Arc;
use wire::ErrorCode;
use wire::api::{fetch, produce};

/// The first version of Produce that has room for hints.
const FIRST_PRODUCE: i16 = 10;
/// The first version of Fetch that has room for hints.
const FIRST_FETCH: i16 = 16;

/// Adds to an answer of Produce who leads what this broker does not.
pub(super) fn add_to_produce(broker: &Broker, call: &Call, response: &mut produce::Response) {
    let mut partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
    if !partitions.any(|partition| is_misled(partition.error_code)) || !understands(call, FIRST_PRODUCE) {
        return;
    }
    let mut hints = Hints::new(broker, call);
    for topic in &mut response.responses {
        let misled = topic.partition_responses.iter_mut().filter(|partition| is_misled(partition.error_code));
        for partition in misled {
            let Some((leader_id, leader_epoch)) =
                hints.leader(&topic.name, topic.topic_id, partition.index, partition.error_code)
            else {
                continue;
            };
            partition.current_leader =
                produce::LeaderIdAndEpoch { leader_id, leader_epoch: leader_epoch.0, ..Default::default() };
        }
    }
    let endpoint = |node: cluster::Node| produce::NodeEndpoint {
        node_id: node.id,
        host: node.host,
        port: node.port,
        rack: node.rack,
        ..Default::default()
    };
    response.node_endpoints = hints.nodes().map(endpoint).collect();
}

/// Adds to an answer of Fetch who leads what this broker does not.
pub(super) fn add_to_fetch(broker: &Broker, call: &Call, response: &mut fetch::Response) {
    let mut partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    if !partitions.any(|partition| is_misled(partition.error_code)) || !understands(call, FIRST_FETCH) {
        return;
    }
    let mut hints = Hints::new(broker, call);
    for topic in &mut response.responses {
        let misled = topic.partitions.iter_mut().filter(|partition| is_misled(partition.error_code));
        for partition in misled {
            let Some((leader_id, leader_epoch)) =
                hints.leader(&topic.topic, topic.topic_id, partition.partition_index, partition.error_code)
            else {
                continue;
            };
            partition.current_leader =
                fetch::LeaderIdAndEpoch { leader_id, leader_epoch: leader_epoch.0, ..Default::default() };
        }
    }
    let endpoint = |node: cluster::Node| fetch::NodeEndpoint {
        node_id: node.id,
        host: node.host,
        port: node.port,
        rack: node.rack,
        ..Default::default()
    };
    response.node_endpoints = hints.nodes().map(endpoint).collect();
}

/// Whether whoever asked knows the wrong leader, or an earlier one.
fn is_misled(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::FENCED_LEADER_EPOCH)
}

/// Whether whoever asks has a field for hints, and may get them.
fn understands(call: &Call, first_version: i16) -> bool {
    call.door == Door::Clients && call.header.api_version >= first_version
}

/// What can be said in one answer.
struct Hints<'a> {
    broker: &'a Broker,
    call: &'a Call,
    image: Arc<Image>,
    /// The nodes that were named.
    named: BTreeSet<i32>,
}

impl<'a> Hints<'a> {
    fn new(broker: &'a Broker, call: &'a Call) -> Self {
        Self { broker, call, image: broker.image(), named: BTreeSet::new() }
    }

    /// Who leads a partition that was refused with `code`, if that is known. A broker that takes itself for the leader and
    /// may not serve does not know who leads by now: a client that was sent back to it would ask nobody else.
    fn leader(&mut self, name: &str, id: TopicId, index: i32, code: ErrorCode) -> Option<(i32, LeaderEpoch)> {
        let topic = match TopicRef::of(self.call.header.api_version, name.to_owned(), id) {
            TopicRef::Name(name) => cluster::topic_named(&self.image, &name),
            TopicRef::Id(id) => self.image.topic(id),
        };
        let (topic, number) = (topic?, PartitionId(index));
        let held = self.broker.0.partitions.held();
        let (slot, epoch) =
            leader(self.broker, &self.image, held.partition(topic.id, number), topic.partition(number)?)?;
        if epoch == LeaderEpoch::NONE {
            return None;
        }
        let node = cluster::node_id(self.broker, slot);
        if code == ErrorCode::NOT_LEADER_OR_FOLLOWER && node == self.broker.config().node_id() {
            return None;
        }
        self.named.insert(node);
        Some((node, epoch))
    }

    /// Where the nodes that were named listen.
    fn nodes(self) -> impl Iterator<Item = cluster::Node> {
        let nodes = match self.named.is_empty() {
            true => Vec::new(),
            false => cluster::nodes(self.broker, &self.image, self.call),
        };
        nodes.into_iter().filter(move |node| self.named.contains(&node.id))
    }
}
