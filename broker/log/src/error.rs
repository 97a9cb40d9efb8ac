//! One error per operation. What was wrong, with which value, and what to do next.

use model::{LeaderEpoch, Offset, ProducerId, TopicId};
use record::BatchError;
use rustix::io::Errno;
use std::io;
use std::path::PathBuf;

/// A file operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct FileError {
    /// What was tried.
    pub action: &'static str,
    /// With which file.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

impl FileError {
    /// Whether the disk, or the quota on it, is full.
    pub fn is_disk_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    /// Whether the disk itself is at fault, so that other files on it are too.
    pub fn is_disk_failure(&self) -> bool {
        is_disk_failure(&self.source)
    }
}

/// Whether the disk, or the file system on it, cannot be used any more: whatever lies on it shares the fate.
pub fn is_disk_failure(error: &io::Error) -> bool {
    let known = [Errno::IO, Errno::NXIO, Errno::NODEV, Errno::ROFS, Errno::UCLEAN, Errno::STALE, Errno::REMOTEIO];
    error.raw_os_error().is_some_and(|code| known.iter().any(|known| known.raw_os_error() == code))
}

/// The log failed for good: an earlier write or flush did, so what the page cache says of the file cannot be trusted
/// for another write. Reads go on; only a restart, which recovers from the disk, opens it for writes again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log takes no more writes: {0}; restart the broker to recover it from the disk")]
pub struct Sealed(pub String);

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The directory belongs to another topic of the same name.
    #[error("{} holds topic id {found}, not {expected}; delete or move it away", dir.display())]
    OtherTopic {
        /// The directory.
        dir: PathBuf,
        /// The id in its `partition.metadata`.
        found: TopicId,
        /// The id asked for.
        expected: TopicId,
    },
    /// `partition.metadata` is not what Kafka writes.
    #[error("{} is damaged: {reason}", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Bytes are gone or damaged that were known to be on disk. They are not cut off silently: copy the partition
    /// again, or remove the damaged segment on purpose.
    #[error("{} is damaged at byte {position}, below the flushed offset {flushed}: {reason}", path.display())]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        position: u64,
        /// Everything below was flushed.
        flushed: Offset,
        /// What is wrong.
        reason: String,
    },
    /// The log could not be read while its state was rebuilt.
    #[error("the log cannot be read")]
    Read(#[source] ReadError),
}

impl OpenError {
    /// Whether the disk itself is at fault, so that other logs on it are too.
    pub fn is_disk_failure(&self) -> bool {
        match self {
            Self::File(error) => error.is_disk_failure(),
            Self::Read(error) => error.is_disk_failure(),
            Self::OtherTopic { .. } | Self::Metadata { .. } | Self::Damaged { .. } => false,
        }
    }
}

