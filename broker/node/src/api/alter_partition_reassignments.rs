//! AlterPartitionReassignments: partitions move to other brokers, or moves under way are taken back.

use super::{Call, Started, cluster};
use crate::Broker;
use broker_core::metadata::{Command, Image, Move, Refusal};
use bytes::Bytes;
use model::{BrokerSlot, PartitionId};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::timeout;
use wire::ErrorCode;
use wire::api::alter_partition_reassignments::{Partition, PartitionResponse, Request, Response, TopicResponse};

/// Why a partition is not moved.
type Refused = (ErrorCode, String);

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let broker = broker.clone();
    Ok(call.reply_later(async move {
        let judge =
            Judge { broker: &broker, image: &broker.image(), keeps_count: !request.allow_replication_factor_change };
        let (mut responses, mut moves, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
        for topic in &request.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for asked in &topic.partitions {
                let is_first = seen.insert((topic.name.as_str(), asked.partition_index));
                let judged = if is_first { judge.judge(&topic.name, asked) } else { Err(twice()) };
                partitions.push(response(asked.partition_index, judged.as_ref().err()));
                moves.extend(judged);
            }
            responses.push(TopicResponse { name: topic.name.clone(), partitions, ..Default::default() });
        }
        let begun = begin(&broker, moves, request.timeout_ms).await;
        let (error_code, error_message) = told(begun.as_ref().err());
        // Who looks at the partitions alone must not take a move for begun.
        let untold = responses.iter_mut().flat_map(|topic| &mut topic.partitions).filter(|one| one.error_code.is_ok());
        untold.for_each(|one| (one.error_code, one.error_message) = (error_code, error_message.clone()));
        let allow_replication_factor_change = request.allow_replication_factor_change;
        Some(Response { allow_replication_factor_change, error_code, error_message, responses, ..Default::default() })
    }))
}

fn response(partition_index: i32, refused: Option<&Refused>) -> PartitionResponse {
    let (error_code, error_message) = told(refused);
    PartitionResponse { partition_index, error_code, error_message, ..Default::default() }
}

fn told(refused: Option<&Refused>) -> (ErrorCode, Option<String>) {
    refused.cloned().map_or((ErrorCode::NONE, None), |(code, text)| (code, Some(text)))
}

fn twice() -> Refused {
    (ErrorCode::INVALID_REQUEST, "the partition is there more than once in the request".to_owned())
}

/// What one request asks for is looked at against one state of the metadata.
struct Judge<'a> {
    broker: &'a Broker,
    image: &'a Image,
    /// Whether partitions keep as many replicas as they have.
    keeps_count: bool,
}

impl Judge<'_> {
    fn judge(&self, name: &str, asked: &Partition) -> Result<Move, Refused> {
        let unknown = || (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, format!("there is no topic {name}"));
        let topic = cluster::topic_named(self.image, name).ok_or_else(unknown)?;
        let partition = PartitionId(asked.partition_index);
        let replicas = asked.replicas.as_ref().map(|nodes| self.slots(nodes)).transpose()?;
        let wanted = Move { topic: topic.id, partition, replicas };
        self.image.check_move(&wanted).map_err(|refusal| (code(&refusal), refusal.to_string()))?;
        let count = topic.partition(partition).map(broker_core::metadata::Partition::replica_count);
        let other_count = wanted.replicas.as_ref().map(Vec::len).filter(|wanted| Some(*wanted) != count);
        match other_count.filter(|_| self.keeps_count) {
            Some(wanted) => {
                let message = format!("{wanted} replicas change the replication factor, which the request forbids");
                Err((ErrorCode::INVALID_REPLICATION_FACTOR, message))
            }
            None => Ok(wanted),
        }
    }

    fn slots(&self, nodes: &[i32]) -> Result<Vec<BrokerSlot>, Refused> {
        let slot = |node: &i32| {
            let found = self.image.brokers().find(|(slot, _)| cluster::node_id(self.broker, *slot) == *node);
            let unknown = || (ErrorCode::INVALID_REPLICA_ASSIGNMENT, format!("there is no broker {node}"));
            found.map(|(slot, _)| slot).ok_or_else(unknown)
        };
        nodes.iter().map(slot).collect()
    }
}

fn code(refusal: &Refusal) -> ErrorCode {
    match refusal {
        Refusal::UnknownTopic(_) | Refusal::UnknownPartition { .. } => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        Refusal::NotMoving { .. } => ErrorCode::NO_REASSIGNMENT_IN_PROGRESS,
        _ => ErrorCode::INVALID_REPLICA_ASSIGNMENT,
    }
}

async fn begin(broker: &Broker, moves: Vec<Move>, timeout_ms: i32) -> Result<(), Refused> {
    if moves.is_empty() {
        return Ok(());
    }
    let no_metadata = || (ErrorCode::INVALID_REQUEST, "this broker keeps no metadata: it is its region".to_owned());
    let control = broker.0.control.get().ok_or_else(no_metadata)?;
    let wait = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0)).min(model::limits::REQUEST_WAIT_MAX);
    match timeout(wait, control.change(vec![Command::Reassign { moves }])).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err((ErrorCode::REQUEST_TIMED_OUT, error.to_string())),
        Err(_) => Err((ErrorCode::REQUEST_TIMED_OUT, "it was not agreed on in time; it may still be".to_owned())),
    }
}
