use super::ports::RegionError;
use env::ObjectError;
use mirror_core::archive::{ArchiveError, BackupId, Defect, ObjectHash, PlanError, Problem};
use model::{Offset, OwnershipEpoch, PartitionId, ProtectionGroup, TopicName};

/// Why there is no backup, or no restore. What was written so far stays, and the same call goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveFailure {
    /// An object is damaged or is not what the manifest says.
    #[error(transparent)]
    Object(#[from] ArchiveError),
    /// An object is missing, or the store does not answer.
    #[error(transparent)]
    Store(#[from] ObjectError),
    /// A file of the region cannot be read.
    #[error("{file} cannot be read: {source}")]
    File {
        /// Which.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// The region's data plane does not do its part.
    #[error("the region cannot: {0}")]
    Region(#[from] RegionError),
    /// What is asked for is not in the backup.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Something speaks against the restore; nothing was written.
    #[error("the restore was not begun: {}", listed(.0))]
    Preflight(Vec<Problem>),
    /// There is no such backup.
    #[error("there is no backup {0}; a backup whose manifest was not written is none")]
    UnknownBackup(BackupId),
    /// The name is taken.
    #[error("backup {backup} exists and is of protection group {group}; choose another name")]
    NameTaken {
        /// The name.
        backup: BackupId,
        /// What has it.
        group: ProtectionGroup,
    },
    /// A partition the council knows is not in this region.
    #[error("partition {topic}-{partition} is not in this region; it cannot be backed up from here")]
    MissingPartition {
        /// The topic.
        topic: TopicName,
        /// The partition.
        partition: PartitionId,
    },
    /// Another grant was given while the backup ran.
    #[error("protection group {group} changed hands during the backup: ownership epoch {before} became {after}")]
    ChangedHands {
        /// The group.
        group: ProtectionGroup,
        /// The grant at the beginning.
        before: OwnershipEpoch,
        /// The grant at the end.
        after: OwnershipEpoch,
    },
    /// A log gives nothing where it has to have records.
    #[error("partition {topic}-{partition} gives nothing from offset {from} on although it goes up to {until}")]
    Stalled {
        /// The topic.
        topic: TopicName,
        /// The partition.
        partition: PartitionId,
        /// Where nothing came.
        from: Offset,
        /// Where the log ends.
        until: Offset,
    },
    /// A log gives what cannot be backed up.
    #[error("partition {topic}-{partition} cannot be backed up: {defect}")]
    Unsound {
        /// The topic.
        topic: TopicName,
        /// The partition.
        partition: PartitionId,
        /// What is wrong.
        defect: Defect,
    },
    /// The new log holds what is not in the backup.
    #[error(
        "partition {topic}-{partition} ends at {tail}, which no restore of this backup has written; it takes {base}"
    )]
    Foreign {
        /// The topic.
        topic: TopicName,
        /// The partition.
        partition: PartitionId,
        /// Where the log ends.
        tail: Offset,
        /// What the backup has there.
        base: Offset,
    },
    /// What was read back is not what was backed up.
    #[error("partition {topic}-{partition} reads back with hash {found}, but the backup says {expected}")]
    Differs {
        /// The topic.
        topic: TopicName,
        /// The partition.
        partition: PartitionId,
        /// What the backup says.
        expected: ObjectHash,
        /// What the new log has.
        found: ObjectHash,
    },
}

impl ArchiveFailure {
    /// Whether the same call may succeed later without anybody mending anything.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::Region(error) => matches!(error, RegionError::NotReady(_)),
            Self::ChangedHands { .. } | Self::Stalled { .. } => true,
            Self::Object(_)
            | Self::Plan(_)
            | Self::Preflight(_)
            | Self::UnknownBackup(_)
            | Self::NameTaken { .. }
            | Self::MissingPartition { .. }
            | Self::Unsound { .. }
            | Self::Foreign { .. }
            | Self::Differs { .. }
            | Self::File { .. } => false,
        }
    }
}

/// The first few, and how many more.
fn listed(problems: &[Problem]) -> String {
    const SHOWN: usize = 5;
    let mut shown: Vec<_> = problems.iter().take(SHOWN).map(ToString::to_string).collect();
    if let more @ 1.. = problems.len().saturating_sub(SHOWN) {
        shown.push(format!("and {more} more"));
    }
    shown.join("; ")
}
