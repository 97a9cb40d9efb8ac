//! What a run cost: how long it took and what was lost, measured. Provisional until the old log is back.

mod conservation;
mod loss;

pub use conservation::{Conservation, PartitionFacts, Violation, conserve};
pub use loss::{Archived, Loss, PartitionLoss, ReturnedTail};

use crate::inventory::Inventory;
use crate::plan::{Action, Kind, Plan, PlanId, step_ids};
use crate::policy::Group;
use crate::run::{Entry, Event, Outcome, Output};
use model::{OwnershipEpoch, ProtectionGroup, RegionName, RunId, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The report of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The run.
    pub run: RunId,
    /// Its plan.
    pub plan: PlanId,
    /// What kind of move it was.
    pub kind: Kind,
    /// The group.
    pub group: ProtectionGroup,
    /// The owner before.
    pub source: RegionName,
    /// The owner after.
    pub target: RegionName,
    /// The grant before.
    pub from_epoch: OwnershipEpoch,
    /// The grant after, once there is one.
    pub to_epoch: Option<OwnershipEpoch>,
    /// How the run ended, once it has.
    pub outcome: Option<Outcome>,
    /// The five instants.
    pub times: Times,
    /// From the incident to the first canary produced and consumed at the new owner.
    pub rto_ms: Option<u64>,
    /// Whether that is within the objective.
    pub rto_met: Option<bool>,
    /// What was lost, over all partitions: sums of records and bytes, the worst seconds.
    pub rpo: Loss,
    /// Whether the seconds lost are within the objective, once the report is final.
    pub rpo_met: Option<bool>,
    /// What was lost, partition by partition: those that lost something, and those whose old log is still waited for.
    pub partitions: Vec<PartitionLoss>,
    /// Whether more may come to light.
    pub standing: Standing,
}

/// The five instants of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// t0: the last good sign of the source; in a planned switch, when writes were first asked to stop.
    pub incident: Option<Timestamp>,
    /// t1: the run was created.
    pub decision: Option<Timestamp>,
    /// t2: the target became the owner.
    pub pivot: Option<Timestamp>,
    /// t3: the first canary was produced and consumed at the new owner.
    pub canary: Option<Timestamp>,
    /// t4: the group's objective is met again: another standby follows the new owner closely enough.
    pub recovered: Option<Timestamp>,
}

/// Whether more may come to light.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "standing")]
pub enum Standing {
    /// The old log has not come back for every partition, or the run has not come so far that there is a loss.
    Provisional {
        /// How many partitions are still waited for.
        waiting_for: usize,
        /// The region they are waited for from.
        region: RegionName,
    },
    /// Nothing more can come.
    Final,
}

/// What a report is made from.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The run.
    pub run: &'a RunId,
    /// Its plan.
    pub plan: &'a Plan,
    /// What happened in it, in order.
    pub entries: &'a [Entry],
    /// The group's objectives.
    pub policy: &'a Group,
    /// What the old logs said when they came back.
    pub returned: &'a [ReturnedTail],
    /// When the group's objective was first met again, see [`is_recovered`].
    pub recovered_at: Option<Timestamp>,
}

/// The report of the run that `evidence` tells of.
pub fn report(evidence: &Evidence<'_>) -> Report {
    let (plan, times) = (evidence.plan, times(evidence));
    let pivoted = output(evidence, |output| matches!(output, Output::Pivoted { .. })).is_some();
    let outcome = evidence.entries.iter().find_map(|entry| match &entry.event {
        Event::Finished { outcome } => Some(*outcome),
        _ => None,
    });
    let losses = if plan.kind == Kind::Failover { losses(evidence) } else { vec![] };
    let standing = standing(plan, pivoted, outcome, &losses);
    let rpo = loss::total(&losses);
    let rto = times.incident.zip(times.canary).map(|(incident, canary)| canary.since(incident));
    Report {
        run: evidence.run.clone(),
        plan: plan.id.clone(),
        kind: plan.kind,
        group: plan.group.clone(),
        source: plan.source.clone(),
        target: plan.target.clone(),
        from_epoch: plan.ownership_epoch,
        to_epoch: (pivoted && plan.kind != Kind::Drill).then(|| plan.new_epoch()),
        outcome,
        times,
        rto_ms: rto.map(|rto| rto.as_millis() as u64),
        rto_met: rto.map(|rto| rto <= evidence.policy.rto),
        rpo_met: (standing == Standing::Final).then_some(rpo.seconds <= evidence.policy.rpo.as_secs_f64()),
        rpo,
        partitions: losses.into_iter().filter(PartitionLoss::is_worth_telling).collect(),
        standing,
    }
}

