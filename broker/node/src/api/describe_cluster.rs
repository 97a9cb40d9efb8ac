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
        BROKERS => describe(broker, &call, request.include_cluster_authorized_operations),
        other => Response {
            error_code: ErrorCode::MISMATCHED_ENDPOINT_TYPE,
            error_message: Some(format!("this listener is one of brokers (1), not of type {other}")),
            endpoint_type: BROKERS,
            ..Default::default()
        },
    };
    Ok(call.reply(&response))
}

fn describe(broker: &Broker, call: &Call, operations: bool) -> Response {
    let nodes = cluster::nodes(broker, &broker.image(), call).into_iter();
    let node = |node: cluster::Node| NodeResponse {
        broker_id: node.id,
        host: node.host,
        port: node.port,
        ..Default::default()
    };
    Response {
        endpoint_type: BROKERS,
        cluster_id: broker.config().cluster_id.clone(),
        controller_id: broker.config().node_id(),
        brokers: nodes.map(node).collect(),
        cluster_authorized_operations: cluster::allowed(operations, cluster::CLUSTER_OPERATIONS),
        ..Default::default()
    }
}
