use model::{OwnershipEpoch, RegionName, StepId};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One action of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its name, unique in the plan. `(run, id)` is the idempotency token of its effect.
    pub id: StepId,
    /// What it does.
    pub action: Action,
    /// The steps that must be done before it.
    pub after: Vec<StepId>,
    /// Whether the run fails with it. A step that is not critical is skipped when it fails for good.
    pub critical: bool,
    /// How long one attempt may take.
    #[serde(with = "crate::millis", rename = "timeout_ms")]
    pub timeout: Duration,
    /// How it is tried again.
    pub retry: Retry,
    /// What takes its effect back, if anything has to.
    pub undo: Option<Action>,
    /// Whether it is the point of no return.
    pub pivot: bool,
    /// What a drill does with it.
    pub in_drill: InDrill,
}

/// How a step is tried again after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// How many failures are forgiven. Behind the pivot every failure is.
    pub times: u32,
    /// The pause after the first failure; it doubles with each further one.
    #[serde(with = "crate::millis", rename = "pause_ms")]
    pub pause: Duration,
    /// The longest pause.
    #[serde(with = "crate::millis", rename = "pause_max_ms")]
    pub pause_max: Duration,
}

impl Retry {
    /// The pause after the `failures`-th failure in a row (from 1).
    pub fn pause_after(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        self.pause.saturating_mul(1 << doublings).min(self.pause_max)
    }
}

/// What a drill does with a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InDrill {
    /// It is done.
    Run,
    /// It is checked whether it could be done.
    Simulate,
    /// Nothing.
    Skip,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "action")]
pub enum Action {
    /// The council answers no renewal of the owner's lease any more.
    Revoke,
    /// The council gives the same grant to the same owner again.
    Regrant,
    /// Wait until the owner's lease cannot stand any more, counted by whoever executes this.
    WaitOutLease {
        /// How long after the last renewal answered (or the council leader's election) that is.
        #[serde(with = "crate::millis", rename = "wait_ms")]
        wait: Duration,
    },
    /// A standby fetches from other standbys what it lacks.
    Collect {
        /// The standby.
        region: RegionName,
        /// The others, the one that holds most first.
        from: Vec<RegionName>,
    },
    /// A standby takes nothing more from any link and says what is durable there.
    Seal {
        /// The standby.
        region: RegionName,
    },
    /// A sealed standby follows its links again.
    Unseal {
        /// The standby.
        region: RegionName,
    },
    /// The owner takes no more writes.
    StopWrites {
        /// The owner.
        region: RegionName,
    },
    /// The owner takes writes again.
    ResumeWrites {
        /// The owner.
        region: RegionName,
    },
    /// A standby follows until it has everything the stopped owner has.
    CatchUp {
        /// The standby.
        region: RegionName,
    },
    /// The one entry of the council that makes the target the owner.
    Pivot {
        /// The new owner.
        owner: RegionName,
        /// Its ownership epoch.
        ownership_epoch: OwnershipEpoch,
    },
    /// The new owner opens its partitions.
    Open {
        /// The new owner.
        region: RegionName,
        /// Whether writes may have been left behind. Then producers may jump forward once, unless the pivot finds that none
        /// can have been.
        unplanned: bool,
    },
    /// The council sends the gateways to the new owner.
    Redirect {
        /// The new owner.
        owner: RegionName,
    },
    /// A canary is produced and consumed at the new owner.
    Verify {
        /// The new owner.
        region: RegionName,
    },
}

/// The names of the steps, as runs, journals and people see them.
pub mod step_ids {
    use model::StepId;

    macro_rules! ids {
        ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {$(
            $(#[$doc])*
            pub fn $name() -> StepId {
                StepId::new($text).expect("a step's name is a name")
            }
        )*};
    }

    ids! {
        /// [`Action::Revoke`](super::Action::Revoke).
        revoke = "revoke";
        /// [`Action::WaitOutLease`](super::Action::WaitOutLease).
        wait_out_lease = "wait-out-lease";
        /// [`Action::Collect`](super::Action::Collect).
        collect = "collect";
        /// [`Action::Seal`](super::Action::Seal).
        seal = "seal";
        /// [`Action::StopWrites`](super::Action::StopWrites).
        stop_writes = "stop-writes";
        /// [`Action::CatchUp`](super::Action::CatchUp).
        catch_up = "catch-up";
        /// [`Action::Pivot`](super::Action::Pivot).
        pivot = "pivot";
        /// [`Action::Open`](super::Action::Open).
        open = "open";
        /// [`Action::Redirect`](super::Action::Redirect).
        redirect = "redirect";
        /// [`Action::Verify`](super::Action::Verify).
        verify = "verify";
    }
}
