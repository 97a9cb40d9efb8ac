//! `/v1/diverged`

use crate::OffsetRange;
use crate::backups::WorkState;
use crate::regions::DivergedTail;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A diverged tail, and what was done about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Diverged {
    /// What it is called.
    #[schema(example = "r1.1f3a9c2e7b60.0.1.1234")]
    pub id: String,
    /// The region that archived it.
    pub region: String,
    /// What was cut off.
    pub tail: DivergedTail,
    /// When the council heard of it.
    #[schema(format = DateTime)]
    pub recorded_at: String,
    /// Its re-injection, when one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reinjection: Option<Reinjection>,
    /// The topic that has all of its records, as they are, or will have them.
    pub published: Publication,
    /// The manifests in the object store of what is kept there of its file, which names the pieces and their hashes. Only
    /// where one tail is asked for; empty while the store does not answer or has nothing of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<String>,
    /// How it compares with the lineage that went on; only where one tail is asked for, and the comparison could be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub findings: Option<Findings>,
    /// Why there are no findings, where they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_compared: Option<String>,
}

/// How a tail stands that is published: all of its records, as they are and in their order, in a topic of its own, which is
/// called `<topic>.diverged.<epoch>` and has the partitions of the original. Nothing is taken away from it until it is
/// deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Publication {
    /// How it stands.
    pub state: PublicationState,
    /// The topic; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "orders.diverged.1")]
    pub topic: Option<String>,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub started_at: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub ended_at: Option<String>,
    /// What became of the records, when it is completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<PublishedRecords>,
}

/// How a tail stands that is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PublicationState {
    /// It is not, and will not be as things are.
    Absent,
    /// It will be.
    Waiting,
    /// Some of it may be.
    Running,
    /// All of it is.
    Completed,
}

/// Where the records of a tail are in its topic, in the partition they were in before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublishedRecords {
    /// How many it has brought there.
    pub published: u64,
    /// Left out: a tail of another region that copied the same records, and was published before, has brought them there.
    #[serde(default)]
    pub held: u64,
    /// Left out: of aborted transactions.
    pub aborted: u64,
    /// Left out: of transactions without an end in the tail.
    pub open: u64,
    /// Which offsets went where, in order.
    pub offsets: Vec<PublishedOffsets>,
    /// Whether `offsets` has all of them: only the first thousand runs are kept.
    pub offsets_complete: bool,
}

/// Records that follow each other in the tail and in its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublishedOffsets {
    /// Their offsets in the tail.
    pub tail: OffsetRange,
    /// Their offsets in the topic.
    pub topic: OffsetRange,
}

/// A tail being written to the lineage that went on, or that was. It is done once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reinjection {
    /// How it stands; one that failed goes on where it stopped when it is asked for again.
    pub state: WorkState,
    /// Records are left out whose key the lineage that went on has written since the common end.
    pub keys_not_newer: bool,
    /// Records without a producer id are left out.
    pub leave_unknown: bool,
    /// The producer id of all that is written.
    pub producer_id: i64,
    /// The tail is compared with the lineage that went on below this offset.
    pub until: i64,
    /// When it began.
    #[schema(format = DateTime)]
    pub started_at: String,
    /// Who began it.
    pub started_by: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub ended_at: Option<String>,
    /// What became of the records, when it is completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<Fates>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// How many records of a tail are in which case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fates {
    /// To be written again, or written again: the lineage that went on lacks them.
    pub lacking: u64,
    /// The same, though nobody can tell whether it lacks them: they have no producer id.
    pub unknown: u64,
    /// Left out: it holds them, by producer id, producer epoch and sequence number.
    pub held: u64,
    /// Left out: it has a newer record of their key. Counted only where that was asked for.
    pub newer_key: u64,
    /// Left out for having no producer id. Counted only where that was asked for.
    pub unknown_left: u64,
    /// Left out: of aborted transactions.
    pub aborted: u64,
    /// Left out: of transactions without an end in the tail.
    pub open: u64,
}

/// How a tail compares with the lineage that went on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Findings {
    /// Its records.
    pub records: Fates,
    /// Control batches in it, which are never written again.
    pub control_batches: u64,
    /// What of the lineage that went on was read; absent when it holds nothing since the common end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lineage: Option<OffsetRange>,
    /// How many different keys the tail has.
    pub keys: u64,
    /// How many of these the lineage that went on has written since the common end.
    pub keys_held: u64,
    /// Whether all of its keys were looked at.
    pub keys_complete: bool,
    /// How many of its records have no key.
    pub keyless: u64,
    /// The keys of which most versions were cut off.
    pub top_keys: Vec<KeyFinding>,
}

/// A key of a tail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyFinding {
    /// The key, as text as far as it is some, cut off when it is long.
    pub key: String,
    /// How many versions of it were cut off.
    pub versions: u64,
    /// Whether the lineage that went on has written it since the common end.
    pub held: bool,
}

/// How a tail is to be written again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reinject {
    /// Leave out records whose key the lineage that went on has written since the common end.
    #[serde(default)]
    pub keys_not_newer: bool,
    /// Leave out records without a producer id.
    #[serde(default)]
    pub leave_unknown: bool,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}
