//! FindCoordinator: a group is coordinated in the region that clients of its protection group are sent to.

use super::Node;
use crate::state::Routing;
use api::routes::Route;
use model::GroupId;
use wire::ErrorCode;
use wire::api::find_coordinator::{Coordinator, GROUP, Request, Response};

pub(super) fn answer(request: &Request, version: i16, routing: &Routing) -> Response {
    if version >= 4 {
        let keys = request.coordinator_keys.iter();
        let coordinators = keys.map(|key| many(key, find(key, request.key_type, routing))).collect();
        return Response { coordinators, ..Default::default() };
    }
    match find(&request.key, request.key_type, routing) {
        Ok((node_id, host, port)) => Response { node_id, host, port, ..Default::default() },
        Err(error_code) => {
            Response { error_code, error_message: message(error_code), node_id: -1, port: -1, ..Default::default() }
        }
    }
}

fn many(key: &str, node: Node) -> Coordinator {
    let key = key.to_owned();
    match node {
        Ok((node_id, host, port)) => Coordinator { key, node_id, host, port, ..Default::default() },
        Err(error_code) => {
            let error_message = message(error_code);
            Coordinator { key, error_code, error_message, node_id: -1, port: -1, ..Default::default() }
        }
    }
}

fn find(key: &str, key_type: i8, routing: &Routing) -> Node {
    if key_type != GROUP {
        return Err(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    }
    let group = GroupId::new(key);
    let found = |route: &Route| {
        let region = routing.server(route);
        routing.node(region, routing.coordinator_slot(region, &group)?, 0)
    };
    let node = routing.coordinator(&group).and_then(found);
    let node = node.ok_or(ErrorCode::COORDINATOR_NOT_AVAILABLE)?;
    Ok((node.id, node.host.clone(), node.port.into()))
}

fn message(error: ErrorCode) -> Option<String> {
    let is_transaction = error == ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
    is_transaction.then(|| "transactions are not supported; use an idempotent producer".to_owned())
}
