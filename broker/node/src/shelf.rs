//! What a backup reads of this region's logs, and a restore of what it wrote.

mod call;
mod region;

pub use region::RegionShelf;

use crate::Broker;
use crate::api::{Call, Started};
use crate::replica::Partition;
use bytes::Bytes;
use model::{ByteCount, Offset, OwnershipEpoch, PartitionId, ProtectionGroup, TopicId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use wire::ErrorCode;
use wire::internal::shelf::{Request, Response};

/// A log that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShelfError {
    /// It is not here.
    #[error("no partition {partition} of topic {topic} in this region")]
    Unknown {
        /// The topic.
        topic: TopicId,
        /// The partition.
        partition: PartitionId,
    },
    /// The offset is below the log's start.
    #[error("offset {offset} is below the log start {start}")]
    Dropped {
        /// The offset.
        offset: Offset,
        /// Where the log starts.
        start: Offset,
    },
    /// Nothing is known to have happened; the same call may succeed soon.
    #[error("not yet: {0}")]
    NotReady(String),
    /// The disk failed.
    #[error("{0}")]
    Failed(String),
}

impl Broker {
    fn shelved(&self, topic: TopicId, partition: PartitionId) -> Result<Arc<Partition>, ShelfError> {
        let held = self.0.partitions.held();
        held.partition(topic, partition).cloned().ok_or(ShelfError::Unknown { topic, partition })
    }

    /// The grant under which this region owns `group` and may serve it now; `None` when it may not.
    pub fn serves(&self, group: &ProtectionGroup) -> Option<OwnershipEpoch> {
        let image = self.image();
        let known = image.group(group).filter(|group| group.takes_writes())?;
        let leased = self.0.gates.of(group).is_some_and(|gate| gate.is_leased(self.0.clock.boot()));
        leased.then(|| known.obeyed())
    }

    /// About `max` bytes of whole batches from the one that holds `from` on, at least one; none at the end. Of an owner
    /// what is committed, of a copy all that is on disk.
    ///
    /// # Errors
    /// [`ShelfError`] says why not.
    async fn read_batches(
        &self,
        topic: TopicId,
        partition: PartitionId,
        from: Offset,
        max: ByteCount,
        committed: bool,
    ) -> Result<Bytes, ShelfError> {
        let partition = self.shelved(topic, partition)?;
        let read = tokio::task::spawn_blocking(move || read(&partition, from, max, committed)).await;
        read.map_err(|error| ShelfError::Failed(error.to_string()))?
    }
}

fn read(partition: &Partition, from: Offset, max: ByteCount, committed: bool) -> Result<Bytes, ShelfError> {
    let marks = partition.marks();
    if from < marks.start {
        return Err(ShelfError::Dropped { offset: from, start: marks.start });
    }
    let upto = if committed { marks.high_watermark } else { marks.flushed };
    if from >= upto {
        return Ok(Bytes::new());
    }
    let failed = |error: log::ReadError| ShelfError::Failed(error.to_string());
    match partition.reader.read(from, upto, max, true).map_err(failed)? {
        Some(slice) => slice.to_bytes().map_err(failed),
        None => Ok(Bytes::new()),
    }
}

/// Answers a call of a backup or a restore that runs on another broker of the region.
pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let broker = broker.clone();
    Ok(call.reply_later(async move {
        let question = serde_json::from_slice(&request.question);
        let answered = match question {
            Ok(question) => broker.answer_shelf(question, request.batches).await,
            Err(error) => Err(ShelfError::Failed(format!("the question cannot be read: {error}"))),
        };
        Some(match answered {
            Ok((answer, batches)) => Response { answer: json(&answer), batches, ..Default::default() },
            Err(error) => Response { error: code(&error), answer: json(&error), ..Default::default() },
        })
    }))
}

fn code(error: &ShelfError) -> ErrorCode {
    match error {
        ShelfError::Unknown { .. } | ShelfError::NotReady(_) => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ShelfError::Dropped { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
        ShelfError::Failed(_) => ErrorCode::KAFKA_STORAGE_ERROR,
    }
}

fn json(value: &impl Serialize) -> Bytes {
    // All of it is plain data with text keys, which JSON can hold.
    serde_json::to_vec(value).expect("plain data becomes JSON").into()
}
