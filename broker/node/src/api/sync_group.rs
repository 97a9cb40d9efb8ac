//! SyncGroup: a member gets its part of the assignment. The answer comes when the leader has brought it and it is kept.

use super::coordination::{group_code, instance};
use super::{Call, Started};
use crate::Broker;
use broker_core::group::{GroupError, MemberId, Reply, Request as GroupRequest, Sync, Synced};
use bytes::Bytes;
use model::GroupId;
use wire::ErrorCode;
use wire::api::sync_group::{Request, Response};

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    if let Err(not_here) = broker.enter_group(&GroupId::new(&request.group_id)) {
        return Ok(call.reply(&refused(not_here.code())));
    }
    let answer = broker.ask_group(GroupRequest::Sync(sync(request)));
    Ok(call.reply_later(async move {
        match answer.await {
            Ok(Reply::Sync(result)) => Some(response(result)),
            _ => None,
        }
    }))
}

fn sync(request: Request) -> Sync {
    let assignments = request.assignments.into_iter();
    Sync {
        group: GroupId::new(&request.group_id),
        member: MemberId::new(&request.member_id),
        instance: instance(request.group_instance_id),
        generation: request.generation_id,
        protocol_type: request.protocol_type,
        protocol: request.protocol_name,
        assignments: assignments.map(|given| (MemberId::new(&given.member_id), given.assignment)).collect(),
    }
}

fn response(result: Result<Synced, GroupError>) -> Response {
    match result {
        Ok(synced) => Response {
            protocol_type: Some(synced.protocol_type),
            protocol_name: Some(synced.protocol),
            assignment: synced.assignment,
            ..Default::default()
        },
        Err(error) => refused(group_code(&error)),
    }
}

fn refused(error_code: ErrorCode) -> Response {
    Response { error_code, ..Default::default() }
}
