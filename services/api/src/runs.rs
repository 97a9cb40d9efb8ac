//! `/v1/runs`

use crate::OffsetRange;
use crate::plans::Kind;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One execution of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Run {
    /// Its name.
    pub id: String,
    /// The group it moves.
    #[schema(example = "default")]
    pub group: String,
    /// What kind of move it is.
    pub kind: Kind,
    /// Where it stands.
    pub state: RunState,
    /// Its plan.
    pub plan: String,
    /// The owner it starts from.
    #[schema(example = "r1")]
    pub source: String,
    /// The owner it ends with.
    #[schema(example = "r2")]
    pub target: String,
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
    /// How many events it has.
    pub events: u64,
    /// Its steps, in the order of the plan.
    pub steps: Vec<RunStep>,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Steps are being done.
    Running,
    /// Nothing new is started until it is resumed.
    Paused,
    /// What was done is being undone.
    Unwinding,
    /// Done: the group is at the target.
    Succeeded,
    /// Undone: the group is where it was.
    RolledBack,
    /// An undo failed; a person has to look.
    Stuck,
    /// Given up.
    Failed,
}

impl RunState {
    /// Whether nothing more happens.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::RolledBack | Self::Stuck | Self::Failed)
    }
}

/// How one step of a run stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunStep {
    /// The step.
    #[schema(example = "seal")]
    pub id: String,
    /// How it stands.
    pub state: StepState,
    /// How often it was attempted.
    pub attempts: u32,
    /// When it was first attempted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub started_at: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub ended_at: Option<String>,
    /// How long it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// What was seen when it last failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Not begun.
    Pending,
    /// Being done.
    Running,
    /// Done.
    Succeeded,
    /// Failed; it may be tried again.
    Failed,
    /// Failed for good, and not critical.
    Skipped,
    /// Being undone.
    Undoing,
    /// Undone.
    Undone,
}

/// One event of a run. Also the data of the server-sent events of `/v1/runs/{id}/events`, whose ids are the `seq`s.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunEvent {
    /// Its number, from 0.
    pub seq: u64,
    /// When it was persisted.
    #[schema(format = DateTime)]
    pub at: String,
    /// Which node persisted it.
    pub by: String,
    /// What kind of event it is.
    #[schema(example = "step_succeeded")]
    pub event: String,
    /// The step it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The event in words.
    pub message: String,
    /// Everything the event holds.
    pub detail: serde_json::Value,
}

/// What is done to a run in progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelRequest {
    /// Why.
    pub reason: String,
    /// Stop at once and undo nothing.
    #[serde(default)]
    pub abandon: bool,
}

/// Has a run start nothing new until it is resumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseRequest {
    /// Why.
    pub reason: String,
}

/// What a run cost. Provisional until the old log is back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunReport {
    /// The run.
    pub run: String,
    /// Its plan.
    pub plan: String,
    /// What kind of move it was.
    pub kind: Kind,
    /// The group.
    pub group: String,
    /// The owner before.
    pub source: String,
    /// The owner after.
    pub target: String,
    /// The ownership epoch before.
    pub from_epoch: u32,
    /// The ownership epoch after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_epoch: Option<u32>,
    /// How the run ended; absent while it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<RunState>,
    /// Whether more may come to light.
    pub standing: Standing,
    /// The five instants.
    pub times: ReportTimes,
    /// From the incident to the first canary produced and consumed at the new owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto_ms: Option<u64>,
    /// Whether that is within the objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto_met: Option<bool>,
    /// What was lost, over all partitions.
    pub lost: Loss,
    /// Whether the seconds lost are within the objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo_met: Option<bool>,
    /// What was lost, partition by partition; only those that had something at stake.
    pub partitions: Vec<PartitionLoss>,
    /// Which version of the report this is.
    pub revision: u64,
    /// When it was stored.
    #[schema(format = DateTime)]
    pub stored_at: String,
}

/// Whether more may come to light.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Standing {
    /// The old log has not come back for every partition.
    Provisional {
        /// How many partitions are waited for.
        waiting_for_partitions: u64,
        /// The region they are waited for from.
        region: String,
    },
    /// Nothing more can come.
    Final,
}

/// The five instants of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportTimes {
    /// t0: the last good sign of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub incident_at: Option<String>,
    /// t1: the run was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub decision_at: Option<String>,
    /// t2: the target became the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub pivot_at: Option<String>,
    /// t3: the first canary was produced and consumed at the new owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub canary_at: Option<String>,
    /// t4: the objective is met again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub recovered_at: Option<String>,
}

/// An amount of lost data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Loss {
    /// Records.
    pub records: u64,
    /// Bytes.
    pub bytes: u64,
    /// Seconds of writes.
    pub seconds: f64,
}

/// What one partition lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PartitionLoss {
    /// The topic's id.
    pub topic_id: String,
    /// Its name; absent when it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The partition.
    pub partition: i32,
    /// The last offset both lineages share.
    pub common_end: i64,
    /// Where the old lineage ended: exactly when `tail_known`, else as last heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_tail: Option<i64>,
    /// Whether that is what the old log says.
    pub tail_known: bool,
    /// The offsets that are declared lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared_lost: Option<OffsetRange>,
    /// Kept, but above the source's last watermark heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unproven: Option<OffsetRange>,
    /// How much was lost.
    pub lost: Loss,
    /// Where the old owner's records were archived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived: Option<ArchivedTail>,
}

/// A diverged tail on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ArchivedTail {
    /// In this region.
    pub region: String,
    /// Under this name, relative to its data directory.
    pub file: String,
    /// These offsets.
    pub range: OffsetRange,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standing_says_what_is_waited_for() {
        let standing = Standing::Provisional { waiting_for_partitions: 3, region: "r1".into() };
        let json = serde_json::to_value(&standing).unwrap();
        assert_eq!(json, serde_json::json!({"state": "provisional", "waiting_for_partitions": 3, "region": "r1"}));
        assert_eq!(serde_json::to_value(Standing::Final).unwrap(), serde_json::json!({"state": "final"}));
    }
}
