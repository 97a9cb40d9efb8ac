use super::{Happened, Output};
use crate::plan::{Retry, Step};
use model::Timestamp;
use std::time::Duration;

/// How far one step is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    attempts: u32,
    failures: u32,
    failed_at: Option<Timestamp>,
    stage: Stage,
    /// An attempt may have had its effect though it failed; sticks until the step succeeds or is refused for good.
    uncertain: bool,
    pub(super) undo: Undo,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Waiting,
    Started,
    Succeeded(Output),
    /// Failed for good; whoever comes after a step that is not critical goes on.
    GivenUp,
}

/// How far a step's undo is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Undo {
    #[default]
    Waiting,
    Started {
        attempt: u32,
    },
    Failed {
        attempt: u32,
        at: Timestamp,
    },
    Done,
    GivenUp {
        attempt: u32,
    },
}

impl Progress {
    pub(super) fn skipped() -> Self {
        Self { stage: Stage::GivenUp, ..Self::default() }
    }

    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    pub(super) fn is_started(&self) -> bool {
        self.stage == Stage::Started
    }

    /// Whether its effect is there, or may be.
    pub(super) fn may_have_happened(&self) -> bool {
        self.uncertain || self.is_started() || self.output().is_some()
    }

    /// Whether whatever comes after it may start.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Succeeded(_) | Stage::GivenUp)
    }

    pub(super) fn output(&self) -> Option<&Output> {
        if let Stage::Succeeded(output) = &self.stage { Some(output) } else { None }
    }

    pub(super) fn start(&mut self, attempt: u32) {
        // Started again without a result: the attempt before may have had its effect.
        self.uncertain |= self.is_started();
        self.attempts = attempt;
        self.stage = Stage::Started;
    }

    pub(super) fn succeed(&mut self, output: Output) {
        self.uncertain = false;
        self.stage = Stage::Succeeded(output);
    }

    pub(super) fn fail(&mut self, at: Timestamp, happened: Happened) {
        self.uncertain |= happened == Happened::Unknown;
        self.failures += 1;
        self.failed_at = Some(at);
        self.stage = Stage::Waiting;
    }

    pub(super) fn give_up(&mut self) {
        self.stage = Stage::GivenUp;
    }

    /// Whether the failure just noted was the last. Never behind the pivot, and never of the pivot itself while it may
    /// have happened, unless it was refused for good: then the council has decided.
    pub(super) fn is_given_up(&mut self, step: &Step, retryable: bool, past_pivot: bool) -> bool {
        if past_pivot {
            return false;
        }
        if step.pivot && !retryable {
            self.uncertain = false;
        }
        let uncertain_pivot = step.pivot && self.uncertain;
        !uncertain_pivot && (!retryable || self.failures > step.retry.times)
    }

    /// Since when it waits, and for how long.
    pub(super) fn pause(&self, retry: Retry) -> (Timestamp, Duration) {
        match (&self.stage, self.failed_at) {
            (Stage::Waiting, Some(at)) => (at, retry.pause_after(self.failures)),
            _ => (Timestamp(0), Duration::ZERO),
        }
    }
}

impl Undo {
    pub(super) fn attempts(self) -> u32 {
        match self {
            Self::Waiting | Self::Done => 0,
            Self::Started { attempt } | Self::Failed { attempt, .. } | Self::GivenUp { attempt } => attempt,
        }
    }

    pub(super) fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::GivenUp { .. })
    }

    pub(super) fn fail(&mut self, at: Timestamp, retryable: bool, retry: Retry) {
        let attempt = self.attempts();
        *self =
            if !retryable || attempt > retry.times { Self::GivenUp { attempt } } else { Self::Failed { attempt, at } };
    }

    pub(super) fn pause(self, retry: Retry) -> (Timestamp, Duration) {
        match self {
            Self::Failed { attempt, at } => (at, retry.pause_after(attempt)),
            _ => (Timestamp(0), Duration::ZERO),
        }
    }
}
