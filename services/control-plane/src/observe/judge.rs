//! The leader decides whether something has to be done about a group though nobody asked.

use super::Observatory;
use super::picture::Picture;
use crate::council::CouncilError;
use crate::execute::{acknowledgement, new_plan_id, run_of};
use crate::tenure::system_name;
use catalog::command::{AppendRunEvent, StartRun};
use catalog::view::Group;
use catalog::{CatalogError, View};
use dr_planner::audit::audit;
use dr_planner::health::{Automatic, AutomaticAction};
use dr_planner::plan::{Kind, Plan};
use dr_planner::policy;
use dr_planner::run::{Cancel, Event, Machine, State};
use dr_planner::trigger::{Decision, Situation, decide};
use model::{RunId, Timestamp};
use std::collections::BTreeMap;
use std::time::Duration;

/// Automatic runs of this long ago still count.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Why no decision could be carried out.
#[derive(Debug, thiserror::Error)]
enum Undecided {
    #[error("the catalog cannot be read: {0}")]
    Catalog(#[from] CatalogError),
    #[error("{0}")]
    Council(#[from] CouncilError),
    #[error("the plan breaks a rule: {0}")]
    Unsound(String),
}

/// Judges every new picture, for ever.
pub(super) async fn judge(observatory: &Observatory) {
    let mut pictures = observatory.watch_picture();
    let mut judge = Judge { observatory, moved: BTreeMap::new() };
    while pictures.changed().await.is_ok() {
        let Some(picture) = pictures.borrow_and_update().clone() else { continue };
        let view = observatory.council.view();
        let policies: Vec<_> = view.groups.iter().map(|group| group.policy.clone()).collect();
        for policy in policy::in_order(&policies) {
            let Some(group) = view.group(&policy.name) else { continue };
            if let Err(error) = judge.group(&picture, &view, group).await {
                tracing::warn!(group = %policy.name, %error, "no decision");
            }
        }
    }
}

struct Judge<'a> {
    observatory: &'a Observatory,
    /// Whether automatic runs that have ended moved their group.
    moved: BTreeMap<RunId, bool>,
}

/// What a decision is made from besides the picture.
struct Background {
    policy: policy::Group,
    automatic: Automatic,
    running: Option<(Machine, u64)>,
    last: Option<Plan>,
}

impl Judge<'_> {
    async fn group(&mut self, picture: &Picture, view: &View, group: &Group) -> Result<(), Undecided> {
        // Every region takes its writes: nothing of it is ever moved.
        if group.policy.active_active.is_some() || !picture.shows_harm() {
            self.note(group, None);
            return Ok(());
        }
        let now = picture.inventory.observed_at;
        let background = self.background(view, group, now).await?;
        if let Some((machine, seq)) = &background.running
            && machine.plan().kind == Kind::Drill
        {
            // A rehearsal never stands in the way of the real thing.
            return self.abandon(machine, *seq, "a region was lost during the drill".to_owned()).await;
        }
        let decision = self.decide(picture, &background, now);
        match (decision, &background.running) {
            (Decision::Leave(idle), _) => self.note(group, Some(idle.to_string())),
            (Decision::Start(plan), _) => self.start(picture, group, *plan).await?,
            (Decision::Abandon { reason }, Some((machine, seq))) => {
                self.abandon(machine, *seq, reason).await?;
            }
            (Decision::Abandon { .. }, None) => {}
        }
        Ok(())
    }

    fn decide(&self, picture: &Picture, background: &Background, now: Timestamp) -> Decision {
        let (detections, conditions) = (picture.detections(), picture.conditions());
        let situation = Situation {
            policy: &background.policy,
            detections: &detections,
            conditions: &conditions,
            automatic: &background.automatic,
            running: background.running.as_ref().map(|(machine, _)| machine),
            last: background.last.as_ref().map(|plan| (&plan.id, plan.generation)),
        };
        decide(&picture.inventory, &situation, new_plan_id(&*self.observatory.ports.entropy), now)
    }

