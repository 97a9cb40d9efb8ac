//! Drills that evaluate: is there a plan, could every step be done, does a canary go through?

use super::Works;
use crate::execute::{Draft, RecoveryError, Wish, run_of};
use catalog::command::FinishDrill;
use catalog::reader::Drill;
use dr_planner::drill::{Check, Scorecard, Verdict};
use dr_planner::plan::{Kind, PlanId, Trigger};
use dr_planner::report::Report;
use dr_planner::run::{Cancel, Outcome};
use model::RunId;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a drill may take.
const DRILL_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);

/// How a drill came to its run.
enum Begun {
    /// By this very task, which knows what the plan would cost.
    Now(Box<Draft>),
    /// By another one, before.
    Before,
    /// It did not.
    Never(String),
}

impl Works {
    pub(super) async fn see_to_drill(&self, drill: Drill) {
        let deadline = Instant::now() + DRILL_MAX;
        let (plan, run) = names(&drill.id);
        let begun = self.begin_drill(&drill, plan, &run, deadline).await;
        let report = match begun {
            Begun::Never(_) => None,
            _ => self.report_of(&run, deadline).await,
        };
        let has_run = report.is_some();
        let scorecard = self.scorecard(&drill.id, &begun, report);
        tracing::info!(drill = drill.id, verdict = ?scorecard.verdict, "a drill has ended");
        self.finish(FinishDrill { scorecard, run: has_run.then_some(run) }).await;
    }

    async fn begin_drill(&self, drill: &Drill, plan: PlanId, run: &RunId, deadline: Instant) -> Begun {
        loop {
            match self.council.reader().run_summary(run).await {
                Ok(Some(_)) => return Begun::Before,
                Ok(None) => {}
                Err(error) => return Begun::Never(error.to_string()),
            }
            let error = match self.recovery.draft_as(plan.clone(), wish(drill)).await {
                Ok(draft) => match self.recovery.start(draft.plan.clone(), &drill.started_by).await {
                    Ok(_) => return Begun::Now(Box::new(draft)),
                    Err(error) => error,
                },
                Err(error @ (RecoveryError::NoPicture(_) | RecoveryError::Catalog(_))) => error,
                Err(error) => return Begun::Never(error.to_string()),
            };
            if Instant::now() >= deadline {
                return Begun::Never(error.to_string());
            }
            sleep(POLL).await;
        }
    }

    /// The report of the drill's run once that has ended; it is given up when that takes too long.
    async fn report_of(&self, run: &RunId, deadline: Instant) -> Option<Report> {
        loop {
            let summary = self.council.reader().run_summary(run).await.ok().flatten();
            if summary.is_some_and(|summary| summary.state.is_terminal()) {
                return self.recovery.report(run).await.ok();
            }
            if Instant::now() >= deadline {
                let by = crate::tenure::system_name(&self.council);
                // Refused when it has just ended, or was given up already.
                let _ = self.recovery.cancel(run, Cancel::Abandon, "the drill takes too long", &by).await;
            }
            sleep(POLL).await;
        }
    }

    fn scorecard(&self, drill: &str, begun: &Begun, report: Option<Report>) -> Scorecard {
        let checks = vec![planned(begun), rehearsed(report.as_ref()), objectives(begun)];
        Scorecard {
            drill: drill.to_owned(),
            at: self.ports.clock.now(),
            verdict: checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Unknown),
            checks,
            missing: 0,
            redelivered: 0,
            report,
        }
    }
}

fn wish(drill: &Drill) -> Wish {
    let trigger = match &drill.schedule {
        Some(name) => Trigger::Schedule { name: name.clone() },
        None => Trigger::Manual { by: drill.started_by.clone() },
    };
    let reason = format!("drill {}", drill.id);
    Wish { group: drill.group.clone(), kind: Kind::Drill, target: None, trigger, reason, accept_unusable: false }
}

/// The names of a drill's plan and run: whoever takes the drill up finds the run it already has.
fn names(drill: &str) -> (PlanId, RunId) {
    // FNV-1a (Fowler, Noll, Vo).
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = drill.bytes().fold(0xcbf2_9ce4_8422_2325, fold);
    let plan = PlanId(format!("plan-{hash:016x}"));
    let run = run_of(Kind::Drill, &plan);
    (plan, run)
}

fn check(name: &str, verdict: Verdict, detail: impl Into<String>) -> Check {
    Check { name: name.to_owned(), verdict, detail: detail.into() }
}

fn planned(begun: &Begun) -> Check {
    let name = "a failover can be planned";
    match begun {
        Begun::Now(draft) => check(name, Verdict::Pass, format!("to {}", draft.plan.target)),
        Begun::Before => check(name, Verdict::Pass, "it was"),
        Begun::Never(why) => check(name, Verdict::Fail, why.clone()),
    }
}

fn rehearsed(report: Option<&Report>) -> Check {
    let name = "every step could be done and a canary went through";
    match report.and_then(|report| Some((report, report.outcome?))) {
        Some((report, Outcome::Succeeded)) => check(name, Verdict::Pass, format!("run {}", report.run)),
        Some((report, outcome)) => check(name, Verdict::Fail, format!("run {} ended: {outcome}", report.run)),
        None => check(name, Verdict::Fail, "there was no run"),
    }
}

fn objectives(begun: &Begun) -> Check {
    let name = "the objectives would be met";
    let Begun::Now(draft) = begun else { return check(name, Verdict::Unknown, "nobody assessed it") };
    let Some(choice) = draft.choice() else { return check(name, Verdict::Unknown, "nobody assessed it") };
    let time = choice.time_ms.map_or_else(|| "unknown".to_owned(), |time| format!("{time} ms"));
    let loss = choice.loss.map_or_else(|| "unknown".to_owned(), |loss| format!("{} s of writes", loss.seconds));
    let verdict = match (choice.rpo_met, choice.rto_met) {
        (Some(true), Some(true)) => Verdict::Pass,
        (Some(false), _) | (_, Some(false)) => Verdict::Fail,
        _ => Verdict::Unknown,
    };
    check(name, verdict, format!("time {time}, loss {loss}"))
}
