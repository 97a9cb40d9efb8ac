use super::Outcome;
use crate::plan::PlanId;
use model::{RunId, StepId};

/// An event that cannot have happened, or cannot happen now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IllegalTransition {
    /// A run begins with its creation.
    #[error("the first event of a run of plan {plan} does not create it")]
    NotCreated {
        /// The plan.
        plan: PlanId,
    },
    /// A plan that has changed, or another one.
    #[error("run {run} was created for plan {created}, as it was then; it cannot go on with plan {given} as it is now")]
    OtherPlan {
        /// The run.
        run: RunId,
        /// Its plan.
        created: PlanId,
        /// The plan at hand.
        given: PlanId,
    },
    /// A plan that breaks a rule.
    #[error("plan {plan} must not be run: {findings}")]
    Unsound {
        /// The plan.
        plan: PlanId,
        /// The rules it breaks.
        findings: String,
    },
    /// Not now.
    #[error("run {run}: no {event} now: {reason}")]
    Refused {
        /// The run.
        run: RunId,
        /// The event.
        event: &'static str,
        /// Why.
        reason: Refusal,
    },
}

/// Why an event cannot happen now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The run has ended.
    #[error("it has ended: {outcome}")]
    Ended {
        /// How.
        outcome: Outcome,
    },
    /// It exists.
    #[error("it exists already")]
    CreatedTwice,
    /// No such step.
    #[error("there is no step {step}")]
    UnknownStep {
        /// The step.
        step: StepId,
    },
    /// It is paused.
    #[error("it is paused")]
    Paused,
    /// It is not paused.
    #[error("it is not paused")]
    NotPaused,
    /// It is being undone or was given up.
    #[error("it does not go forward any more")]
    NotForward,
    /// Nothing is being undone.
    #[error("it is not being undone")]
    NotUnwinding,
    /// Done already, or something else comes first.
    #[error("step {step} is over, or something else comes before it")]
    NotReady {
        /// The step.
        step: StepId,
    },
    /// A result of nothing.
    #[error("step {step} is not under way")]
    NotStarted {
        /// The step.
        step: StepId,
    },
    /// Somebody else made that attempt.
    #[error("attempt {given} was announced and {expected} is next; another executor is at work")]
    Attempt {
        /// The number given.
        given: u32,
        /// The number that is next.
        expected: u32,
    },
    /// Not what the step gives.
    #[error("that is not what step {step} gives")]
    Output {
        /// The step.
        step: StepId,
    },
    /// Too late.
    #[error("the target is the owner already; the run goes forward only, and can be abandoned but not undone")]
    PastPivot,
    /// It was asked for before.
    #[error("it was cancelled before")]
    CancelledAlready,
    /// It is not where that outcome would be.
    #[error("it has not come to that end")]
    NotConcluded,
}
