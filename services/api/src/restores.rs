//! `/v1/restores`

use crate::backups::{Progress, WorkState};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A restore of a backup into new topics of the owner region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Restore {
    /// Its name.
    pub id: String,
    /// The backup it reads.
    pub backup: String,
    /// The group.
    #[schema(example = "default")]
    pub group: String,
    /// Its topics.
    pub topics: Vec<RestoredTopic>,
    /// How it stands.
    pub state: WorkState,
    /// When it began.
    #[schema(format = DateTime)]
    pub started_at: String,
    /// Who began it.
    pub started_by: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub ended_at: Option<String>,
    /// How long it took, or has taken so far.
    pub duration_ms: u64,
    /// What it wrote, when it is completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<RestoreSummary>,
    /// How far it is, while it runs on a node that can be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// A topic of a restore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RestoredTopic {
    /// Its name in the backup.
    #[schema(example = "orders")]
    pub source: String,
    /// The name it is restored under.
    #[schema(example = "orders")]
    pub target: String,
    /// The id it got.
    pub topic_id: String,
}

/// What a completed restore wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RestoreSummary {
    /// How many partitions, each with the hash of the backup.
    pub partitions: u64,
    /// How many of them were being written at one moment, at most.
    #[serde(default)]
    pub partitions_at_once: u64,
    /// How many records.
    pub records: u64,
    /// How many bytes.
    pub bytes: u64,
    /// How many offsets of consumer groups.
    pub group_offsets: u64,
}

/// Begins a restore. Answered with 202 and the restore. Refused when a topic of a target name has data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRestore {
    /// The backup; the newest completed one of the group when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
    /// The group whose newest backup is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "default")]
    pub group: Option<String>,
    /// Which topics; all of the backup that are not there any more when it is empty.
    #[serde(default)]
    pub topics: Vec<TopicChoice>,
    /// Whether the offsets of consumer groups are restored as well.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub group_offsets: bool,
    /// How many partitions are written at a time; 4 when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 64)]
    pub parallel: Option<u32>,
}

/// A topic to be restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TopicChoice {
    /// Its name in the backup.
    #[schema(example = "orders")]
    pub source: String,
    /// The name it is restored under; the same when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

fn yes() -> bool {
    true
}