    async fn background(&mut self, view: &View, group: &Group, now: Timestamp) -> Result<Background, Undecided> {
        let reader = self.observatory.council.reader();
        let running = match &group.run {
            Some(run) => reader.run(run).await?,
            None => None,
        };
        let machine = |run: dr_planner::run::Run| {
            let events = run.entries.len() as u64;
            Some((Machine::from_events(run.plan, &run.entries).ok()?, events))
        };
        let blocked = group.block.as_ref().is_some_and(|block| block.until.is_none_or(|until| now < until));
        let mut policy = group.policy.clone();
        policy.automatic_failover &= !blocked;
        Ok(Background {
            automatic: self.automatic(view, &policy, now).await?,
            policy,
            running: running.and_then(machine),
            last: reader.newest_plan(&group.grant.group).await?,
        })
    }

    /// What was done automatically about the group.
    async fn automatic(&mut self, view: &View, policy: &policy::Group, now: Timestamp) -> Result<Automatic, Undecided> {
        let since = Timestamp(now.0.saturating_sub(policy.block_period.max(DAY).as_millis() as i64));
        let runs = self.observatory.council.reader().automatic_runs(&policy.name, since).await?;
        let mut actions = Vec::with_capacity(runs.len());
        for run in runs {
            let moved = self.has_moved(&run.id, run.state).await?;
            actions.push(AutomaticAction { at: run.started_at, moved });
        }
        Ok(Automatic { actions, acknowledged_at: acknowledgement(view, &policy.name) })
    }

    async fn has_moved(&mut self, run: &RunId, state: State) -> Result<bool, Undecided> {
        if let Some(moved) = self.moved.get(run) {
            return Ok(*moved);
        }
        let stored = self.observatory.council.reader().run(run).await?;
        let machine = stored.and_then(|run| Machine::from_events(run.plan, &run.entries).ok());
        // A run that cannot be read may have done anything.
        let moved = machine.is_none_or(|machine| machine.may_have_pivoted());
        if state.is_terminal() {
            self.moved.insert(run.clone(), moved);
        }
        Ok(moved)
    }

    async fn start(&self, picture: &Picture, group: &Group, plan: Plan) -> Result<(), Undecided> {
        let findings = audit(&plan, &picture.inventory, &group.policy);
        if !findings.is_empty() {
            let findings: Vec<_> = findings.iter().map(ToString::to_string).collect();
            return Err(Undecided::Unsound(findings.join("; ")));
        }
        let (run, target, reason) = (run_of(plan.kind, &plan.id), plan.target.clone(), plan.reason.clone());
        let start = StartRun { run: run.clone(), plan_digest: plan.digest(), plan };
        let council = &self.observatory.council;
        council.propose(&system_name(council), start).await?;
        tracing::warn!(group = %group.grant.group, %run, %target, reason, "an automatic failover begins");
        Ok(())
    }

    async fn abandon(&self, machine: &Machine, seq: u64, reason: String) -> Result<(), Undecided> {
        let (council, run) = (&self.observatory.council, machine.run().clone());
        let event = Event::CancelRequested { reason, how: Cancel::Abandon };
        if machine.check(&event).is_ok() {
            tracing::warn!(%run, "a run is given up");
            council.propose(&system_name(council), AppendRunEvent { run, seq, event }).await?;
        }
        Ok(())
    }

    /// Keeps for people why nothing is done; says so once.
    fn note(&self, group: &Group, why: Option<String>) {
        let mut idle = self.observatory.idle.lock().expect("no holder of this lock panics");
        let known = match &why {
            Some(why) => idle.insert(group.grant.group.clone(), why.clone()),
            None => idle.remove(&group.grant.group),
        };
        if let Some(why) = why.filter(|why| known.as_ref() != Some(why)) {
            tracing::info!(group = %group.grant.group, why, "nothing is done automatically");
        }
    }
}