/// Why a leader's append was refused. Nothing of the batch is in the log.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// An earlier failure ended all writes (KAFKA_STORAGE_ERROR).
    #[error(transparent)]
    Sealed(#[from] Sealed),
    /// No space; the log goes on when there is some (KAFKA_STORAGE_ERROR).
    #[error("the disk is full; free some space, the log needs no restart")]
    DiskFull(#[source] FileError),
    /// The caller's epoch is over (NOT_LEADER_OR_FOLLOWER).
    #[error("leader epoch {epoch} is older than the log's latest, {latest}")]
    StaleEpoch {
        /// The caller's.
        epoch: LeaderEpoch,
        /// The log's.
        latest: LeaderEpoch,
    },
    /// The producer's epoch is over (INVALID_PRODUCER_EPOCH).
    #[error("producer {producer_id} has epoch {epoch}, but epoch {latest} has written here")]
    ProducerFenced {
        /// The producer.
        producer_id: ProducerId,
        /// The batch's epoch.
        epoch: i16,
        /// The newest epoch seen.
        latest: i16,
    },
    /// A batch before this one is missing (OUT_OF_ORDER_SEQUENCE_NUMBER).
    #[error("producer {producer_id} sent sequence {found} where {expected} comes next")]
    OutOfOrderSequence {
        /// The producer.
        producer_id: ProducerId,
        /// What would have come next.
        expected: i32,
        /// What came.
        found: i32,
    },
    /// The batch is larger than a segment may be (MESSAGE_TOO_LARGE).
    #[error("the batch has {size_bytes} bytes; a segment takes {limit_bytes}")]
    TooLarge {
        /// Its size.
        size_bytes: usize,
        /// What fits.
        limit_bytes: u64,
    },
}

/// Why batches of another log were refused. Nothing of them is in the log, unless a write failed midway: the tail
/// always says how far it got.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// An earlier failure ended all writes.
    #[error(transparent)]
    Sealed(#[from] Sealed),
    /// No space; the log goes on when there is some.
    #[error("the disk is full; free some space, the log needs no restart")]
    DiskFull(#[source] FileError),
    /// Damaged on the way, or at the source.
    #[error("the batch that should follow offset {tail} is damaged")]
    Batch {
        /// The log's tail.
        tail: Offset,
        /// What is wrong.
        #[source]
        error: BatchError,
    },
    /// Already there, or overlapping.
    #[error("a batch begins at offset {base_offset}, but the log already reaches {tail}")]
    Overlap {
        /// Where the batch begins.
        base_offset: Offset,
        /// The log's tail when it was its turn.
        tail: Offset,
    },
    /// An older epoch behind a newer one: the source's log is of another lineage.
    #[error("the batch at offset {base_offset} has leader epoch {epoch}, but the log already has {latest}")]
    EpochWentBack {
        /// Where the batch begins.
        base_offset: Offset,
        /// Its epoch.
        epoch: LeaderEpoch,
        /// The log's latest epoch.
        latest: LeaderEpoch,
    },
}

/// Why a leader epoch was not opened across a hole.
#[derive(Debug, thiserror::Error)]
pub enum HoleError {
    /// The log does not end where the new lineage begins: fetch or truncate first.
    #[error("the log ends at {tail}, not at the common end {common_end}")]
    NotAtCommonEnd {
        /// The log's tail.
        tail: Offset,
        /// The common end.
        common_end: Offset,
    },
    /// The base lies before the common end.
    #[error("base {base} is before the common end {common_end}")]
    BaseBeforeEnd {
        /// The base.
        base: Offset,
        /// The common end.
        common_end: Offset,
    },
    /// The first batch could not be appended.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Why a read has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The offset is not in the log (OFFSET_OUT_OF_RANGE).
    #[error("offset {offset} is not in [{start}, {tail}]")]
    OutOfRange {
        /// What was asked for.
        offset: Offset,
        /// The first offset kept.
        start: Offset,
        /// The next offset to be written.
        tail: Offset,
    },
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The segment holds something else than batches there (KAFKA_STORAGE_ERROR).
    #[error("{} is damaged at byte {position}", path.display())]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        position: u64,
        /// What is wrong.
        #[source]
        error: BatchError,
    },
    /// The records of a batch cannot be decoded.
    #[error("the records of the batch at offset {base_offset} cannot be decoded")]
    Records {
        /// The batch.
        base_offset: Offset,
        /// Why.
        #[source]
        error: record::RecordError,
    },
    /// The log was truncated while the read was going on: ask again.
    #[error("the log was truncated during the read")]
    Truncated,
}

impl ReadError {
    /// Whether the disk itself is at fault, so that other logs on it are too.
    pub fn is_disk_failure(&self) -> bool {
        matches!(self, Self::File(error) if error.is_disk_failure())
    }
}

/// Why the log cannot be cut.
#[derive(Debug, thiserror::Error)]
pub enum TruncateError {
    /// An earlier failure ended all writes.
    #[error(transparent)]
    Sealed(#[from] Sealed),
    /// The offset is outside the log.
    #[error("offset {offset} is not in [{start}, {tail}]")]
    OutOfRange {
        /// What was asked for.
        offset: Offset,
        /// The first offset kept.
        start: Offset,
        /// The next offset to be written.
        tail: Offset,
    },
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The log could not be read while its state was rebuilt.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// A flush that failed: the log is sealed.
#[derive(Debug, thiserror::Error)]
#[error("what was written could not be made durable")]
pub struct FlushError(#[from] pub FileError);
