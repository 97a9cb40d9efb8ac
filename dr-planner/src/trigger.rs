//! Whether something is to be done about a protection group though nobody asked.

use crate::assess::Refusal;
use crate::health::{Automatic, Blocked, Condition, Detection};
use crate::inventory::Inventory;
use crate::plan::{Kind, Plan, PlanId, Refused, Request, Trigger, build};
use crate::policy::Group;
use crate::run::{Machine, Output};
use model::{GrantState, RegionName, Timestamp};
use serde::{Deserialize, Serialize};

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Nothing, and why.
    Leave(Idle),
    /// Run this plan.
    Start(Box<Plan>),
    /// Give up the run that is on its way, without undoing: the region it needs is lost, and a failover to another one
    /// can be planned as soon as it has ended.
    Abandon {
        /// Why, for the run's record.
        reason: String,
    },
}

/// Why nothing is done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "idle")]
pub enum Idle {
    /// The owner is there.
    #[error("{owner} serves it")]
    Served {
        /// The owner.
        owner: RegionName,
    },
    /// It is not clear enough that the owner is lost.
    #[error("{owner} may be lost: {detection}")]
    Unclear {
        /// The owner.
        owner: RegionName,
        /// What is known.
        detection: Detection,
    },
    /// Observers do not hear the owner, but its records still arrive.
    #[error("{owner} cannot be reached but still serves")]
    UnreachableButServing {
        /// The owner.
        owner: RegionName,
    },
    /// The policy leaves it to people.
    #[error("{owner} is lost; automatic failover is off, start one by hand")]
    NotAutomatic {
        /// The owner.
        owner: RegionName,
    },
    /// It was done too often or too recently.
    #[error("{owner} is lost, but {blocked}")]
    Blocked {
        /// The owner.
        owner: RegionName,
        /// By what.
        blocked: Blocked,
    },
    /// A run is on its way and needs nobody.
    #[error("a run is on its way")]
    Running,
    /// It cannot be done.
    #[error("{owner} is lost, but there is {refused}")]
    Refused {
        /// The owner.
        owner: RegionName,
        /// Why.
        refused: Refused,
    },
}

/// What a decision is made from besides the inventory.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The group.
    pub policy: &'a Group,
    /// What is known of every region, see [`crate::health::detect`].
    pub detections: &'a [(RegionName, Detection)],
    /// How every region does, as far as it is scored.
    pub conditions: &'a [(RegionName, Condition)],
    /// What was done automatically before.
    pub automatic: &'a Automatic,
    /// The group's run that has not ended.
    pub running: Option<&'a Machine>,
    /// The plan the group was last moved, or tried to be moved, by.
    pub last: Option<(&'a PlanId, u64)>,
}

impl Situation<'_> {
    fn detection(&self, region: &RegionName) -> Detection {
        let of = self.detections.iter().find(|(name, _)| name == region);
        of.map_or(Detection::Unknown, |(_, detection)| detection.clone())
    }

    fn has_failed(&self, region: &RegionName) -> bool {
        self.conditions.iter().any(|(name, condition)| name == region && *condition == Condition::Failed)
    }

    /// Since when the region is lost, if it is.
    fn lost_since(&self, region: &RegionName, now: Timestamp) -> Option<Timestamp> {
        match self.detection(region) {
            Detection::Lost { last_sign } => Some(last_sign),
            _ if self.has_failed(region) => Some(now),
            _ => None,
        }
    }
}

/// What is to be done about the group at `now`. A plan that is made is called `id`.
pub fn decide(inventory: &Inventory, situation: &Situation<'_>, id: PlanId, now: Timestamp) -> Decision {
    match situation.running {
        Some(machine) => supervise(inventory, situation, machine, id, now),
        None => watch(inventory, situation, id, now),
    }
}

