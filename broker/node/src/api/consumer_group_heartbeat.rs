//! ConsumerGroupHeartbeat: a member of the consumer protocol says where it stands and hears what it may own (KIP-848).
//! The answer comes when what it changed is kept.

use super::coordination::{group_code, instance, millis};
use super::{Call, Reply, Started};
use crate::Broker;
use crate::replica::Passes;
use broker_core::group::{
    Assigned, ConsumerHeartbeat, GroupError, MemberId, Partitions, Reply as GroupReply, Request as GroupRequest,
};
use bytes::Bytes;
use model::{GroupId, PartitionId};
use wire::ErrorCode;
use wire::api::consumer_group_heartbeat::{AssignedTopic, Assignment, Request, Response, TopicPartitions};

/// From this version on members bring their names.
const FIRST_WITH_OWN_NAMES: i16 = 1;

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let pass = match broker.enter_group(&GroupId::new(&request.group_id)) {
        Ok(pass) => pass,
        Err(not_here) => return Ok(call.reply(&refused(not_here.code(), not_here.to_string()))),
    };
    let passes = Passes::new(vec![pass], broker.0.clock.clone());
    let answer = broker.ask_group(GroupRequest::Consumer(heartbeat(broker, &call, request)));
    Ok(Reply::Later(Box::pin(async move {
        let Ok(GroupReply::Consumer(result)) = answer.await else { return None };
        call.encode(&response(result)).map(|outgoing| outgoing.acknowledging(passes))
    })))
}

fn heartbeat(broker: &Broker, call: &Call, request: Request) -> ConsumerHeartbeat {
    let client_id = call.header.client_id.as_deref().unwrap_or_default().to_owned();
    ConsumerHeartbeat {
        group: GroupId::new(&request.group_id),
        member: MemberId::new(&request.member_id),
        fresh_member: broker.fresh_member(&client_id),
        names_itself: call.header.api_version >= FIRST_WITH_OWN_NAMES,
        epoch: request.member_epoch,
        instance: instance(request.instance_id),
        rack: request.rack_id,
        client_id,
        client_host: format!("/{}", call.peer.ip()),
        rebalance_timeout: (request.rebalance_timeout_ms >= 0).then(|| millis(request.rebalance_timeout_ms)),
        topics: request.subscribed_topic_names.map(|names| names.into_iter().collect()),
        pattern: request.subscribed_topic_regex,
        assignor: request.server_assignor,
        owned: request.topic_partitions.map(owned),
    }
}

fn owned(topics: Vec<TopicPartitions>) -> Partitions {
    let of = |topic: TopicPartitions| {
        let id = topic.topic_id;
        topic.partitions.into_iter().map(move |number| (id, PartitionId(number)))
    };
    topics.into_iter().flat_map(of).collect()
}

fn response(result: Result<Assigned, GroupError>) -> Response {
    match result {
        Ok(assigned) => Response {
            member_id: Some(assigned.member.as_str().to_owned()),
            member_epoch: assigned.epoch,
            heartbeat_interval_ms: i32::try_from(assigned.heartbeat_interval.as_millis()).unwrap_or(i32::MAX),
            assignment: assigned.assignment.as_ref().map(assignment),
            ..Default::default()
        },
        Err(error) => refused(group_code(&error), error.to_string()),
    }
}

fn assignment(partitions: &Partitions) -> Assignment {
    let topics = partitions.topics().map(|(topic_id, numbers)| AssignedTopic {
        topic_id,
        partitions: numbers.iter().map(|number| number.0).collect(),
        ..Default::default()
    });
    Assignment { topic_partitions: topics.collect(), ..Default::default() }
}

fn refused(error_code: ErrorCode, message: String) -> Response {
    Response { error_code, error_message: Some(message), ..Default::default() }
}
