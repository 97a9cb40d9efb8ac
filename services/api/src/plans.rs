//! `/v1/plans`

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What to do about a protection group, with nothing left to choose. Never changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Plan {
    /// Its name.
    pub id: String,
    /// The plan it replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Which plan of its group it is.
    pub generation: u64,
    /// What kind of move it is.
    pub kind: Kind,
    /// The group it moves.
    #[schema(example = "default")]
    pub group: String,
    /// The owner it starts from.
    #[schema(example = "r1")]
    pub source: String,
    /// The owner it ends with.
    #[schema(example = "r2")]
    pub target: String,
    /// The ownership epoch it starts from; it is void under any other.
    pub ownership_epoch: u32,
    /// Its steps.
    pub steps: Vec<Step>,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// What made it: a person, the loss of a region, a schedule.
    #[schema(example = "region_lost r1")]
    pub trigger: String,
    /// Why, for people.
    pub reason: String,
    /// SHA-256 over everything it was made from.
    pub inputs_digest: String,
    /// What it is expected to cost, when it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<ExpectedCost>,
}

/// What a plan is expected to cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExpectedCost {
    /// Records that would be lost.
    pub lost_records: u64,
    /// Bytes that would be lost.
    pub lost_bytes: u64,
    /// Seconds of writes that would be lost.
    pub lost_seconds: f64,
    /// How long it would take.
    pub duration_ms: u64,
    /// Whether both objectives would be met.
    pub objectives_met: bool,
}

/// Asks for a plan without starting it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatePlan {
    /// What kind of move.
    pub kind: Kind,
    /// The group it shall move.
    #[schema(example = "default")]
    pub group: String,
    /// The owner it shall end with; the best standby when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "r2")]
    pub target: Option<String>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What kind of move a plan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Cut over now and accept the measured loss.
    Failover,
    /// Cut over after catching up; nothing is lost.
    Switchover,
    /// A switchover to the group's home.
    Failback,
    /// A rehearsal: nothing that matters is touched.
    Drill,
}

/// One action of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// Its name, unique in the plan.
    #[schema(example = "seal")]
    pub id: String,
    /// What it does, in words.
    pub description: String,
    /// The region it is done in; absent for what the council does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The steps that must be done before it.
    pub after: Vec<String>,
    /// Whether the run fails with it.
    pub critical: bool,
    /// How long one attempt may take.
    pub timeout_ms: u64,
    /// Whether its effect can be taken back.
    pub undoable: bool,
    /// Whether it is the point of no return.
    pub pivot: bool,
}
