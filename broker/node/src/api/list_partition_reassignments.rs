//! ListPartitionReassignments: which partitions are moving.

use super::{Call, Started, cluster};
use crate::Broker;
use broker_core::metadata::{Partition, Topic};
use bytes::Bytes;
use model::{BrokerSlot, PartitionId};
use wire::api::list_partition_reassignments::{OngoingPartition, OngoingTopic, Request, Response};

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let image = broker.image();
    let topics: Vec<_> = match &request.topics {
        None => image.topics().filter_map(|topic| ongoing(broker, topic, |_| true)).collect(),
        Some(topics) => {
            let moving = topics.iter().filter_map(|asked| {
                let topic = cluster::topic_named(&image, &asked.name)?;
                ongoing(broker, topic, |number| asked.partition_indexes.contains(&number.0))
            });
            moving.collect()
        }
    };
    Ok(call.reply(&Response { topics, ..Default::default() }))
}

/// The partitions of `topic` that are `asked` for and moving; `None` without any.
fn ongoing(broker: &Broker, topic: &Topic, asked: impl Fn(PartitionId) -> bool) -> Option<OngoingTopic> {
    let moving = topic.partitions().filter(|(number, known)| known.reassignment.is_some() && asked(*number));
    let partitions: Vec<_> = moving.map(|(number, known)| shown(broker, number, known)).collect();
    let name = topic.name.to_string();
    (!partitions.is_empty()).then_some(OngoingTopic { name, partitions, ..Default::default() })
}

fn shown(broker: &Broker, number: PartitionId, known: &Partition) -> OngoingPartition {
    let ids = |slots: &[BrokerSlot]| slots.iter().map(|slot| cluster::node_id(broker, *slot)).collect();
    OngoingPartition {
        partition_index: number.0,
        replicas: ids(&known.replicas),
        adding_replicas: ids(&known.adding()),
        removing_replicas: ids(&known.removing()),
        ..Default::default()
    }
}
