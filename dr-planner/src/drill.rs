//! The scorecard of a drill: what it claims, claim by claim, and what was seen.

use crate::report::Report;
use model::{PartitionId, Timestamp, TopicName};
use serde::{Deserialize, Serialize};

/// What a drill found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scorecard {
    /// The drill.
    pub drill: String,
    /// When it was scored.
    pub at: Timestamp,
    /// The verdict.
    pub verdict: Verdict,
    /// Each claim.
    pub checks: Vec<Check>,
    /// The report of the run it rehearsed.
    pub report: Option<Report>,
}

/// How a drill, or one claim of it, came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The claim's name.
    pub name: String,
    /// How it came out.
    pub verdict: Verdict,
    /// What was seen.
    pub detail: String,
}

/// A value that was acknowledged and is nowhere to be found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionId,
    /// The offset its acknowledgement named.
    pub offset: model::Offset,
}
