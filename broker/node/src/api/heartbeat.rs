//! Heartbeat: a member is alive, and learns whether it has to join again.

use super::coordination::{group_code, instance};
use super::{Call, Started};
use crate::Broker;
use broker_core::group::{Heartbeat, MemberId, Reply, Request as GroupRequest};
use bytes::Bytes;
use model::GroupId;
use wire::ErrorCode;
use wire::api::heartbeat::{Request, Response};

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let group = GroupId::new(&request.group_id);
    if let Err(not_here) = broker.enter_group(&group) {
        return Ok(call.reply(&response(not_here.code())));
    }
    let answer = broker.ask_group(GroupRequest::Heartbeat(Heartbeat {
        group,
        member: MemberId::new(&request.member_id),
        instance: instance(request.group_instance_id),
        generation: request.generation_id,
    }));
    Ok(call.reply_later(async move {
        match answer.await {
            Ok(Reply::Heartbeat(result)) => {
                Some(response(result.map_or_else(|e| group_code(&e), |()| ErrorCode::NONE)))
            }
            _ => None,
        }
    }))
}

fn response(error_code: ErrorCode) -> Response {
    Response { error_code, ..Default::default() }
}
