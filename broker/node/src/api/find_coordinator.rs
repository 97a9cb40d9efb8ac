//! FindCoordinator: for consumer groups whose protection group this region owns, the broker that leads the group's
//! partition of `__consumer_offsets`.

use super::cluster::Node;
use super::{Call, Started, cluster};
use crate::Broker;
use crate::control::OFFSETS_TOPIC;
use crate::groups::NotHere;
use crate::leaders::leader;
use broker_core::metadata::{Group, Image};
use bytes::Bytes;
use model::{GroupId, PartitionId};
use wire::ErrorCode;
use wire::api::find_coordinator::{Coordinator, GROUP, Request, Response, TRANSACTION};

/// From this version on a request has many keys.
const FIRST_WITH_MANY: i16 = 4;

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let find = |key| coordinator(broker, &call, request.key_type, key);
    if call.header.api_version >= FIRST_WITH_MANY {
        let coordinators = request.coordinator_keys.into_iter().map(find).collect();
        return Ok(call.reply(&Response { coordinators, ..Default::default() }));
    }
    let Coordinator { node_id, host, port, error_code, error_message, .. } = find(request.key);
    Ok(call.reply(&Response { error_code, error_message, node_id, host, port, ..Default::default() }))
}

fn coordinator(broker: &Broker, call: &Call, key_type: i8, key: String) -> Coordinator {
    let found = match key_type {
        GROUP => of_group(broker, call, &GroupId::new(&key)),
        TRANSACTION => Err(no_transactions()),
        other => Err((ErrorCode::INVALID_REQUEST, format!("there is no coordinator of type {other}"))),
    };
    match found {
        Ok(node) => Coordinator { key, node_id: node.id, host: node.host, port: node.port, ..Default::default() },
        Err((error_code, message)) => {
            Coordinator { key, node_id: -1, port: -1, error_code, error_message: Some(message), ..Default::default() }
        }
    }
}

/// Final for every client: nothing is to be tried again.
fn no_transactions() -> (ErrorCode, String) {
    let message = "transactions are not offered; work without a transactional.id";
    (ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED, message.to_owned())
}

fn of_group(broker: &Broker, call: &Call, group: &GroupId) -> Result<Node, (ErrorCode, String)> {
    let image = broker.image();
    match broker.enter_group(group) {
        Ok(_) => Ok(cluster::this_node(broker, call)),
        Err(NotHere::Loading | NotHere::OtherBroker) => coordinating(broker, &image, call, group).ok_or_else(|| {
            let message = format!("nobody leads the partition of {OFFSETS_TOPIC} that holds group {group} now");
            (ErrorCode::COORDINATOR_NOT_AVAILABLE, message)
        }),
        Err(NotHere::Elsewhere) => Err(elsewhere(&image, group)),
    }
}

/// The broker that leads the group's partition.
fn coordinating(broker: &Broker, image: &Image, call: &Call, group: &GroupId) -> Option<Node> {
    let topic = image.topic_named(OFFSETS_TOPIC)?;
    let number = PartitionId(group.offsets_partition(topic.partition_count() as usize) as i32);
    let held = broker.0.partitions.held();
    let (slot, _) = leader(broker, image, held.partition(topic.id, number), topic.partition(number)?)?;
    let id = cluster::node_id(broker, slot);
    cluster::nodes(broker, image, call).into_iter().find(|node| node.id == id)
}

fn elsewhere(image: &Image, group: &GroupId) -> (ErrorCode, String) {
    match image.coordinating_group(group) {
        Some(known) => (ErrorCode::COORDINATOR_NOT_AVAILABLE, whom_to_ask(image, group, known)),
        // Before the first assignment nobody knows; afterwards nothing changes it but an operator.
        None if image.council_index() == 0 => {
            (ErrorCode::COORDINATOR_NOT_AVAILABLE, "the region is starting".to_owned())
        }
        None => {
            let message = format!("no protection group covers the consumer group {group}; choose another name");
            (ErrorCode::GROUP_AUTHORIZATION_FAILED, message)
        }
    }
}

fn whom_to_ask(image: &Image, group: &GroupId, known: &Group) -> String {
    if known.owned {
        return format!("consumer group {group} cannot be coordinated now: no lease stands, or writes are stopped");
    }
    let owner = &known.grant.owner;
    match image.gateway() {
        Some(gateway) => {
            format!("consumer group {group} is coordinated in region {owner}; use the gateway at {gateway}")
        }
        None => format!("consumer group {group} is coordinated in region {owner}"),
    }
}
