//! What a region says of itself.

use crate::{
    ByteCount, CommitMarks, CopyTerm, DivergedTail, Gap, Incarnation, LeaderEpoch, Offset, OffsetRange, OwnershipEpoch,
    PartitionId, ProtectionGroup, RegionName, RunId, StepId, SyncStatus, Timestamp, TopicId, TopicName,
};
use serde::{Deserialize, Serialize};

/// One region, as it sees itself at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegionStatus {
    /// The region.
    pub region: RegionName,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// When, on its own clock.
    pub time: Timestamp,
    /// The council log entry it has made real.
    pub council_index: u64,
    /// The grants it holds or follows.
    pub holdings: Vec<Holding>,
    /// Its partitions.
    pub partitions: Vec<PartitionStatus>,
    /// Its disks.
    pub disks: Vec<DiskStatus>,
    /// Diverged tails it has archived and not yet seen acknowledged by the council.
    pub diverged: Vec<DivergedTail>,
    /// Gaps it has found.
    pub gaps: Vec<Gap>,
    /// Orders it has carried out: one entry per (run, step).
    pub orders: Vec<(RunId, StepId, Timestamp)>,
}

/// How a region stands towards one protection group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// The group.
    pub group: ProtectionGroup,
    /// The highest ownership epoch the region has durably obeyed.
    pub obeyed: OwnershipEpoch,
    /// Whether it is the owner under that epoch.
    pub owner: bool,
    /// Whether its lease stands right now (owners only).
    pub leased: bool,
    /// Whether all partitions of the group are open for writes.
    pub open: bool,
    /// Whether `StopWrites` holds.
    pub stopped: bool,
    /// Whether `Seal` holds.
    pub sealed: bool,
    /// How far the commits of the group's owner go here: by partition of the owner's `__consumer_offsets`.
    #[serde(default)]
    pub commits: CommitMarks,
}

/// One partition in one region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartitionStatus {
    /// The topic's id.
    pub topic_id: TopicId,
    /// Its name.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionId,
    /// The group it belongs to; `None` for the region's own internal topics.
    pub group: Option<ProtectionGroup>,
    /// Whether writes are taken here.
    pub writable: bool,
    /// Its leader epoch (owner) or the last one copied.
    pub leader_epoch: LeaderEpoch,
    /// The leadership start of the copy (standbys).
    pub copy_term: CopyTerm,
    /// The first offset kept.
    pub start: Offset,
    /// The next offset.
    pub tail: Offset,
    /// Everything below is on disk.
    pub flushed: Offset,
    /// Everything below is committed in this region and shown to readers.
    pub high_watermark: Offset,
    /// Bytes on disk.
    pub size: ByteCount,
    /// A hash over the batches of [start, high watermark) when one was asked for.
    pub hash: Option<String>,
    /// Whether the log refuses writes for good after a failed flush.
    pub failed: Option<String>,
    /// How it stands to the SYNC rule; `None` where no rule is on or it is not led as the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncStatus>,
}

/// One log directory's file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskStatus {
    /// The directory.
    pub path: String,
    /// Free bytes.
    pub free: ByteCount,
    /// All bytes.
    pub total: ByteCount,
    /// Whether a write was refused for lack of space and none has succeeded since.
    pub full: bool,
}

/// How far one copied partition is behind its source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkPartitionStatus {
    /// The topic's id.
    pub topic_id: TopicId,
    /// Its name.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionId,
    /// The group.
    pub group: ProtectionGroup,
    /// The source region.
    pub source: RegionName,
    /// The target region.
    pub target: RegionName,
    /// What the link does or why it is no standby: `fetching`, `caught_up`, `disconnected`, `archiving`, `sealed`, `topic_reset`, ...
    pub state: String,
    /// The next offset the copy lacks.
    pub tail: Offset,
    /// The source's tail when last heard of.
    pub source_tail: Option<Offset>,
    /// Records the copy lacks.
    pub lag_records: u64,
    /// Bytes the copy lacks.
    pub lag_bytes: u64,
    /// Seconds of writes the copy lacks.
    pub lag_seconds: f64,
    /// Milliseconds since the source last answered.
    pub silent_ms: u64,
    /// Milliseconds to the source and back; `None` before it was measured.
    #[serde(default)]
    pub round_trip_ms: Option<f64>,
    /// How many bytes one fetch asks for.
    #[serde(default)]
    pub fetch_bytes: u32,
    /// How many fetches are under way.
    #[serde(default)]
    pub fetches_under_way: u32,
    /// What the line to the source's broker was like in the last seconds; `None` before anything was asked of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<crate::Line>,
    /// How far the copy is proven to be what its source is; `None` before both have hashed anything.
    #[serde(default)]
    pub proof: Option<CopyProof>,
}

/// The states of copies that are no standby, as [`LinkPartitionStatus::state`] and assessments name them.
pub mod copy_states {
    /// It has missed deletions of keys it holds: it has to be copied anew.
    pub const MUST_REBUILD: &str = "must_rebuild";
    /// It has not come as far as its source was compacted, so that it lacks versions of some keys. It mends itself.
    pub const INCOMPLETE: &str = "incomplete";
    /// The source has another topic under its name.
    pub const TOPIC_RESET: &str = "topic_reset";
    /// It does not hold what its source holds, by their hashes: it has to be copied anew.
    pub const DIFFERENT: &str = "different";
}

impl LinkPartitionStatus {
    /// Why the copy is no standby, if it is none.
    pub fn unusable(&self) -> Option<&str> {
        let is_defect =
            [copy_states::MUST_REBUILD, copy_states::INCOMPLETE, copy_states::TOPIC_RESET, copy_states::DIFFERENT];
        let state = is_defect.contains(&self.state.as_str()).then_some(self.state.as_str());
        let differs = self.proof.as_ref().is_some_and(|proof| proof.difference.is_some());
        state.or(differs.then_some(copy_states::DIFFERENT))
    }

    /// Whether nothing but copying it anew makes it a standby.
    pub fn must_be_rebuilt(&self) -> bool {
        matches!(self.unusable(), Some(copy_states::MUST_REBUILD | copy_states::DIFFERENT))
    }
}

/// How far a copy is proven to be what its source is, by the hashes of 2^16 offsets at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyProof {
    /// Both hold the same batches here, but for what is unproven. It ends before the first difference of any kind, or where
    /// one of them has hashed no further.
    pub identical: OffsetRange,
    /// How many ranges of that cannot be compared: retention, compaction or a gap took a part of them on one side.
    pub unproven_ranges: u64,
    /// The first range that both should have alike and have not, for which the copy is to blame.
    pub difference: Option<OffsetRange>,
    /// Ranges in which the source's disk gives something else than was written to it, in order. What is identical ends before
    /// the first, and the copy is as good as it was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_damaged: Vec<OffsetRange>,
    /// How far both have the same latest value of every key, where the topic is compacted; `None` before that was compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<KeyProof>,
}

/// How far a copy of a compacted topic was proven to have the same latest value of every key as its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyProof {
    /// Of the records at these offsets.
    pub range: OffsetRange,
    /// How many keys have a value.
    pub keys: u64,
    /// When, on the clock of the copy's region.
    pub compared_at: Timestamp,
}
