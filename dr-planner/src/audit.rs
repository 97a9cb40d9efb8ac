//! Rules a plan must keep, checked by code that did not make it. A plan that breaks one is not run.

use crate::assess::lease_wait;
use crate::inventory::Inventory;
use crate::plan::{Action, InDrill, Kind, Plan, Step};
use crate::policy::Group;
use model::{GrantState, StepId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// A rule of plans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Step names are unique, what they come after exists, and nothing comes after itself.
    Acyclic,
    /// There is one step of no return, it is the pivot, and every other step comes before or after it.
    OnePivot,
    /// The old owner cannot acknowledge a write before the new one opens.
    FencedBeforeOpen,
    /// The target's copy is complete or closed before the pivot.
    CopySettled,
    /// What has an effect before the pivot can be undone.
    UndoableBeforePivot,
    /// Nothing behind the pivot can be undone.
    ForwardAfterPivot,
    /// The target is opened, then gateways go there, then a canary goes through.
    ServedInOrder,
    /// Every step is about the region it must be about.
    RightRegions,
    /// It starts from the grant that stands, and ends with the next one.
    EpochMatches,
    /// The target keeps a copy and is not the owner.
    TargetIsStandby,
    /// Only collecting may fail without the run failing.
    CriticalSteps,
    /// What the group depends on is served.
    DependenciesFirst,
    /// A drill changes nothing that matters.
    DrillIsHarmless,
}

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// How it is broken.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.detail)
    }
}

/// Every rule that `plan` breaks, given what is known now. None: it may be run.
pub fn audit(plan: &Plan, inventory: &Inventory, policy: &Group) -> Vec<Finding> {
    let mut findings = audit_shape(plan);
    findings.extend(epoch(plan, inventory));
    findings.extend(target(plan, policy));
    findings.extend(dependencies(plan, inventory, policy));
    findings
}

/// Every rule that can be checked from the plan alone.
pub fn audit_shape(plan: &Plan) -> Vec<Finding> {
    // The other rules follow `after`; on a graph that is none they would mean nothing.
    let broken = acyclic(plan);
    if !broken.is_empty() {
        return broken;
    }
    let order = Order { plan };
    [one_pivot, fenced, settled, undoable, forward, served, regions, critical, harmless]
        .into_iter()
        .flat_map(|rule| rule(&order))
        .collect()
}

fn finding(rule: Rule, detail: impl Into<String>) -> Finding {
    Finding { rule, detail: detail.into() }
}

fn unless(kept: bool, rule: Rule, detail: impl FnOnce() -> String) -> Vec<Finding> {
    if kept { vec![] } else { vec![finding(rule, detail())] }
}

fn acyclic(plan: &Plan) -> Vec<Finding> {
    let mut names = BTreeSet::new();
    for step in &plan.steps {
        if !names.insert(&step.id) {
            return vec![finding(Rule::Acyclic, format!("there are two steps named {}", step.id))];
        }
    }
    let mut done: BTreeSet<&StepId> = BTreeSet::new();
    loop {
        let ready = |step: &&Step| !done.contains(&step.id) && step.after.iter().all(|id| done.contains(id));
        let Some(step) = plan.steps.iter().find(ready) else { break };
        done.insert(&step.id);
    }
    let left = plan.steps.iter().find(|step| !done.contains(&step.id));
    left.map(|step| finding(Rule::Acyclic, format!("step {} can never start", step.id))).into_iter().collect()
}

/// The steps of a plan and what comes before what.
struct Order<'a> {
    plan: &'a Plan,
}

impl Order<'_> {
    fn find(&self, wanted: impl Fn(&Action) -> bool) -> Option<&Step> {
        self.plan.steps.iter().find(|step| wanted(&step.action))
    }

    /// Whether `first` must be done before `then` can start.
    fn is_before(&self, first: &StepId, then: &StepId) -> bool {
        let after = self.plan.step(then).map_or(&[][..], |step| &step.after);
        after.iter().any(|id| id == first || self.is_before(first, id))
    }

    /// Whether there are steps of these kinds, each before the next.
    fn has_in_order(&self, wanted: &[fn(&Action) -> bool]) -> bool {
        let steps: Option<Vec<_>> = wanted.iter().map(|wanted| self.find(wanted)).collect();
        steps.is_some_and(|steps| steps.windows(2).all(|pair| self.is_before(&pair[0].id, &pair[1].id)))
    }

    fn pivot(&self) -> Option<&Step> {
        self.find(is_pivot)
    }

    fn is_behind_pivot(&self, step: &Step) -> bool {
        self.pivot().is_some_and(|pivot| self.is_before(&pivot.id, &step.id))
    }
}

