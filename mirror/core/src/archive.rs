//! What a backup looks like in an object store. Every object is written once; the backup manifest is written last, and
//! without it nothing else is a backup.
//!
//! ```text
//! <prefix>/seg/<topic id>/<partition>/<start>-<end>-<hash>.seg   raw batches, byte for byte      (segment)
//! <prefix>/pm/<topic id>/<partition>/<hash>.pm                   a partition's segments in order (manifest)
//! <prefix>/meta/<hash>.meta                                      the topics and their settings   (contents)
//! <prefix>/off/<hash>.off                                        the groups' commits             (contents)
//! <prefix>/bkp/<backup>/manifest                                 hashes of everything, and its own
//! ```
//!
//! The chain of trust: the manifest's own hash, then the hash of each object it names, then a checksum per chunk, then
//! the one in each batch. Whatever is read is held against limits before memory is taken, and an error names the object.

mod backup;
mod contents;
mod error;
mod hash;
mod keys;
mod partition;
mod plan;
mod preflight;
mod restore;
mod segment;

pub use backup::{BackupKind, BackupManifest, PartitionRef};
pub use contents::{OffsetsObject, TopicEntry, TopicsObject};
pub use error::{ArchiveError, Defect};
pub use hash::{ContentHasher, ObjectHash, ObjectRef};
pub use keys::{BackupId, BadBackupId, Layout};
pub use partition::{FinishedPartition, NewObject, PartitionManifest, PartitionWriter, SegmentRef, WriterSettings};
pub use plan::{PlanError, Prediction, RestorePlan, Selection, WorkItem, WorkQueue};
pub use preflight::{ObjectFact, Problem, RestoreFacts, preflight};
pub use restore::{PartitionReader, RestoredPartition};
pub use segment::{ChunkEntry, SegmentIdentity, SegmentIndex, SegmentObject, SegmentSummary, SegmentWriter};

/// The hard limits of everything that is read back.
pub mod limits {
    use model::{ByteCount, limits::BATCH_BYTES_LIMIT};

    /// The largest segment object.
    pub const SEGMENT_BYTES_MAX: ByteCount = ByteCount::mib(512);
    /// When a segment is full at the latest; the last batch and the index still fit then.
    pub const SEGMENT_FULL_MAX: ByteCount = ByteCount::mib(256);
    /// The most chunks of a segment.
    pub const CHUNKS_MAX: usize = 100_000;
    /// When a chunk is full at the latest.
    pub const CHUNK_FULL_MAX: ByteCount = ByteCount::mib(4);
    /// The largest chunk: it is closed when it is full, and a batch is never split.
    pub const CHUNK_BYTES_MAX: ByteCount = ByteCount(BATCH_BYTES_LIMIT.0 + CHUNK_FULL_MAX.0);
    /// When a chunk is full unless told otherwise.
    pub const CHUNK_BYTES_DEFAULT: ByteCount = ByteCount::mib(2);
    /// When a segment is full unless told otherwise.
    pub const SEGMENT_BYTES_DEFAULT: ByteCount = ByteCount::mib(32);
    /// The largest index of a segment.
    pub const INDEX_BYTES_MAX: ByteCount = ByteCount::mib(8);
    /// The largest manifest, or object of topics or commits.
    pub const MANIFEST_BYTES_MAX: ByteCount = ByteCount::mib(256);
}
