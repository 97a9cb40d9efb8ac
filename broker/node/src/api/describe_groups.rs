//! DescribeGroups: the members of groups.

use super::{Call, Started, cluster};
use crate::Broker;
use broker_core::group::{Description, MemberDescription};
use bytes::Bytes;
use model::GroupId;
use wire::ErrorCode;
use wire::api::describe_groups::{GroupResponse, Member, Request, Response};

/// From this version on a group that is not there is an error.
const FIRST_WITH_NOT_FOUND: i16 = 6;

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let (version, operations) = (call.header.api_version, request.include_authorized_operations);
    let groups = request.groups.into_iter().map(|group| {
        let described = describe(broker, version, GroupId::new(&group));
        let authorized_operations = match described.error_code {
            ErrorCode::NONE => cluster::allowed(operations, cluster::GROUP_OPERATIONS),
            _ => described.authorized_operations,
        };
        GroupResponse { group_id: group, authorized_operations, ..described }
    });
    Ok(call.reply(&Response { groups: groups.collect(), ..Default::default() }))
}

fn describe(broker: &Broker, version: i16, group: GroupId) -> GroupResponse {
    if let Err(not_here) = broker.enter_group(&group) {
        return GroupResponse { error_code: not_here.code(), ..Default::default() };
    }
    match broker.describe_group(&group) {
        Some(description) => described(description),
        None if broker.describe_consumer_group(&group).is_some() => {
            absent(version, &group, "is of the consumer protocol")
        }
        None if !broker.all_committed(&group).is_empty() => {
            GroupResponse { group_state: "Empty".to_owned(), ..Default::default() }
        }
        None => absent(version, &group, "does not exist"),
    }
}

fn absent(version: i16, group: &GroupId, why: &str) -> GroupResponse {
    let dead = GroupResponse { group_state: "Dead".to_owned(), ..Default::default() };
    match version >= FIRST_WITH_NOT_FOUND {
        true => GroupResponse {
            error_code: ErrorCode::GROUP_ID_NOT_FOUND,
            error_message: Some(format!("group {group} {why}")),
            ..dead
        },
        false => dead,
    }
}

fn described(description: Description) -> GroupResponse {
    GroupResponse {
        group_state: description.phase.name().to_owned(),
        protocol_type: description.protocol_type,
        protocol_data: description.protocol,
        members: description.members.into_iter().map(member).collect(),
        ..Default::default()
    }
}

fn member(member: MemberDescription) -> Member {
    Member {
        member_id: member.member.as_str().to_owned(),
        group_instance_id: member.instance.map(|name| name.as_str().to_owned()),
        client_id: member.client_id,
        client_host: member.client_host,
        member_metadata: member.metadata,
        member_assignment: member.assignment,
        ..Default::default()
    }
}
