//! ConsumerGroupDescribe: groups of the consumer protocol, with what their members own and should own (KIP-848).

use super::{Call, Started, cluster};
use crate::Broker;
use broker_core::group::{ConsumerDescription, ConsumerMember, Partitions, Topics};
use bytes::Bytes;
use model::GroupId;
use wire::ErrorCode;
use wire::api::consumer_group_describe::{Assignment, Group, Member, Request, Response, TopicPartitions};

const CLASSIC_MEMBER: i8 = 0;
const CONSUMER_MEMBER: i8 = 1;

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let operations = request.include_authorized_operations;
    let groups = request.group_ids.into_iter().map(|group_id| {
        let described = describe(broker, &GroupId::new(&group_id));
        let authorized_operations = match described.error_code {
            ErrorCode::NONE => cluster::allowed(operations, cluster::GROUP_OPERATIONS),
            _ => described.authorized_operations,
        };
        Group { group_id, authorized_operations, ..described }
    });
    Ok(call.reply(&Response { groups: groups.collect(), ..Default::default() }))
}

fn describe(broker: &Broker, group: &GroupId) -> Group {
    if let Err(not_here) = broker.enter_group(group) {
        let error_message = Some(not_here.to_string());
        return Group { error_code: not_here.code(), error_message, ..Default::default() };
    }
    match broker.describe_consumer_group(group) {
        Some((description, topics)) => described(description, &topics),
        None => Group {
            error_code: ErrorCode::GROUP_ID_NOT_FOUND,
            error_message: Some(format!("group {group} is not one of the consumer protocol")),
            ..Default::default()
        },
    }
}

fn described(description: ConsumerDescription, topics: &Topics) -> Group {
    Group {
        group_state: description.state.to_owned(),
        group_epoch: description.epoch,
        assignment_epoch: description.target_epoch,
        assignor_name: description.assignor.to_owned(),
        members: description.members.into_iter().map(|known| member(known, topics)).collect(),
        ..Default::default()
    }
}

fn member(member: ConsumerMember, topics: &Topics) -> Member {
    Member {
        member_id: member.member.as_str().to_owned(),
        instance_id: member.instance.map(|name| name.as_str().to_owned()),
        rack_id: member.rack,
        member_epoch: member.epoch,
        client_id: member.client_id,
        client_host: member.client_host,
        subscribed_topic_names: member.topics,
        subscribed_topic_regex: member.pattern,
        assignment: assignment(&member.assigned, topics),
        target_assignment: assignment(&member.target, topics),
        member_type: if member.is_classic { CLASSIC_MEMBER } else { CONSUMER_MEMBER },
        ..Default::default()
    }
}

/// Partitions of topics that are gone are not shown: they have no name.
fn assignment(partitions: &Partitions, topics: &Topics) -> Assignment {
    let shown = partitions.topics().filter_map(|(topic_id, numbers)| {
        Some(TopicPartitions {
            topic_id,
            topic_name: topics.name(topic_id)?.to_owned(),
            partitions: numbers.iter().map(|number| number.0).collect(),
            ..Default::default()
        })
    });
    Assignment { topic_partitions: shown.collect(), ..Default::default() }
}
