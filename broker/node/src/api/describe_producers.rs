//! DescribeProducers: what the logs here remember of producers.

use super::access::{self, TopicRef};
use super::{Call, Started};
use crate::Broker;
use crate::listener::Door;
use crate::partitions::Held;
use bytes::Bytes;
use log::ActiveProducer;
use wire::ErrorCode;
use wire::api::describe_producers::{PartitionResponse, ProducerState, Request, Response, Topic, TopicResponse};

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let held = broker.0.partitions.held();
    let topics = request.topics.into_iter().map(|topic| describe(&held, call.door, topic)).collect();
    Ok(call.reply(&Response { topics, ..Default::default() }))
}

fn describe(held: &Held, door: Door, topic: Topic) -> TopicResponse {
    let name = TopicRef::Name(topic.name.clone());
    let partition = |partition_index: i32| {
        let (error_code, active) = match producers(held, door, &name, partition_index) {
            Ok(active) => (ErrorCode::NONE, active),
            Err(code) => (code, Vec::new()),
        };
        let active_producers = active.into_iter().map(state).collect();
        PartitionResponse { partition_index, error_code, active_producers, ..Default::default() }
    };
    let partitions = topic.partition_indexes.into_iter().map(partition).collect();
    TopicResponse { name: topic.name, partitions, ..Default::default() }
}

fn producers(held: &Held, door: Door, topic: &TopicRef, index: i32) -> Result<Vec<ActiveProducer>, ErrorCode> {
    let partition = access::partition(topic.find(held)?, index)?;
    access::check_readable(partition, door)?;
    Ok(partition.active_producers())
}

fn state(producer: ActiveProducer) -> ProducerState {
    ProducerState {
        producer_id: producer.producer_id.0,
        producer_epoch: i32::from(producer.producer_epoch),
        last_sequence: producer.last_sequence.unwrap_or(-1),
        last_timestamp: producer.last_timestamp.0,
        coordinator_epoch: producer.coordinator_epoch,
        current_txn_start_offset: producer.transaction_start.map_or(-1, |offset| offset.0),
        ..Default::default()
    }
}
