use dr_planner::plan::Plan;
use dr_planner::report::Report;
use dr_planner::run::Event;
use model::RunId;
use serde::{Deserialize, Serialize};

/// Keeps a plan. The same plan again changes nothing; another one under its name is refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StorePlan {
    /// The plan.
    pub plan: Plan,
}

/// Starts a run. Refused while another run of the group is in progress, and when the group is no longer at the ownership
/// epoch the plan starts from. Answered with `Answer::Event`: the run's first event is `Created`, number 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartRun {
    /// Its name.
    pub run: RunId,
    /// What it executes; kept as by [`StorePlan`].
    pub plan: Plan,
    /// The plan's digest.
    pub plan_digest: String,
}

/// Appends to the events of a run. `seq` is the number of events before it: of two executors only one can write event
/// `seq`. The same event again changes nothing. Answered with `Answer::Event`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppendRunEvent {
    /// The run.
    pub run: RunId,
    /// The number of the event, from 0.
    pub seq: u64,
    /// What happened.
    pub event: Event,
}

/// Keeps the report of a run. A later one replaces it unless it is final. Answered with `Answer::Done`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoreReport {
    /// The report.
    pub report: Report,
}
