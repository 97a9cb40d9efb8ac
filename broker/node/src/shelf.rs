//! What a backup reads of this region's logs, and a restore of what it wrote.

use crate::Broker;
use crate::replica::Partition;
use bytes::Bytes;
use model::{ByteCount, Offset, OffsetRange, OwnershipEpoch, PartitionId, ProtectionGroup, TopicId};
use std::sync::Arc;

/// A log that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
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

    /// The partitions of a topic here: from the log start to the high watermark, and their bytes.
    pub fn extents(&self, topic: TopicId) -> Option<Vec<(PartitionId, OffsetRange, ByteCount)>> {
        let held = self.0.partitions.held();
        let partitions = held.with_id(topic)?.held().map(|partition| {
            let marks = partition.marks();
            (partition.number(), OffsetRange::new(marks.start, marks.high_watermark), partition.size())
        });
        Some(partitions.collect())
    }

    /// About `max` bytes of whole batches from the one that holds `from` on, at least one; none at the end. Of an owner
    /// what is committed, of a copy all that is on disk.
    ///
    /// # Errors
    /// [`ShelfError`] says why not.
    pub async fn read_batches(
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
