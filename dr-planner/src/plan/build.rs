//! How a plan is made: deterministic, complete, and changing nothing.

use super::step::{Action, InDrill, Retry, Step, step_ids as ids};
use super::{Kind, Plan, PlanId, Trigger};
use crate::assess::{CATCH_UP_MAX, Refusal, lease_wait, refusals};
use crate::inventory::{CopyEnd, Inventory};
use crate::policy::Group;
use model::{Grant, OwnershipEpoch, PartitionId, ProtectionGroup, RegionName, StepId, Timestamp, TopicId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// What somebody, or something, asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The plan's name.
    pub id: PlanId,
    /// The plan it replaces, if any.
    pub parent: Option<PlanId>,
    /// One more than the last plan of the group had.
    pub generation: u64,
    /// What kind of move.
    pub kind: Kind,
    /// Where to; `None` is the first standby that can take over. A failback goes home and needs none.
    pub target: Option<RegionName>,
    /// Who or what asks.
    pub trigger: Trigger,
    /// Why, for people.
    pub reason: String,
    /// The last good sign of the source, if it is silent.
    pub incident_at: Option<Timestamp>,
    /// Whether a failover may go to copies that are no standby: deleted keys may be back there, or records differ. For who
    /// has lost the source for good and has nothing better. What else is in the way still is.
    #[serde(default)]
    pub accept_unusable: bool,
}

/// Nothing can be planned, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("no {kind} of {group}: {}", list(refusals))]
pub struct Refused {
    /// What was asked for.
    pub kind: Kind,
    /// The group.
    pub group: ProtectionGroup,
    /// Every reason, for every target that was looked at.
    pub refusals: Vec<Refusal>,
}

fn list(refusals: &[Refusal]) -> String {
    refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Makes the plan that `request` asks for.
///
/// # Errors
/// [`Refused`] with every reason, when no target can take over.
pub fn build(inventory: &Inventory, policy: &Group, request: Request, now: Timestamp) -> Result<Plan, Refused> {
    let refused = |refusals| Refused { kind: request.kind, group: policy.name.clone(), refusals };
    let unknown = || refused(vec![Refusal::UnknownGroup { group: policy.name.clone() }]);
    let grant = inventory.grant(&policy.name).ok_or_else(unknown)?;
    let target = choose(inventory, policy, grant, &request).map_err(refused)?;
    let route = Route { inventory, grant, target: &target, kind: request.kind };
    Ok(Plan {
        inputs_digest: digest(&(inventory, policy, &request, now)),
        steps: route.steps(),
        id: request.id,
        parent: request.parent,
        generation: request.generation,
        kind: request.kind,
        group: policy.name.clone(),
        source: grant.owner.clone(),
        ownership_epoch: grant.ownership_epoch,
        partitions: inventory.partitions(&policy.name),
        holes: grant.openings.clone(),
        created_at: now,
        incident_at: request.incident_at.unwrap_or(now),
        trigger: request.trigger,
        reason: request.reason,
        target,
    })
}

/// The first candidate nothing speaks against.
fn choose(inventory: &Inventory, policy: &Group, grant: &Grant, request: &Request) -> Result<RegionName, Vec<Refusal>> {
    let mut against = vec![];
    for candidate in candidates(inventory, policy, grant, request) {
        let mut found = refusals(inventory, policy, grant, request.kind, &candidate);
        if request.accept_unusable && request.kind == Kind::Failover {
            found.retain(|refusal| !matches!(refusal, Refusal::CopyUnusable { .. }));
        }
        if found.is_empty() {
            return Ok(candidate);
        }
        against.extend(found.into_iter().filter(|refusal| !against.contains(refusal)).collect::<Vec<_>>());
    }
    let none = || vec![Refusal::NoStandby { group: policy.name.clone() }];
    Err(if against.is_empty() { none() } else { against })
}

fn candidates(inventory: &Inventory, policy: &Group, grant: &Grant, request: &Request) -> Vec<RegionName> {
    match (&request.target, request.kind) {
        (_, Kind::Failback) => vec![policy.home.clone()],
        (Some(target), _) => vec![target.clone()],
        (None, _) => {
            let mut standbys = policy.standbys_of(&grant.owner);
            // A copy that is proven to lack nothing goes before the order people gave.
            standbys.sort_by_key(|region| !(request.kind.is_unplanned() && inventory.is_proven(grant, region)));
            standbys
        }
    }
}

/// SHA-256 of the JSON of `what`, in hexadecimal.
pub(super) fn digest(what: &impl Serialize) -> String {
    let json = serde_json::to_vec(what).expect("plain data has a JSON");
    Sha256::digest(json).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes everything");
        hex
    })
}

/// What the steps are made from.
struct Route<'a> {
    inventory: &'a Inventory,
    grant: &'a Grant,
    target: &'a RegionName,
    kind: Kind,
}

