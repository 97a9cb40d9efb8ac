//! What a run tells a region to do, and what the region answers. Every order names its run and step, so that an order
//! that comes twice has one effect, and the ownership epoch it was given under, so that a late one is refused.

use crate::{
    CommitMarks, LeaderEpoch, Offset, OffsetRange, Opening, OwnershipEpoch, PartitionId, ProtectionGroup, RegionName,
    RunId, StepId, Timestamp, TopicId,
};
use serde::{Deserialize, Serialize};

/// One order to one region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The run it belongs to.
    pub run: RunId,
    /// The step of that run. `(run, step)` is the order's identity, whatever attempt it is.
    pub step: StepId,
    /// The protection group it is about.
    pub group: ProtectionGroup,
    /// The grant it is about. A region that has obeyed a later one refuses the order.
    pub ownership_epoch: OwnershipEpoch,
    /// What to do.
    pub action: Action,
}

/// What a region is told to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "action")]
pub enum Action {
    /// The owner: take no more writes and commits under this grant, for good; answer once every write already taken is
    /// answered. Survives a restart. Answered with [`Done::Stopped`].
    StopWrites,
    /// The owner: undo `StopWrites` under the same grant.
    ResumeWrites,
    /// A standby: follow the source until these ends are durable here. Answered with [`Done::CaughtUp`].
    CatchUp {
        /// Where the source's logs end.
        ends: Vec<PartitionEnd>,
        /// How far its commits go, by partition of its `__consumer_offsets`.
        commits: CommitMarks,
    },
    /// A standby: fetch what the reachable copies in `from` hold and this region lacks. Answered with
    /// [`Done::CaughtUp`].
    Collect {
        /// Other standbys of the same lineage.
        from: Vec<RegionName>,
    },
    /// A standby: take nothing more from any link of this group, for good, and say what is durable here. Answered with
    /// [`Done::Sealed`].
    Seal,
    /// A standby: undo `Seal` under the same grant.
    Unseal,
    /// The new owner, under its new grant: start every partition, abort open transactions, make all of it durable; serve
    /// only then. Answered with [`Done::Opened`].
    Open {
        /// How partitions start. A partition that is not listed starts at its tail.
        openings: Vec<Opening>,
        /// Whether mirrored producers may jump forward once: writes that they had acknowledged may be lost. Not so after a
        /// planned switch, nor where SYNC had proven the copy when it took over.
        #[serde(rename = "unplanned")]
        jumps: bool,
    },
}

/// Where one partition's log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionEnd {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// The next offset.
    pub tail: Offset,
    /// The leader epoch of the last batch.
    pub last_epoch: LeaderEpoch,
}

/// What a region did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "done")]
pub enum Done {
    /// Writes and commits are refused.
    Stopped {
        /// Where its logs end, for good under this grant.
        ends: Vec<PartitionEnd>,
        /// How far its commits go, by partition of its `__consumer_offsets`.
        commits: CommitMarks,
    },
    /// Everything asked for is durable here.
    CaughtUp {
        /// Where its copies end.
        ends: Vec<PartitionEnd>,
        /// How far the commits of the group's owner go here. A broker of several answers for the partitions it leads.
        #[serde(default)]
        commits: CommitMarks,
    },
    /// Nothing more is taken from any link.
    Sealed {
        /// What is durable here and what is known of the source.
        partitions: Vec<SealedPartition>,
    },
    /// The region serves the group.
    Opened {
        /// Where its logs now end and under which leader epoch.
        ends: Vec<PartitionEnd>,
    },
    /// The order had nothing else to say.
    Ok,
}

/// One partition of a sealed copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedPartition {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// What its whole in-sync set holds durably: the common end of a new lineage.
    pub durable_end: Offset,
    /// The leader epoch of the last batch below it.
    pub last_epoch: LeaderEpoch,
    /// The source's tail when it was last heard of; `None` when it never was under this copy.
    pub source_tail: Option<Offset>,
    /// The source's high watermark when it was last heard of.
    pub source_watermark: Option<Offset>,
    /// Bytes the source held above `durable_end`, as far as it was heard of.
    pub missing_bytes: u64,
    /// When the oldest record known to be missing was appended at the source.
    pub oldest_missing: Option<Timestamp>,
    /// When the source was last heard of, on this region's clock.
    pub heard_at: Option<Timestamp>,
}

/// Why a region did not do what it was ordered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "refused")]
pub enum OrderError {
    /// The region obeys a later grant.
    #[error("{region} obeys ownership epoch {obeyed} of {group}; an order of epoch {ordered} is out of date")]
    Outdated {
        /// The region.
        region: RegionName,
        /// The group.
        group: ProtectionGroup,
        /// The epoch it obeys.
        obeyed: OwnershipEpoch,
        /// The epoch of the order.
        ordered: OwnershipEpoch,
    },
    /// The region has not heard of that grant yet, or is not what the order takes it for. Nothing happened.
    #[error("{region} cannot do this yet: {reason}")]
    NotReady {
        /// The region.
        region: RegionName,
        /// What is missing.
        reason: String,
    },
    /// The region tried and could not; the order may be given again.
    #[error("{region} could not: {reason}")]
    Failed {
        /// The region.
        region: RegionName,
        /// What went wrong.
        reason: String,
    },
    /// Whether it happened is unknown: the region did not answer.
    #[error("{region} did not answer: {reason}")]
    Unknown {
        /// The region.
        region: RegionName,
        /// What was seen instead.
        reason: String,
    },
}

impl OrderError {
    /// Whether the same order may succeed when given again.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::Outdated { .. })
    }
}

/// A diverged tail: records an old owner acknowledged that the new owner never got, archived before they were cut off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DivergedTail {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// The grant under which the old lineage was written.
    pub ownership_epoch: OwnershipEpoch,
    /// The offsets that were cut off.
    pub range: OffsetRange,
    /// How many records lay in it (holes and control batches not counted).
    pub records: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Append times of the first and the last of them.
    pub first_time: Timestamp,
    /// See `first_time`.
    pub last_time: Timestamp,
    /// The file they were copied to, relative to the region's data directory.
    pub file: String,
}

impl DivergedTail {
    /// Whether another tail is of the same partition and epoch: both regions copied what one owner wrote.
    pub fn is_of_the_lineage(&self, other: &Self) -> bool {
        let lineage = |tail: &Self| (tail.topic, tail.partition, tail.ownership_epoch);
        lineage(self) == lineage(other)
    }
}

/// Offsets a link could not copy because the source had dropped them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// The offsets that are missing.
    pub range: OffsetRange,
    /// Why.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_to_open_is_written_as_earlier_versions_wrote_it() {
        let opening =
            Opening { topic: TopicId::ZERO, partition: PartitionId(0), common_end: Offset(5), base: Offset(9) };
        let written = r#"{"action":"open","openings":[{"topic":"00000000-0000-0000-0000-000000000000","partition":0,"common_end":5,"base":9}],"unplanned":true}"#;
        let lossy = Action::Open { openings: vec![opening], jumps: true };
        assert_eq!(serde_json::from_str::<Action>(written).unwrap(), lossy);
        assert_eq!(serde_json::to_string(&lossy).unwrap(), written);
        assert!(opening.leaves_hole() && !opening.without_hole().leaves_hole());
    }
}
