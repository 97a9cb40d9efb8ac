use crate::CopyKey;
use bytes::Bytes;
use env::PortFuture;
use model::{Commit, Offset, OffsetRange, OwnershipEpoch, PartitionId, ProtectionGroup, TopicId};

/// Why the region's data plane did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegionError {
    /// Nothing happened; the same call may succeed soon.
    #[error("not yet: {0}")]
    NotReady(String),
    /// It will not.
    #[error("{0}")]
    Refused(String),
}

/// One partition a backup can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The partition.
    pub partition: PartitionId,
    /// From the log start to the high watermark.
    pub range: OffsetRange,
    /// About how many bytes its batches have.
    pub bytes: u64,
}

/// What a read of a log gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogRead {
    /// Whole batches from the one that holds the asked offset on: one at least, however large; none at the end.
    Batches(Bytes),
    /// Retention has removed the asked offset.
    Dropped {
        /// Where the log starts now.
        log_start: Offset,
    },
}

/// What a backup reads: the logs and commits of the region that owns a protection group.
pub trait BackupSource: Send + Sync + 'static {
    /// The grant under which the region owns `group` and may serve it now. It is asked before and after everything
    /// else was read, so that no backup is a mixture of two lineages.
    fn ownership<'a>(&'a self, group: &'a ProtectionGroup) -> PortFuture<'a, Result<OwnershipEpoch, RegionError>>;

    /// Every commit the region holds for the consumer groups of `group`.
    fn commits<'a>(&'a self, group: &'a ProtectionGroup) -> PortFuture<'a, Result<Vec<Commit>, RegionError>>;

    /// The partitions of a topic.
    fn extents(&self, topic: TopicId) -> PortFuture<'_, Result<Vec<Extent>, RegionError>>;

    /// Reads about `bytes_max` of what is committed, from `from` on.
    fn read(&self, key: CopyKey, from: Offset, bytes_max: u32) -> PortFuture<'_, Result<LogRead, RegionError>>;
}

/// Where the log of a partition that is being restored begins and ends. All of it is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogSpan {
    /// The first offset.
    pub start: Offset,
    /// The next offset.
    pub tail: Offset,
}

impl LogSpan {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.start == self.tail
    }
}

/// Where a restore writes: topics in state `Restoring`, in the region that owns them. Nobody else writes to them, and no
/// client sees them. Methods about one partition are called one after the other.
pub trait RestoreTarget: Send + Sync + 'static {
    /// What the partition holds: nothing, or what an earlier attempt has written.
    fn span(&self, key: CopyKey) -> PortFuture<'_, Result<LogSpan, RegionError>>;

    /// Makes the log, which is empty, begin at `at`.
    fn begin(&self, key: CopyKey, at: Offset) -> PortFuture<'_, Result<(), RegionError>>;

    /// Appends whole batches as they are, offsets and leader epochs included, and makes them durable. The log ends at
    /// `at`; the first batch begins there or, behind a hole, above it.
    fn append(&self, key: CopyKey, at: Offset, batches: Bytes) -> PortFuture<'_, Result<(), RegionError>>;

    /// Reads back what was written, from the batch that holds `from` on: one batch at least; none at the tail.
    fn read(&self, key: CopyKey, from: Offset, bytes_max: u32) -> PortFuture<'_, Result<Bytes, RegionError>>;

    /// The partition is complete. From now on it starts at `range.start`, which may lie within its first batch, and
    /// readers may see all of it. Doing it again changes nothing.
    fn finish(&self, key: CopyKey, range: OffsetRange) -> PortFuture<'_, Result<(), RegionError>>;

    /// Writes commits of consumer groups of `group` and makes them durable; newer ones for the same topics give way.
    fn apply_commits<'a>(
        &'a self,
        group: &'a ProtectionGroup,
        commits: Vec<Commit>,
    ) -> PortFuture<'a, Result<(), RegionError>>;
}