fn times(evidence: &Evidence<'_>) -> Times {
    let first = |wanted: &dyn Fn(&Event) -> bool| {
        evidence.entries.iter().find(|entry| wanted(&entry.event)).map(|entry| entry.at)
    };
    let stopped = first(&|event| matches!(event, Event::StepStarted { step, .. } if *step == step_ids::stop_writes()));
    let canary = output(evidence, |output| matches!(output, Output::Canary { .. }));
    let unplanned = evidence.plan.kind.is_unplanned();
    Times {
        incident: if unplanned { Some(evidence.plan.incident_at) } else { stopped },
        decision: first(&|event| matches!(event, Event::Created { .. })),
        pivot: first(&|event| matches!(event, Event::StepSucceeded { output: Output::Pivoted { .. }, .. })),
        canary: canary.and_then(|output| match output {
            Output::Canary { produced_at, consumed_at } => Some((*consumed_at).max(*produced_at)),
            _ => None,
        }),
        recovered: evidence.recovered_at,
    }
}

fn output<'a>(evidence: &Evidence<'a>, wanted: impl Fn(&Output) -> bool) -> Option<&'a Output> {
    evidence.entries.iter().find_map(|entry| match &entry.event {
        Event::StepSucceeded { output, .. } if wanted(output) => Some(output),
        _ => None,
    })
}

fn losses(evidence: &Evidence<'_>) -> Vec<PartitionLoss> {
    let Some(Output::Pivoted { openings, .. }) = output(evidence, |output| matches!(output, Output::Pivoted { .. }))
    else {
        return vec![];
    };
    let sealed = match output(evidence, |output| matches!(output, Output::Sealed { .. })) {
        Some(Output::Sealed { partitions }) => &partitions[..],
        _ => &[],
    };
    openings.iter().map(|opening| PartitionLoss::of(opening, sealed, evidence.plan, evidence.returned)).collect()
}

fn standing(plan: &Plan, pivoted: bool, outcome: Option<Outcome>, losses: &[PartitionLoss]) -> Standing {
    let waiting_for = losses.iter().filter(|loss| !loss.tail_known).count();
    // A run that ended without the pivot has moved nothing, so nothing was lost by it.
    let settled = if pivoted { waiting_for == 0 } else { outcome.is_some() };
    if settled { Standing::Final } else { Standing::Provisional { waiting_for, region: plan.source.clone() } }
}

/// Whether the group's objective is met again after a move to `owner`: a standby follows it, and is not further behind
/// than the RPO allows.
pub fn is_recovered(inventory: &Inventory, policy: &Group, owner: &RegionName) -> bool {
    let follows = |standby: &RegionName| {
        let link = inventory.link(&policy.name, owner, standby).filter(|link| inventory.is_recent(link.observed_at));
        link.is_some_and(|link| {
            let close = Duration::try_from_secs_f64(link.lag_seconds).is_ok_and(|lag| lag <= policy.rpo);
            close
                && link.never_heard == 0
                && link.unusable.is_empty()
                && link.silence(inventory.observed_at) <= policy.rpo
        })
    };
    inventory.is_served(&policy.name) && policy.standbys_of(owner).iter().any(follows)
}

impl Report {
    /// Whether the run could lose anything at all.
    pub fn is_unplanned(&self) -> bool {
        self.kind.is_unplanned()
    }
}

/// How long the owner took no writes in a planned switch, as the run saw it: from the order to stop until the new owner
/// was open.
pub fn write_gap(plan: &Plan, entries: &[Entry]) -> Option<Duration> {
    let open = |event: &Event| match event {
        Event::StepSucceeded { step, .. } => {
            plan.step(step).is_some_and(|step| matches!(step.action, Action::Open { .. }))
        }
        _ => false,
    };
    let stop = |event: &Event| matches!(event, Event::StepStarted { step, .. } if *step == step_ids::stop_writes());
    let at = |wanted: &dyn Fn(&Event) -> bool| entries.iter().find(|entry| wanted(&entry.event)).map(|entry| entry.at);
    at(&stop).zip(at(&open)).map(|(stop, open)| open.since(stop))
}