impl Route<'_> {
    fn steps(&self) -> Vec<Step> {
        let before = if self.kind.is_unplanned() { self.fence_and_seal() } else { self.stop_and_catch_up() };
        before.into_iter().chain(self.cut_over()).collect()
    }

    fn fence_and_seal(&self) -> Vec<Step> {
        let region = || self.target.clone();
        let others = self.others();
        let fence = [
            step(ids::revoke(), Action::Revoke, &[]).undo(Action::Regrant),
            step(ids::wait_out_lease(), Action::WaitOutLease { wait: lease_wait() }, &[ids::revoke()])
                .timeout(lease_wait() + QUICK),
        ];
        let collected = if others.is_empty() { ids::wait_out_lease() } else { ids::collect() };
        let collect = Action::Collect { region: region(), from: others.clone() };
        let collect = step(ids::collect(), collect, &[ids::wait_out_lease()]).optional();
        let seal = step(ids::seal(), Action::Seal { region: region() }, &[collected]);
        let seal = seal.undo(Action::Unseal { region: region() });
        fence.into_iter().chain((!others.is_empty()).then_some(collect)).chain([seal]).collect()
    }

    fn stop_and_catch_up(&self) -> Vec<Step> {
        let owner = || self.grant.owner.clone();
        let catch_up = Action::CatchUp { region: self.target.clone() };
        vec![
            step(ids::stop_writes(), Action::StopWrites { region: owner() }, &[])
                .undo(Action::ResumeWrites { region: owner() }),
            step(ids::catch_up(), catch_up, &[ids::stop_writes()]).timeout(CATCH_UP_MAX),
        ]
    }

    fn cut_over(&self) -> Vec<Step> {
        let region = || self.target.clone();
        let ready = if self.kind.is_unplanned() { ids::seal() } else { ids::catch_up() };
        let pivot = Action::Pivot { owner: region(), ownership_epoch: self.epoch() };
        let open = Action::Open { region: region(), unplanned: self.kind.is_unplanned() };
        let verified = if self.kind == Kind::Drill { self.grant.owner.clone() } else { region() };
        vec![
            step(ids::pivot(), pivot, &[ready]).pivot(),
            step(ids::open(), open, &[ids::pivot()]).timeout(QUICK * 3),
            step(ids::redirect(), Action::Redirect { owner: region() }, &[ids::open()]),
            step(ids::verify(), Action::Verify { region: verified }, &[ids::redirect()]).in_drill(InDrill::Run),
        ]
    }

    fn epoch(&self) -> OwnershipEpoch {
        self.grant.ownership_epoch.next()
    }

    /// The other standbys that answer, the one that holds most first.
    fn others(&self) -> Vec<RegionName> {
        let standbys = self.grant.standbys.iter().chain([&self.grant.home]);
        let others = standbys.filter(|region| **region != self.grant.owner && *region != self.target);
        let partitions = self.inventory.partitions(&self.grant.group);
        let mut copies: Vec<(&RegionName, &[CopyEnd])> = vec![];
        for region in others {
            if let (Some(facts), false) =
                (self.inventory.region(region), copies.iter().any(|(name, _)| *name == region))
            {
                copies.push((region, &facts.copies));
            }
        }
        let led = led(&copies, &partitions);
        copies.sort_by_key(|(region, _)| Reverse(led.get(region).copied().unwrap_or(0)));
        copies.into_iter().map(|(region, _)| region.clone()).collect()
    }
}

/// How many partitions each region's copy leads.
fn led<'a>(
    copies: &[(&'a RegionName, &[CopyEnd])],
    partitions: &[(TopicId, PartitionId)],
) -> BTreeMap<&'a RegionName, usize> {
    let mut led = BTreeMap::new();
    for partition in partitions {
        if let Some(region) = leading(copies, *partition) {
            *led.entry(region).or_insert(0) += 1;
        }
    }
    led
}

/// The region whose copy of the partition has the greatest (last leader epoch, tail); of equal ones the first. `None`
/// where nobody has one.
pub fn leading<'a>(
    copies: &[(&'a RegionName, &[CopyEnd])],
    (topic, partition): (TopicId, PartitionId),
) -> Option<&'a RegionName> {
    let mut best: Option<(&RegionName, &CopyEnd)> = None;
    for (region, ends) in copies {
        let Some(end) = ends.iter().find(|end| end.topic == topic && end.partition == partition) else { continue };
        if best.is_none_or(|(_, leader)| (end.last_epoch, end.tail) > (leader.last_epoch, leader.tail)) {
            best = Some((region, end));
        }
    }
    best.map(|(region, _)| region)
}

/// What an order or a council entry may take before it counts as unanswered.
const QUICK: Duration = Duration::from_secs(3);
const RETRY: Retry = Retry { times: 10, pause: Duration::from_millis(100), pause_max: Duration::from_millis(1000) };

fn step(id: StepId, action: Action, after: &[StepId]) -> Step {
    Step {
        id,
        action,
        after: after.to_vec(),
        critical: true,
        timeout: QUICK,
        retry: RETRY,
        undo: None,
        pivot: false,
        in_drill: InDrill::Simulate,
    }
}

impl Step {
    fn undo(self, undo: Action) -> Self {
        Self { undo: Some(undo), ..self }
    }

    fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    fn pivot(self) -> Self {
        Self { pivot: true, ..self }
    }

    fn in_drill(self, in_drill: InDrill) -> Self {
        Self { in_drill, ..self }
    }

    /// Skipped when it fails: what it would have added is part of the declared loss.
    fn optional(self) -> Self {
        Self { critical: false, retry: Retry { times: 1, ..RETRY }, ..self }
    }
}
