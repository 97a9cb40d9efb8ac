use crate::plan::PlanId;
use model::{CommitMarks, Opening, OwnershipEpoch, PartitionEnd, RunId, SealedPartition, StepId, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// An event and when it was persisted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// What.
    pub event: Event,
}

/// What happened in a run. Persisted before anything is done about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// The run exists. Always the first.
    Created {
        /// The run.
        run: RunId,
        /// Its plan.
        plan: PlanId,
        /// The plan's own digest ([`crate::plan::Plan::digest`]): the plan it may be continued with.
        plan_digest: String,
    },
    /// A step is about to be attempted.
    StepStarted {
        /// The step.
        step: StepId,
        /// Which attempt, from 1. It grows with every attempt, also of a resumed executor.
        attempt: u32,
    },
    /// A step is done.
    StepSucceeded {
        /// The step.
        step: StepId,
        /// What it gave.
        output: Output,
    },
    /// An attempt failed.
    StepFailed {
        /// The step.
        step: StepId,
        /// What was seen.
        error: String,
        /// Whether another attempt may succeed.
        retryable: bool,
        /// Whether the effect may have happened all the same.
        happened: Happened,
    },
    /// A step's undo is about to be attempted.
    UndoStarted {
        /// The step that is undone.
        step: StepId,
        /// Which attempt, from 1.
        attempt: u32,
    },
    /// A step is undone.
    UndoSucceeded {
        /// The step.
        step: StepId,
    },
    /// An attempt to undo failed.
    UndoFailed {
        /// The step.
        step: StepId,
        /// What was seen.
        error: String,
        /// Whether another attempt may succeed.
        retryable: bool,
    },
    /// Nothing new is to be started.
    Paused {
        /// Who said so and why.
        reason: String,
    },
    /// Go on.
    Resumed,
    /// The run shall end.
    CancelRequested {
        /// Who said so and why.
        reason: String,
        /// How.
        how: Cancel,
    },
    /// The run has ended. Always the last.
    Finished {
        /// How.
        outcome: Outcome,
    },
}

impl Event {
    /// Its name, as it stands in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Created { .. } => "created",
            Self::StepStarted { .. } => "step_started",
            Self::StepSucceeded { .. } => "step_succeeded",
            Self::StepFailed { .. } => "step_failed",
            Self::UndoStarted { .. } => "undo_started",
            Self::UndoSucceeded { .. } => "undo_succeeded",
            Self::UndoFailed { .. } => "undo_failed",
            Self::Paused { .. } => "paused",
            Self::Resumed => "resumed",
            Self::CancelRequested { .. } => "cancel_requested",
            Self::Finished { .. } => "finished",
        }
    }
}

impl From<model::Done> for Output {
    fn from(done: model::Done) -> Self {
        match done {
            model::Done::Stopped { ends, commits } => Self::Stopped { ends, commits },
            model::Done::CaughtUp { ends, .. } => Self::CaughtUp { ends },
            model::Done::Sealed { partitions } => Self::Sealed { partitions },
            model::Done::Opened { ends } => Self::Opened { ends },
            model::Done::Ok => Self::Done,
        }
    }
}

/// Whether the effect of a failed attempt may have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happened {
    /// Certainly not.
    No,
    /// Nobody knows: no answer came.
    Unknown,
}

/// How a run is cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cancel {
    /// Undo what was done. Refused behind the pivot; while nobody knows whether the pivot happened, that is found out
    /// first, and if it did the run goes forward.
    Unwind,
    /// Stop at once and undo nothing, because another run fences what this one did (a region was lost meanwhile).
    Abandon,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The group is at the target and a canary went through.
    Succeeded,
    /// Everything was undone; the group is where it was.
    RolledBack,
    /// An undo failed; a person has to look.
    Stuck,
    /// Given up without undoing.
    Failed,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Succeeded => "succeeded",
            Self::RolledBack => "rolled back",
            Self::Stuck => "stuck",
            Self::Failed => "failed",
        })
    }
}

/// What a step gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "output")]
pub enum Output {
    /// Nothing to say but that it is done.
    Done,
    /// The lease of the old owner is over.
    LeaseOver {
        /// The last renewal answered, or the council leader's election if that is later.
        counted_from: Timestamp,
        /// When it was over.
        until: Timestamp,
    },
    /// The owner refuses writes.
    Stopped {
        /// Where its logs end.
        ends: Vec<PartitionEnd>,
        /// How far its commits go.
        commits: CommitMarks,
    },
    /// A standby has what it was to have.
    CaughtUp {
        /// Where its copies end.
        ends: Vec<PartitionEnd>,
    },
    /// A standby takes nothing more.
    Sealed {
        /// What it holds and knows of the source.
        partitions: Vec<SealedPartition>,
    },
    /// The target owns the group.
    Pivoted {
        /// Under this epoch.
        ownership_epoch: OwnershipEpoch,
        /// Its partitions start so; those not listed start at their tails.
        openings: Vec<Opening>,
    },
    /// The new owner serves.
    Opened {
        /// Where its logs end.
        ends: Vec<PartitionEnd>,
    },
    /// The gateways were sent to the new owner.
    Redirected {
        /// Under this route epoch.
        route_epoch: u64,
    },
    /// A canary went through.
    Canary {
        /// When it was acknowledged.
        produced_at: Timestamp,
        /// When it was read back.
        consumed_at: Timestamp,
    },
    /// A drill found that it could be done.
    Simulated,
}
