//! LeaveGroup: members go; the rest rebalances.

use super::coordination::{group_code, instance};
use super::{Call, Started};
use crate::Broker;
use broker_core::group::{GroupError, Leave, Leaver, MemberId, Reply, Request as GroupRequest};
use bytes::Bytes;
use model::GroupId;
use wire::ErrorCode;
use wire::api::leave_group::{Member, MemberResponse, Request, Response};

/// From this version on many members may leave at once.
const FIRST_WITH_MANY: i16 = 3;

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let group = GroupId::new(&request.group_id);
    if let Err(not_here) = broker.enter_group(&group) {
        return Ok(call.reply(&Response { error_code: not_here.code(), ..Default::default() }));
    }
    let members = match call.header.api_version {
        FIRST_WITH_MANY.. => request.members,
        _ => vec![Member { member_id: request.member_id, ..Default::default() }],
    };
    let answer = broker.ask_group(GroupRequest::Leave(Leave { group, members: members.iter().map(leaver).collect() }));
    let version = call.header.api_version;
    Ok(call.reply_later(async move {
        match answer.await {
            Ok(Reply::Leave(result)) => Some(response(version, members, result)),
            _ => None,
        }
    }))
}

fn leaver(member: &Member) -> Leaver {
    Leaver { member: MemberId::new(&member.member_id), instance: instance(member.group_instance_id.clone()) }
}

fn response(version: i16, members: Vec<Member>, result: Result<Vec<Result<(), GroupError>>, GroupError>) -> Response {
    let results = match result {
        Ok(results) => results,
        Err(error) => return Response { error_code: group_code(&error), ..Default::default() },
    };
    let codes = results.into_iter().map(|result| result.map_or_else(|error| group_code(&error), |()| ErrorCode::NONE));
    if version < FIRST_WITH_MANY {
        return Response { error_code: codes.into_iter().next().unwrap_or_default(), ..Default::default() };
    }
    let members = members.into_iter().zip(codes).map(|(member, error_code)| MemberResponse {
        member_id: member.member_id,
        group_instance_id: member.group_instance_id,
        error_code,
        ..Default::default()
    });
    Response { members: members.collect(), ..Default::default() }
}
