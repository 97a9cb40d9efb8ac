use super::{Event, Happened, Output};
use crate::plan::Action;
use model::{Opening, Order, OwnershipEpoch, ProtectionGroup, RegionName, RunId, StepId};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Something to be done for a run, now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The run.
    pub run: RunId,
    /// The step of its plan.
    pub step: StepId,
    /// Whether it is done or undone.
    pub direction: Direction,
    /// With the run, the identity of the effect, whatever attempt it is: the step's name, or `<step>.undo`.
    pub token: StepId,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// How long to wait for it before it counts as failed with [`Happened::Unknown`].
    #[serde(with = "crate::millis", rename = "timeout_ms")]
    pub timeout: Duration,
    /// What to do.
    pub effect: Effect,
}

/// Whether a step is done or undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Done.
    Forward,
    /// Undone.
    Undo,
}

/// What a command does to the world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "effect")]
pub enum Effect {
    /// Send an order to a region.
    Order {
        /// The region.
        region: RegionName,
        /// The order.
        order: Order,
    },
    /// Have the council decide.
    Council {
        /// What.
        action: CouncilAction,
    },
    /// Wait until no lease of the old owner can stand: `wait` after the last renewal this council leader answered, or
    /// after its election if that is later. Only the council's leader can do this.
    WaitOutLease {
        /// The group whose owner's lease it is.
        group: ProtectionGroup,
        /// How long.
        #[serde(with = "crate::millis", rename = "wait_ms")]
        wait: Duration,
    },
    /// Produce a canary and read it back.
    Canary {
        /// The group whose canary topic to use.
        group: ProtectionGroup,
        /// The region that must answer.
        region: RegionName,
    },
    /// A drill: find out whether it could be done, and do nothing.
    Simulate {
        /// What.
        action: Action,
    },
}

/// One entry of the council. The council applies it once per (run, token) and refuses it when the run has ended or the
/// group is not at the epoch it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "council")]
pub enum CouncilAction {
    /// Answer no renewal of this grant any more.
    Revoke {
        /// The group.
        group: ProtectionGroup,
        /// The grant.
        ownership_epoch: OwnershipEpoch,
    },
    /// Let the same grant stand again.
    Regrant {
        /// The group.
        group: ProtectionGroup,
        /// The grant.
        ownership_epoch: OwnershipEpoch,
        /// Its holder.
        owner: RegionName,
    },
    /// Make `owner` the owner.
    Pivot {
        /// The group.
        group: ProtectionGroup,
        /// The grant that ends.
        from: OwnershipEpoch,
        /// The new owner.
        owner: RegionName,
        /// Its grant.
        ownership_epoch: OwnershipEpoch,
        /// How partitions start; those not listed start at their tails.
        openings: Vec<Opening>,
    },
    /// Send the gateways to the owner.
    Redirect {
        /// The group.
        group: ProtectionGroup,
        /// The owner.
        owner: RegionName,
        /// Its grant.
        ownership_epoch: OwnershipEpoch,
    },
}

impl Command {
    /// What to persist before carrying it out.
    pub fn started(&self) -> Event {
        let (step, attempt) = (self.step.clone(), self.attempt);
        match self.direction {
            Direction::Forward => Event::StepStarted { step, attempt },
            Direction::Undo => Event::UndoStarted { step, attempt },
        }
    }

    /// What to persist when it was done.
    pub fn succeeded(&self, output: Output) -> Event {
        let step = self.step.clone();
        match self.direction {
            Direction::Forward => Event::StepSucceeded { step, output },
            Direction::Undo => Event::UndoSucceeded { step },
        }
    }

    /// What to persist when it was not done, or nobody knows.
    pub fn failed(&self, error: impl Into<String>, retryable: bool, happened: Happened) -> Event {
        let (step, error) = (self.step.clone(), error.into());
        match self.direction {
            Direction::Forward => Event::StepFailed { step, error, retryable, happened },
            Direction::Undo => Event::UndoFailed { step, error, retryable },
        }
    }
}
