//! DeleteRecords: moves the log start of partitions this region owns. Links and copies follow it.
//!
//! The answer waits until the new start is on disk. Nothing is held back for copies that have not got the records yet:
//! somebody said that they are not wanted.

use super::access::{self, TopicRef};
use super::{Call, Started};
use crate::Broker;
use crate::listener::Door;
use crate::partitions::Held;
use crate::replica::{DeleteError, Partition, Standing};
use bytes::Bytes;
use log::TruncateError;
use model::Offset;
use std::sync::Arc;
use wire::ErrorCode;
use wire::api::delete_records::{
    self as api, HIGH_WATERMARK, PartitionResponse, Request, Response, Topic, TopicResponse,
};

/// No log start is known.
const NONE: i64 = -1;

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let deletion = Deletion { broker: broker.clone(), held: broker.0.partitions.held(), door: call.door };
    // Removing files takes its time.
    let deleting = tokio::task::spawn_blocking(move || deletion.response(request.topics));
    Ok(call.reply_later(async move { deleting.await.ok() }))
}

struct Deletion {
    broker: Broker,
    held: Arc<Held>,
    door: Door,
}

impl Deletion {
    fn response(&self, topics: Vec<Topic>) -> Response {
        let topic = |asked: Topic| {
            let name = TopicRef::Name(asked.name);
            let partitions = asked.partitions.iter().map(|asked| self.partition(&name, asked)).collect();
            TopicResponse { name: name.into_fields().0, partitions, ..Default::default() }
        };
        Response { topics: topics.into_iter().map(topic).collect(), ..Default::default() }
    }

    fn partition(&self, topic: &TopicRef, asked: &api::Partition) -> PartitionResponse {
        let (low_watermark, error_code) = match self.delete(topic, asked) {
            Ok(start) => (start.0, ErrorCode::NONE),
            Err(error_code) => (NONE, error_code),
        };
        PartitionResponse { partition_index: asked.partition_index, low_watermark, error_code, ..Default::default() }
    }

    fn delete(&self, topic: &TopicRef, asked: &api::Partition) -> Result<Offset, ErrorCode> {
        let topic = topic.find(&self.held)?;
        let partition = access::partition(topic, asked.partition_index)?;
        if topic.group.is_none() {
            return Err(ErrorCode::INVALID_TOPIC_EXCEPTION);
        }
        // What another region owns is refused as a produce would be.
        if let (Standing::Copy { .. }, Door::Clients) = (partition.standing(), self.door) {
            return Err(ErrorCode::POLICY_VIOLATION);
        }
        if !topic.settings.is_deleted || partition.is_active() {
            return Err(ErrorCode::POLICY_VIOLATION);
        }
        let upto = match asked.offset {
            HIGH_WATERMARK => None,
            offset if offset >= 0 => Some(Offset(offset)),
            _ => return Err(ErrorCode::OFFSET_OUT_OF_RANGE),
        };
        let deleted = partition.delete_records(upto, self.broker.0.clock.boot());
        deleted.map_err(|error| code(partition, &error))
    }
}

fn code(partition: &Partition, error: &DeleteError) -> ErrorCode {
    match error {
        DeleteError::NotOwner | DeleteError::Shut(_) => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        DeleteError::AboveWatermark { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
        DeleteError::Log(TruncateError::OutOfRange { .. }) => ErrorCode::OFFSET_OUT_OF_RANGE,
        DeleteError::Log(error) => {
            tracing::error!(partition = %partition.name, %error, "records cannot be deleted");
            ErrorCode::KAFKA_STORAGE_ERROR
        }
    }
}
