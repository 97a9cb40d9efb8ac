//! `/v1/links`

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The mirror of one protection group from its owner to one standby.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Link {
    /// `source->target/group`.
    #[schema(example = "r1->r2/default")]
    pub name: String,
    /// The source region.
    #[schema(example = "r1")]
    pub source: String,
    /// The target region.
    #[schema(example = "r2")]
    pub target: String,
    /// The protection group.
    #[schema(example = "default")]
    pub group: String,
    /// What it does: the least good state of its partitions.
    #[schema(example = "caught_up")]
    pub state: String,
    /// Records the target lacks, over all partitions.
    pub lag_records: u64,
    /// Bytes the target lacks, over all partitions.
    pub lag_bytes: u64,
    /// Seconds of writes the target lacks: the most of any partition. Where it lacks no records that it knows of, and the
    /// source is silent (`silent_ms`), up to so many: what is written there is not known here.
    #[schema(example = 0.04)]
    pub lag_seconds: f64,
    /// Milliseconds since the source last answered: the most of any partition. 2^64-1 where it never did.
    pub silent_ms: u64,
    /// Milliseconds to the source and back, as measured: the most of any partition; absent before that.
    #[schema(example = 100.4)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<f64>,
    /// How many bytes one fetch asks for: the most of any partition.
    #[serde(default)]
    pub fetch_bytes: u32,
    /// How many fetches are under way, over all partitions.
    #[serde(default)]
    pub fetches_under_way: u32,
    /// How many requests to the source were answered or failed in the last 10 seconds, where most of them failed.
    #[serde(default)]
    pub requests: u64,
    /// How many of them failed.
    #[serde(default)]
    pub failures: u64,
    /// Partitions of which the target does not hold what the source holds; see `gaps`.
    #[serde(default)]
    pub different_partitions: u32,
    /// Partitions of which the source's disk gives something else than was written to it, where the target's copy is as good as
    /// it was; see their `proof`.
    #[serde(default)]
    pub source_damaged_partitions: u32,
    /// Partitions whose copy is no standby, so that the group is not moved to the target; see their `unusable`.
    #[serde(default)]
    pub unusable_partitions: u32,
    /// What was found of the target's copies and stored: offsets that were dropped before they were copied, ranges that are
    /// not what the source has, and ranges in which the source is damaged.
    #[serde(default)]
    pub gaps: Vec<LinkGap>,
    /// Topics that were deleted and made again: what the target had of the old one is put aside for a while, and the new one
    /// is copied from its beginning.
    #[serde(default)]
    pub resets: Vec<LinkReset>,
    /// Its partitions.
    pub partitions: Vec<LinkPartition>,
    /// When the target said so.
    #[schema(format = DateTime)]
    pub observed_at: String,
}

/// One partition of a link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LinkPartition {
    /// The topic.
    #[schema(example = "orders")]
    pub topic: String,
    /// Its id.
    pub topic_id: String,
    /// The partition.
    pub partition: i32,
    /// What the link does with it.
    #[schema(example = "fetching")]
    pub state: String,
    /// Why the copy is no standby, and the remedy; absent where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unusable: Option<String>,
    /// The next offset the target lacks.
    pub tail_offset: i64,
    /// The source's next offset when it last answered; absent when it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_tail_offset: Option<i64>,
    /// Records the target lacks.
    pub lag_records: u64,
    /// Bytes the target lacks.
    pub lag_bytes: u64,
    /// Seconds of writes the target lacks; up to so many where it lacks no records that it knows of.
    pub lag_seconds: f64,
    /// Milliseconds since the source last answered. 2^64-1 where it never did.
    pub silent_ms: u64,
    /// Milliseconds to the source and back, as measured; absent before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<f64>,
    /// How many bytes one fetch asks for, by the round trip and what arrives.
    #[serde(default)]
    pub fetch_bytes: u32,
    /// How many fetches are under way.
    #[serde(default)]
    pub fetches_under_way: u32,
    /// How far the copy is proven to be what its source is; absent before both have hashed 2^16 offsets, or digested the keys
    /// of a compacted topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<LinkProof>,
}

/// How far a copy is proven to be what its source is, by the hashes of 2^16 offsets at a time and, where the topic is
/// compacted, by a digest of the latest value of every key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LinkProof {
    /// The first offset that both have.
    pub identical_from_offset: i64,
    /// Both hold the same batches up to here, but for what is unproven. It ends before the first range in which the copy or the
    /// source is damaged.
    #[schema(example = 1_310_720)]
    pub identical_to_offset: i64,
    /// How many ranges of that cannot be compared: retention, compaction or a gap took a part of them on one side.
    pub unproven_ranges: u64,
    /// Where the first range begins in which the copy is not what it was to be; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub different_from_offset: Option<i64>,
    /// Where it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub different_to_offset: Option<i64>,
    /// Where the source's disk gives something else than was written to it, in order. A copy that is a standby is sound there:
    /// have the group moved to it, and do not rebuild it from there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_damaged: Vec<DamagedRange>,
    /// How far the latest values of all keys are the same; absent before that was compared, and where the topic is not
    /// compacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<LinkKeyProof>,
}

/// Offsets of which a disk gives something else than was written to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DamagedRange {
    /// The first offset.
    pub from_offset: i64,
    /// The offset behind the last.
    pub to_offset: i64,
}

/// How far both sides of a compacted topic have the same latest value of every key: the cleaner takes other records away on
/// each side, in its own time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LinkKeyProof {
    /// The first offset that was looked at.
    pub identical_from_offset: i64,
    /// The records below are what was compared.
    #[schema(example = 1_310_720)]
    pub identical_to_offset: i64,
    /// How many keys have a value there.
    pub keys: u64,
    /// When they were compared.
    #[schema(format = DateTime)]
    pub compared_at: String,
}

/// Offsets that a copy lacks or holds otherwise than its source, whichever of them is damaged. A fact: it stays when it is
/// mended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LinkGap {
    /// The topic.
    #[schema(example = "orders")]
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The first offset.
    pub from_offset: i64,
    /// The offset behind the last.
    pub to_offset: i64,
    /// Why.
    pub reason: String,
    /// When the council stored it.
    #[schema(format = DateTime)]
    pub recorded_at: String,
}

/// A topic that was deleted and made again under its name. A fact: it stays until that is the case once more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LinkReset {
    /// The topic.
    #[schema(example = "orders")]
    pub topic: String,
    /// The id of the one that was deleted.
    pub from_topic_id: String,
    /// The id of the one that is copied now.
    pub to_topic_id: String,
    /// When the old one was deleted.
    #[schema(format = DateTime)]
    pub deleted_at: String,
    /// When the new one was made.
    #[schema(format = DateTime)]
    pub remade_at: String,
    /// Until then the target keeps its copy of the old one, unless its disk is nearly full: whole logs beside those of other
    /// topics, called `<topic>-<partition>.<milliseconds>-kept`.
    #[schema(format = DateTime)]
    pub kept_until: String,
}
