//! The executor: carries out runs, on the council's leader only.
//!
//! ```text
//!   stored events -> Machine -> commands --+-- persist "started" -- do it -- persist what came of it --+
//!        ^                                 |                                                           |
//!        +---------------------------------+-------- council: of two executors one writes event n <----+
//! ```
//!
//! Every run in progress has a task. It is rebuilt from the run's stored events, so whoever leads next goes on where the
//! last one stopped. Nothing is done before its start is in the council's log, and what was done under a start that has
//! no outcome is done again: regions and council recognise (run, step). Losing the leadership drops all tasks at once;
//! an executor that has not noticed finds an event it did not write, and stops.
//!
//! What it does not know: which runs should be, see [`crate::observe`], and what a step means, see
//! [`dr_planner::run`].

mod effects;
pub mod failpoint;
mod reports;
mod run;
mod start;

pub use reports::Reports;
pub use start::{Draft, Recovery, RecoveryError, Wish};
pub(crate) use start::{acknowledgement, new_plan_id, run_of};

use crate::council::Council;
use crate::ports::Ports;
use crate::tenure::{system_name, while_leading};
use failpoint::Failpoints;
use model::RunId;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

/// How long a run rests after its task ended without the run having ended.
const RESUME_PAUSE: Duration = Duration::from_millis(200);

/// Carries out runs.
#[derive(Clone)]
pub struct Executor {
    council: Council,
    ports: Ports,
    failpoints: Failpoints,
}

impl Executor {
    /// The executor of this node.
    pub fn new(council: Council, ports: Ports, failpoints: Failpoints) -> Self {
        Self { council, ports, failpoints }
    }

    fn by(&self) -> String {
        system_name(&self.council)
    }

    /// Carries out every run in progress whenever this node leads, for ever.
    pub async fn serve(self) {
        while_leading(&self.council, || self.carry_on()).await;
    }

    async fn carry_on(&self) {
        let mut tasks = Tasks::default();
        let mut views = self.council.watch_view();
        loop {
            let view = views.borrow_and_update().clone();
            for run in view.groups.iter().filter_map(|group| group.run.clone()) {
                tasks.start(run, self);
            }
            tokio::select! {
                changed = views.changed() => if changed.is_err() { return },
                () = tasks.ended() => {}
            }
        }
    }
}

/// One task per run; dropping it ends all of them.
#[derive(Default)]
struct Tasks {
    set: JoinSet<RunId>,
    running: BTreeMap<RunId, AbortHandle>,
}

impl Tasks {
    fn start(&mut self, run: RunId, executor: &Executor) {
        if self.running.contains_key(&run) {
            return;
        }
        let (executor, name) = (executor.clone(), run.clone());
        let task = self.set.spawn(async move {
            if let Err(stopped) = executor.execute(&name).await {
                tracing::warn!(run = %name, %stopped, "the run rests");
                sleep(RESUME_PAUSE).await;
            }
            name
        });
        self.running.insert(run, task);
    }

    /// Waits until a run's task has ended.
    async fn ended(&mut self) {
        match self.set.join_next_with_id().await {
            None => std::future::pending().await,
            Some(Ok((id, _))) => self.running.retain(|_, task| task.id() != id),
            Some(Err(failed)) => {
                tracing::error!(%failed, "the task of a run died");
                self.running.retain(|_, task| task.id() != failed.id());
            }
        }
    }
}