fn watch(inventory: &Inventory, situation: &Situation<'_>, id: PlanId, now: Timestamp) -> Decision {
    let policy = situation.policy;
    let Some(grant) = inventory.grant(&policy.name) else {
        let refusals = vec![Refusal::UnknownGroup { group: policy.name.clone() }];
        let refused = Refused { kind: Kind::Failover, group: policy.name.clone(), refusals };
        return Decision::Leave(Idle::Refused { owner: policy.home.clone(), refused });
    };
    let owner = grant.owner.clone();
    // A grant that a run left revoked is renewed for nobody: its owner is as good as lost.
    let revoked = (grant.state == GrantState::Revoked).then_some(now);
    let Some(lost_since) = situation.lost_since(&owner, now).or(revoked) else {
        return Decision::Leave(unharmed(owner.clone(), situation.detection(&owner)));
    };
    if !policy.automatic_failover {
        return Decision::Leave(Idle::NotAutomatic { owner });
    }
    if let Err(blocked) = situation.automatic.permit(policy, now) {
        return Decision::Leave(Idle::Blocked { owner, blocked });
    }
    match build(inventory, policy, request(situation, &owner, lost_since, id), now) {
        Ok(plan) => Decision::Start(Box::new(plan)),
        Err(refused) => Decision::Leave(Idle::Refused { owner, refused }),
    }
}

fn unharmed(owner: RegionName, detection: Detection) -> Idle {
    match detection {
        Detection::Serving => Idle::Served { owner },
        Detection::UnreachableButServing { .. } => Idle::UnreachableButServing { owner },
        detection => Idle::Unclear { owner, detection },
    }
}

fn request(situation: &Situation<'_>, owner: &RegionName, lost_since: Timestamp, id: PlanId) -> Request {
    Request {
        id,
        parent: situation.last.map(|(plan, _)| plan.clone()),
        generation: situation.last.map_or(1, |(_, generation)| generation + 1),
        kind: Kind::Failover,
        target: None,
        trigger: Trigger::RegionLost { region: owner.clone() },
        reason: format!("{owner} was last heard of at {lost_since}"),
        incident_at: Some(lost_since),
        accept_unusable: false,
    }
}

fn supervise(
    inventory: &Inventory,
    situation: &Situation<'_>,
    machine: &Machine,
    id: PlanId,
    now: Timestamp,
) -> Decision {
    let Some(needed) = lost_need(situation, machine, now) else { return Decision::Leave(Idle::Running) };
    // Giving up a run is worth it only if another one can take its place.
    let free = Inventory { busy: vec![], ..inventory.clone() };
    let alone = Situation { running: None, ..*situation };
    match substitute(&free, &alone, id, now) {
        true => Decision::Abandon { reason: format!("{needed} was lost while the run needed it") },
        false => Decision::Leave(Idle::Running),
    }
}

/// Whether a failover away from whoever owns the group now could be started, but for the run that is on its way.
fn substitute(inventory: &Inventory, situation: &Situation<'_>, id: PlanId, now: Timestamp) -> bool {
    let policy = situation.policy;
    let Some(grant) = inventory.grant(&policy.name) else { return false };
    let permitted = policy.automatic_failover && situation.automatic.permit(policy, now).is_ok();
    permitted && build(inventory, policy, request(situation, &grant.owner, now, id), now).is_ok()
}

/// A lost region that the run cannot end well without.
fn lost_need(situation: &Situation<'_>, machine: &Machine, now: Timestamp) -> Option<RegionName> {
    let plan = machine.plan();
    let is_lost = |region: &RegionName| situation.lost_since(region, now).is_some();
    let needs_source = !plan.kind.is_unplanned() && !machine.may_have_pivoted() && !has_caught_up(machine);
    let source = (needs_source && is_lost(&plan.source)).then(|| plan.source.clone());
    // While nobody knows whether the pivot happened, the run is left to find out.
    let settled = machine.is_past_pivot() || !machine.may_have_pivoted();
    source.or_else(|| (settled && is_lost(&plan.target)).then(|| plan.target.clone()))
}

fn has_caught_up(machine: &Machine) -> bool {
    let outputs = machine.plan().steps.iter().filter_map(|step| machine.output(&step.id));
    outputs.into_iter().any(|output| matches!(output, Output::CaughtUp { .. }))
}
