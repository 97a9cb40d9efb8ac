//! ListOffsets: the ends of a log, and offsets by time.

use super::access::{self, TopicRef};
use super::{Call, Started};
use crate::Broker;
use crate::listener::Door;
use crate::partitions::Held;
use crate::replica::{Isolation, Partition};
use bytes::Bytes;
use log::{ReadError, TimestampedOffset};
use model::{LeaderEpoch, Offset, Timestamp};
use std::sync::Arc;
use wire::ErrorCode;
use wire::api::list_offsets::{
    self as api, EARLIEST, EARLIEST_LOCAL, LATEST, LATEST_TIERED, MAX_TIMESTAMP, PartitionResponse, Request, Response,
    TopicResponse,
};

/// The first version whose clients know OFFSET_NOT_AVAILABLE (KIP-207).
const FIRST_WITH_NOT_AVAILABLE: i16 = 5;

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let lookup = Lookup {
        held: broker.0.partitions.held(),
        door: call.door,
        isolation: Isolation::of(request.isolation_level),
        version: call.header.api_version,
    };
    if request.topics.iter().flat_map(|topic| &topic.partitions).all(|asked| asked.timestamp < 0) {
        return Ok(call.reply(&lookup.response(request.topics)));
    }
    // Looking for a time reads the log, perhaps from a cold disk.
    let looking = tokio::task::spawn_blocking(move || lookup.response(request.topics));
    Ok(call.reply_later(async move { looking.await.ok() }))
}

struct Lookup {
    held: Arc<Held>,
    door: Door,
    isolation: Isolation,
    version: i16,
}

impl Lookup {
    fn response(&self, topics: Vec<api::Topic>) -> Response {
        let topic = |asked: api::Topic| {
            let name = TopicRef::Name(asked.name);
            let partitions = asked.partitions.iter().map(|asked| self.partition(&name, asked)).collect();
            TopicResponse { name: name.into_fields().0, partitions, ..Default::default() }
        };
        Response { topics: topics.into_iter().map(topic).collect(), ..Default::default() }
    }

    fn partition(&self, topic: &TopicRef, asked: &api::Partition) -> PartitionResponse {
        let partition_index = asked.partition_index;
        match self.find(topic, asked).and_then(|partition| self.offset(partition, asked.timestamp)) {
            Ok(Some(found)) => PartitionResponse {
                partition_index,
                timestamp: found.timestamp.0,
                offset: found.offset.0,
                leader_epoch: found.leader_epoch.0,
                ..Default::default()
            },
            Ok(None) => PartitionResponse { partition_index, ..Default::default() },
            Err(error_code) => PartitionResponse { partition_index, error_code, ..Default::default() },
        }
    }

    fn find(&self, topic: &TopicRef, asked: &api::Partition) -> Result<&Arc<Partition>, ErrorCode> {
        let partition = access::partition(topic.find(&self.held)?, asked.partition_index)?;
        access::check_readable(partition, self.door)?;
        access::check_epoch(partition, self.door, asked.current_leader_epoch)?;
        Ok(partition)
    }

    fn offset(&self, partition: &Partition, timestamp: i64) -> Result<Option<TimestampedOffset>, ErrorCode> {
        let marks = partition.marks();
        let visible = marks.visible(self.isolation);
        let found = match timestamp {
            LATEST => return self.latest(partition, visible).map(Some),
            EARLIEST | EARLIEST_LOCAL => {
                let epoch = partition.reader.epoch_at(marks.start).unwrap_or(LeaderEpoch::NONE);
                return Ok(Some(end(marks.start, epoch)));
            }
            LATEST_TIERED => return Ok(None),
            MAX_TIMESTAMP => partition.reader.max_timestamp(visible),
            time if time >= 0 => partition.reader.offset_for_time(Timestamp(time), visible),
            _ => return Err(ErrorCode::INVALID_REQUEST),
        };
        found.map_err(|error| read_code(partition, &error))
    }

    /// Until everything before this leadership is committed, the end could go back.
    fn latest(&self, partition: &Partition, visible: Offset) -> Result<TimestampedOffset, ErrorCode> {
        if partition.has_caught_up_with_its_epoch() {
            return Ok(end(visible, partition.epoch()));
        }
        let knows = self.version >= FIRST_WITH_NOT_AVAILABLE;
        Err(if knows { ErrorCode::OFFSET_NOT_AVAILABLE } else { ErrorCode::LEADER_NOT_AVAILABLE })
    }
}

/// The end of a log has no time.
fn end(offset: Offset, leader_epoch: LeaderEpoch) -> TimestampedOffset {
    TimestampedOffset { offset, timestamp: Timestamp::NONE, leader_epoch }
}

fn read_code(partition: &Partition, error: &ReadError) -> ErrorCode {
    tracing::error!(partition = %partition.name, %error, "offset cannot be looked up");
    match error {
        ReadError::Truncated => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ReadError::OutOfRange { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
        ReadError::File(_) | ReadError::Damaged { .. } | ReadError::Records { .. } => ErrorCode::KAFKA_STORAGE_ERROR,
    }
}
