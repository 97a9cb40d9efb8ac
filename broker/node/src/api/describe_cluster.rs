//! DescribeCluster: the region's brokers.

use super::{Call, Started, cluster};
use crate::Broker;
use bytes::Bytes;
use wire::ErrorCode;
use wire::api::describe_cluster::{Broker as NodeResponse, Request, Response};

/// An endpoint type: brokers. The controllers are not reached by clients.
const BROKERS: i8 = 1;

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let response = match request.endpoint_type {
        BROKERS => describe(broker, &call, &request),
        other => Response {
            error_code: ErrorCode::MISMATCHED_ENDPOINT_TYPE,
            error_message: Some(format!("this listener is one of brokers (1), not of type {other}")),
            endpoint_type: BROKERS,
            ..Default::default()
        },
    };
    Ok(call.reply(&response))
}

fn describe(broker: &Broker, call: &Call, request: &Request) -> Response {
    let image = broker.image();
    let live = cluster::nodes(broker, &image, call);
    let fenced = match request.include_fenced_brokers {
        true => cluster::fenced_nodes(broker, &image, call),
        false => Vec::new(),
    };
    let live = live.into_iter().map(|node| response(node, false));
    let operations = request.include_cluster_authorized_operations;
    Response {
        endpoint_type: BROKERS,
        cluster_id: broker.config().cluster_id.clone(),
        controller_id: broker.config().node_id(),
        brokers: live.chain(fenced.into_iter().map(|node| response(node, true))).collect(),
        cluster_authorized_operations: cluster::allowed(operations, cluster::CLUSTER_OPERATIONS),
        ..Default::default()
    }
}

fn response(node: cluster::Node, is_fenced: bool) -> NodeResponse {
    let cluster::Node { id: broker_id, host, port, rack } = node;
    NodeResponse { broker_id, host, port, rack, is_fenced, ..Default::default() }
}