fn is_pivot(action: &Action) -> bool {
    matches!(action, Action::Pivot { .. })
}

fn is_open(action: &Action) -> bool {
    matches!(action, Action::Open { .. })
}

fn is_revoke(action: &Action) -> bool {
    matches!(action, Action::Revoke)
}

fn is_wait(action: &Action) -> bool {
    matches!(action, Action::WaitOutLease { wait } if *wait >= lease_wait())
}

fn is_seal(action: &Action) -> bool {
    matches!(action, Action::Seal { .. })
}

fn is_stop(action: &Action) -> bool {
    matches!(action, Action::StopWrites { .. })
}

fn is_catch_up(action: &Action) -> bool {
    matches!(action, Action::CatchUp { .. })
}

fn one_pivot(order: &Order<'_>) -> Vec<Finding> {
    let steps = &order.plan.steps;
    let marked: Vec<_> = steps.iter().filter(|step| step.pivot).collect();
    let acting = steps.iter().filter(|step| is_pivot(&step.action)).count();
    let [pivot] = marked[..] else {
        return vec![finding(Rule::OnePivot, format!("{} steps are marked as the pivot, not one", marked.len()))];
    };
    if acting != 1 || !is_pivot(&pivot.action) {
        return vec![finding(Rule::OnePivot, format!("{acting} steps pivot; step {} is marked", pivot.id))];
    }
    let beside = |step: &&Step| {
        step.id != pivot.id && !order.is_before(&step.id, &pivot.id) && !order.is_before(&pivot.id, &step.id)
    };
    let beside = steps.iter().find(beside);
    beside
        .map(|step| finding(Rule::OnePivot, format!("step {} is neither before nor behind it", step.id)))
        .into_iter()
        .collect()
}

fn fenced(order: &Order<'_>) -> Vec<Finding> {
    let kept = if order.plan.kind.is_unplanned() {
        order.has_in_order(&[is_revoke, is_wait, is_pivot, is_open])
    } else {
        order.has_in_order(&[is_stop, is_pivot, is_open])
    };
    unless(kept, Rule::FencedBeforeOpen, || {
        let fence =
            if order.plan.kind.is_unplanned() { "the lease is revoked and has run out" } else { "writes are stopped" };
        format!("{} could open before {fence}", order.plan.target)
    })
}

fn settled(order: &Order<'_>) -> Vec<Finding> {
    let kept = if order.plan.kind.is_unplanned() {
        order.has_in_order(&[is_wait, is_seal, is_pivot])
    } else {
        order.has_in_order(&[is_stop, is_catch_up, is_pivot])
    };
    unless(kept, Rule::CopySettled, || {
        let settled = if order.plan.kind.is_unplanned() { "sealed" } else { "complete" };
        format!("{} could become the owner before its copy is {settled}", order.plan.target)
    })
}

fn undoable(order: &Order<'_>) -> Vec<Finding> {
    let wrong = |step: &&Step| {
        let undo = match &step.action {
            Action::Revoke => Some(Action::Regrant),
            Action::Seal { region } => Some(Action::Unseal { region: region.clone() }),
            Action::StopWrites { region } => Some(Action::ResumeWrites { region: region.clone() }),
            _ => None,
        };
        !order.is_behind_pivot(step) && !step.pivot && step.undo != undo
    };
    let wrong = order.plan.steps.iter().filter(wrong);
    wrong
        .map(|step| finding(Rule::UndoableBeforePivot, format!("step {} is undone by {:?}", step.id, step.undo)))
        .collect()
}

