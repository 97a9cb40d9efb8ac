//! JoinGroup: a member enters the group's next generation. The answer comes when that is formed.

use super::coordination::{group_code, instance, millis};
use super::{Call, Started};
use crate::Broker;
use broker_core::group::{GroupError, Join, Joined, MemberId, Protocol, Reply, Request as GroupRequest};
use bytes::Bytes;
use model::GroupId;
use wire::ErrorCode;
use wire::api::join_group::{Member, Request, Response};

/// Members without a name get one first (KIP-394).
const FIRST_WITH_NAMES: i16 = 4;
/// The protocol type is told, and there may be no protocol.
const FIRST_WITH_TYPE: i16 = 7;
/// A leader may be told to keep the assignment (KIP-814).
const FIRST_WITH_SKIP: i16 = 9;

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let version = call.header.api_version;
    if let Err(not_here) = broker.enter_group(&GroupId::new(&request.group_id)) {
        return Ok(call.reply(&refused(version, not_here.code(), request.member_id)));
    }
    let member = MemberId::new(&request.member_id);
    let answer = broker.ask_group(GroupRequest::Join(join(broker, &call, request)));
    Ok(call.reply_later(async move {
        match answer.await {
            Ok(Reply::Join(result)) => Some(response(version, member, result)),
            // Another answer, or none: the broker stops.
            _ => None,
        }
    }))
}

fn join(broker: &Broker, call: &Call, request: Request) -> Join {
    let client_id = call.header.client_id.as_deref().unwrap_or_default().to_owned();
    let session_timeout = millis(request.session_timeout_ms);
    Join {
        group: GroupId::new(&request.group_id),
        member: MemberId::new(&request.member_id),
        fresh_member: broker.fresh_member(&client_id),
        instance: instance(request.group_instance_id),
        client_id,
        client_host: format!("/{}", call.peer.ip()),
        session_timeout,
        rebalance_timeout: match request.rebalance_timeout_ms {
            given @ 0.. => millis(given),
            _ => session_timeout,
        },
        protocol_type: request.protocol_type,
        protocols: request
            .protocols
            .into_iter()
            .map(|protocol| Protocol { name: protocol.name, metadata: protocol.metadata })
            .collect(),
        names_first: call.header.api_version >= FIRST_WITH_NAMES,
        may_skip_assignment: call.header.api_version >= FIRST_WITH_SKIP,
    }
}

fn response(version: i16, member: MemberId, result: Result<Joined, GroupError>) -> Response {
    match result {
        Ok(joined) => welcome(joined),
        Err(GroupError::MemberIdRequired(name)) => {
            refused(version, ErrorCode::MEMBER_ID_REQUIRED, name.as_str().to_owned())
        }
        Err(error) => refused(version, group_code(&error), member.as_str().to_owned()),
    }
}

fn welcome(joined: Joined) -> Response {
    let members = joined.members.into_iter().map(|member| Member {
        member_id: member.member.as_str().to_owned(),
        group_instance_id: member.instance.map(|name| name.as_str().to_owned()),
        metadata: member.metadata,
        ..Default::default()
    });
    Response {
        generation_id: joined.generation,
        protocol_type: Some(joined.protocol_type),
        protocol_name: Some(joined.protocol),
        leader: joined.leader.as_str().to_owned(),
        skip_assignment: joined.skip_assignment,
        member_id: joined.member.as_str().to_owned(),
        members: members.collect(),
        ..Default::default()
    }
}

fn refused(version: i16, error_code: ErrorCode, member_id: String) -> Response {
    let protocol_name = (version < FIRST_WITH_TYPE).then(String::new);
    Response { error_code, protocol_name, member_id, ..Default::default() }
}
