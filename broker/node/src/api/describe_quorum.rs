//! DescribeQuorum: the voters of the region's metadata log, under the name that Kafka's tools ask for.

use super::{Call, Started, cluster};
use crate::Broker;
use bytes::Bytes;
use model::Timestamp;
use quorum::{NodeId, Progress, Replica};
use std::collections::BTreeMap;
use uuid::Uuid;
use wire::ErrorCode;
use wire::api::describe_quorum::{
    Listener, Node, Partition, PartitionResponse, ReplicaState, Request, Response, Topic, TopicResponse,
};

/// Kafka's name of the metadata log, whose only partition is 0.
const METADATA_TOPIC: &str = "__cluster_metadata";
/// Kafka's tools print it in front of a node's address.
const LISTENER: &str = "CONTROLLER";

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let progress = broker.0.control.get().map(|control| control.controller().progress());
    let response = match progress.filter(|_| is_metadata(&request)) {
        Some(progress) => Described { broker, now: broker.0.clock.now() }.response(&progress),
        None => unknown(request),
    };
    Ok(call.reply(&response))
}

fn is_metadata(request: &Request) -> bool {
    let [Topic { topic_name, partitions, .. }] = &request.topics[..] else { return false };
    topic_name == METADATA_TOPIC && matches!(partitions[..], [Partition { partition_index: 0, .. }])
}

fn unknown(request: Request) -> Response {
    let partition = |asked: Partition| PartitionResponse {
        partition_index: asked.partition_index,
        error_code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        error_message: Some(format!("only partition 0 of {METADATA_TOPIC} has a quorum")),
        leader_id: -1,
        ..Default::default()
    };
    let topics = request.topics.into_iter().map(|topic| TopicResponse {
        topic_name: topic.topic_name,
        partitions: topic.partitions.into_iter().map(partition).collect(),
        ..Default::default()
    });
    Response { topics: topics.collect(), ..Default::default() }
}

/// Who describes, and when.
struct Described<'a> {
    broker: &'a Broker,
    now: Timestamp,
}

impl Described<'_> {
    fn response(&self, progress: &Progress) -> Response {
        let states = |replicas: &BTreeMap<NodeId, Replica>| {
            replicas.iter().map(|(id, replica)| self.state(progress, *id, replica)).collect()
        };
        let partition = PartitionResponse {
            leader_id: progress.leader.map_or(-1, |leader| self.node_id(leader)),
            leader_epoch: i32::try_from(progress.term).unwrap_or(i32::MAX),
            high_watermark: offset(progress.committed),
            current_voters: states(&progress.voters),
            observers: states(&progress.learners),
            ..Default::default()
        };
        let topic =
            TopicResponse { topic_name: METADATA_TOPIC.to_owned(), partitions: vec![partition], ..Default::default() };
        let nodes = progress.voters.iter().map(|(id, replica)| self.node(*id, replica)).collect();
        Response { topics: vec![topic], nodes, ..Default::default() }
    }

    fn state(&self, progress: &Progress, id: NodeId, replica: &Replica) -> ReplicaState {
        let is_leader = progress.leader == Some(id);
        ReplicaState {
            replica_id: self.node_id(id),
            replica_directory_id: directory(id),
            log_end_offset: replica.tail.map_or(-1, offset),
            last_caught_up_timestamp: if is_leader { self.now.0 } else { -1 },
            ..Default::default()
        }
    }

    fn node(&self, id: NodeId, replica: &Replica) -> Node {
        let listener = |(host, port): (&str, &str)| {
            let port = port.parse().ok()?;
            Some(Listener { name: LISTENER.to_owned(), host: host.to_owned(), port, ..Default::default() })
        };
        let listeners = replica.member.address.rsplit_once(':').and_then(listener);
        Node { node_id: self.node_id(id), listeners: listeners.into_iter().collect(), ..Default::default() }
    }

    fn node_id(&self, id: NodeId) -> i32 {
        cluster::node_id(self.broker, id.slot())
    }
}

fn offset(index: u64) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

/// A node belongs to one directory for ever, so its id names that.
fn directory(id: NodeId) -> Uuid {
    Uuid::from_u64_pair(u64::from(id.incarnation().0), u64::from(id))
}