fn forward(order: &Order<'_>) -> Vec<Finding> {
    let steps = order.plan.steps.iter();
    let wrong = steps.filter(|step| (step.pivot || order.is_behind_pivot(step)) && step.undo.is_some());
    wrong.map(|step| finding(Rule::ForwardAfterPivot, format!("step {} has an undo", step.id))).collect()
}

fn served(order: &Order<'_>) -> Vec<Finding> {
    let redirect: fn(&Action) -> bool = |action| matches!(action, Action::Redirect { .. });
    let verify: fn(&Action) -> bool = |action| matches!(action, Action::Verify { .. });
    let kept = order.has_in_order(&[is_pivot, is_open, redirect, verify]);
    unless(kept, Rule::ServedInOrder, || "open, redirect and verify do not follow the pivot in this order".to_owned())
}

fn regions(order: &Order<'_>) -> Vec<Finding> {
    let plan = order.plan;
    let (source, target) = (&plan.source, &plan.target);
    let right = |action: &Action| match action {
        Action::Revoke | Action::Regrant | Action::WaitOutLease { .. } => true,
        Action::Collect { region, from } => region == target && !from.contains(source) && !from.contains(target),
        Action::Seal { region } | Action::Unseal { region } | Action::CatchUp { region } => region == target,
        Action::StopWrites { region } | Action::ResumeWrites { region } => region == source,
        Action::Pivot { owner, .. } | Action::Redirect { owner } => owner == target,
        Action::Open { region, unplanned } => region == target && *unplanned == plan.kind.is_unplanned(),
        Action::Verify { region } => region == if plan.kind == Kind::Drill { source } else { target },
    };
    let wrong = plan.steps.iter().filter(|step| !right(&step.action) || !step.undo.iter().all(right));
    wrong.map(|step| finding(Rule::RightRegions, format!("step {} does {:?}", step.id, step.action))).collect()
}

fn critical(order: &Order<'_>) -> Vec<Finding> {
    let may_fail = |action: &Action| matches!(action, Action::Collect { .. });
    let wrong = order.plan.steps.iter().filter(|step| !step.critical && !may_fail(&step.action));
    wrong.map(|step| finding(Rule::CriticalSteps, format!("step {} may fail unnoticed", step.id))).collect()
}

fn harmless(order: &Order<'_>) -> Vec<Finding> {
    let harmless = |step: &Step| step.in_drill != InDrill::Run || matches!(step.action, Action::Verify { .. });
    let wrong = order.plan.steps.iter().filter(|step| !harmless(step));
    wrong.map(|step| finding(Rule::DrillIsHarmless, format!("a drill would carry out step {}", step.id))).collect()
}

fn epoch(plan: &Plan, inventory: &Inventory) -> Vec<Finding> {
    let Some(grant) = inventory.grant(&plan.group) else {
        return vec![finding(Rule::EpochMatches, format!("there is no group {}", plan.group))];
    };
    let stands = grant.owner == plan.source && grant.ownership_epoch == plan.ownership_epoch;
    let held = plan.kind.is_unplanned() || grant.state == GrantState::Held;
    let next = plan.steps.iter().all(|step| match &step.action {
        Action::Pivot { ownership_epoch, .. } => *ownership_epoch == plan.new_epoch(),
        _ => true,
    });
    unless(stands && held && next, Rule::EpochMatches, || {
        format!(
            "it moves epoch {} of {} on by one; the grant that stands is epoch {} of {} ({:?})",
            plan.ownership_epoch, plan.source, grant.ownership_epoch, grant.owner, grant.state
        )
    })
}

fn target(plan: &Plan, policy: &Group) -> Vec<Finding> {
    let standby = policy.standbys_of(&plan.source).contains(&plan.target) && policy.name == plan.group;
    let home = plan.kind != Kind::Failback || plan.target == policy.home;
    unless(standby && home, Rule::TargetIsStandby, || {
        format!("{} is not where a {} of {} from {} may go", plan.target, plan.kind, plan.group, plan.source)
    })
}

fn dependencies(plan: &Plan, inventory: &Inventory, policy: &Group) -> Vec<Finding> {
    let unserved = policy.depends_on.iter().filter(|group| plan.kind.is_unplanned() && !inventory.is_served(group));
    unserved.map(|group| finding(Rule::DependenciesFirst, format!("{group} is not served"))).collect()
}
