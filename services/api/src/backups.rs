//! `/v1/backups`

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A backup of a protection group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Backup {
    /// Its name.
    pub id: String,
    /// The group.
    #[schema(example = "default")]
    pub group: String,
    /// Where its objects are: bucket and prefix.
    #[schema(example = "farshore-backups/default")]
    pub repository: String,
    /// The schedule that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
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
    /// What it holds, when it is completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<BackupSummary>,
    /// How far it is, while it runs on a node that can be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// How a backup or restore stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkState {
    /// At work.
    Running,
    /// Done and verified.
    Completed,
    /// Not done.
    Failed,
}

/// How far long work is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// Partitions that are done.
    pub partitions_done: u64,
    /// All partitions.
    pub partitions_total: u64,
    /// Bytes that are done.
    pub bytes_done: u64,
    /// All bytes, as far as known.
    pub bytes_total: u64,
}

/// What a completed backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackupSummary {
    /// The key of its manifest.
    pub manifest: String,
    /// The manifest's hash.
    pub manifest_hash: String,
    /// The instant of its cut: what it can be restored to.
    #[schema(format = DateTime)]
    pub cut_at: String,
    /// How many topics.
    pub topics: u64,
    /// How many partitions.
    pub partitions: u64,
    /// How many records.
    pub records: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// Begins a backup. Answered with 202 and the backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateBackup {
    /// The group.
    #[schema(example = "default")]
    pub group: String,
}
