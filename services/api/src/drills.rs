//! `/v1/drills`

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A rehearsal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Drill {
    /// Its name.
    pub id: String,
    /// What it rehearses.
    pub kind: DrillKind,
    /// The group.
    #[schema(example = "default")]
    pub group: String,
    /// The schedule that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// The run it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
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
    /// How it came out; absent while it is in progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Each claim, and what was seen.
    #[serde(default)]
    pub checks: Vec<Check>,
}

/// What a drill rehearses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DrillKind {
    /// A region is lost.
    RegionLoss,
    /// A planned switch.
    Switchover,
    /// A backup is restored into scratch topics.
    Restore,
    /// Nothing is touched: could it be done?
    Evaluate,
}

/// How a drill, or one claim of it, came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// It could not have failed: nothing was at stake, or not enough was seen.
    Unknown,
    /// Not as it should be.
    Fail,
}

/// One claim and what was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// The claim.
    #[schema(example = "every acknowledged record is present, declared lost or archived")]
    pub name: String,
    /// How it came out.
    pub verdict: Verdict,
    /// What was seen.
    pub detail: String,
}

/// Begins a drill. Answered with 202 and the drill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateDrill {
    /// What to rehearse.
    pub kind: DrillKind,
    /// The group.
    #[schema(example = "default")]
    pub group: String,
}
