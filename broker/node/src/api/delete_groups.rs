//! DeleteGroups: groups nobody is in go, and their offsets with them.

use super::coordination::group_code;
use super::{Call, Reply, Started};
use crate::Broker;
use crate::replica::{Pass, Passes};
use bytes::Bytes;
use model::GroupId;
use wire::ErrorCode;
use wire::api::delete_groups::{GroupResponse, Request, Response};

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let broker = broker.clone();
    Ok(Reply::Later(Box::pin(async move {
        let (mut results, mut passes) = (Vec::with_capacity(request.groups_names.len()), Vec::new());
        for group_id in request.groups_names {
            let error_code = delete(&broker, &GroupId::new(&group_id), &mut passes).await;
            results.push(GroupResponse { group_id, error_code, ..Default::default() });
        }
        let passes = Passes::new(passes, broker.0.clock.clone());
        let response = Response { results, ..Default::default() };
        call.encode(&response).map(|outgoing| outgoing.acknowledging(passes))
    })))
}

async fn delete(broker: &Broker, group: &GroupId, passes: &mut Vec<Pass>) -> ErrorCode {
    match broker.enter_group(group) {
        Ok(pass) => passes.push(pass),
        Err(not_here) => return not_here.code(),
    }
    broker.delete_group(group).await.map_or_else(|error| group_code(&error), |()| ErrorCode::NONE)
}
