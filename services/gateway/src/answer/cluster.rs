//! DescribeCluster.

use crate::state::Routing;
use wire::api::describe_cluster::{Broker, Request, Response};

pub(super) fn answer(request: &Request, routing: &Routing) -> Response {
    let brokers = routing.nodes().iter().map(|node| Broker {
        broker_id: node.id,
        host: node.host.clone(),
        port: node.port.into(),
        ..Default::default()
    });
    Response {
        endpoint_type: request.endpoint_type,
        cluster_id: routing.table().map(|table| table.cluster_id.clone()).unwrap_or_default(),
        controller_id: controller(routing),
        brokers: brokers.collect(),
        ..Default::default()
    }
}

/// The node that admin tools send their changes to: a broker of the owner of `default` that lives.
pub(super) fn controller(routing: &Routing) -> i32 {
    let node = routing.default_owner().and_then(|owner| routing.node(owner, routing.live_slot(owner), 0));
    node.map_or(-1, |node| node.id)
}
