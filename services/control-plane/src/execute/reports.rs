//! Reports: written when a run has ended, and again when the old owner's log tells more.

use crate::council::{Council, CouncilError};
use crate::observe::{Observatory, Picture};
use crate::tenure::{system_name, while_leading};
use catalog::command::StoreReport;
use catalog::reader::Page;
use catalog::{CatalogError, Refusal};
use dr_planner::plan::Plan;
use dr_planner::report::{Evidence, Report, ReturnedTail, Standing, is_recovered, report};
use dr_planner::run::{Outcome, Output, Run};
use env::Clock;
use model::{Opening, PartitionId, RegionStatus, RunId, Timestamp, TopicId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

const INTERVAL: Duration = Duration::from_millis(500);
/// How many runs back a new leader looks for reports that are missing.
const RUNS_LOOKED_AT: u32 = 200;
/// A final report stays as it is, so it waits this long for the instant at which the objective is met again.
const RECOVERY_WAIT: Duration = Duration::from_secs(15);

/// Keeps the reports of runs up to date, on the leader.
pub struct Reports {
    council: Council,
    observatory: Observatory,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, thiserror::Error)]
enum NotReported {
    #[error("the catalog cannot be read: {0}")]
    Catalog(#[from] CatalogError),
    #[error("{0}")]
    Council(#[from] CouncilError),
}

/// What this leader has seen to.
#[derive(Default)]
struct Seen {
    /// How much of the council's log was looked through.
    index: u64,
    /// Runs whose report is missing or provisional.
    open: BTreeSet<RunId>,
    /// Runs whose report needs nothing more.
    settled: BTreeSet<RunId>,
    /// When the objective was first seen to be met again after a run.
    recovered: BTreeMap<RunId, Timestamp>,
    /// Since when a report could have been final.
    complete: BTreeMap<RunId, Timestamp>,
}

impl Seen {
    fn settle(&mut self, run: &RunId) {
        self.open.remove(run);
        self.recovered.remove(run);
        self.complete.remove(run);
        self.settled.insert(run.clone());
    }
}

impl Reports {
    /// The reports that this node keeps while it leads.
    pub fn new(council: Council, observatory: Observatory, clock: Arc<dyn Clock>) -> Self {
        Self { council, observatory, clock }
    }

    /// Keeps them whenever this node leads, for ever.
    pub async fn serve(self) {
        while_leading(&self.council, || self.keep()).await;
    }

    async fn keep(&self) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = Seen::default();
        loop {
            ticks.tick().await;
            if let Err(error) = self.look(&mut seen).await {
                tracing::warn!(%error, "reports are not up to date");
            }
        }
    }

    async fn look(&self, seen: &mut Seen) -> Result<(), NotReported> {
        let (now, index) = (self.clock.now(), self.council.reader().applied_index());
        if seen.index == index && seen.open.is_empty() {
            return Ok(());
        }
        // What a region says now was said before the catalog is read: a tail it no longer reports is stored there.
        let picture = self.observatory.picture();
        if seen.index != index {
            self.find_open(seen).await?;
            seen.index = index;
        }
        for run in seen.open.clone() {
            self.see_to(&run, seen, picture.as_deref(), now).await?;
        }
        Ok(())
    }

    /// Runs that have ended and whose report is missing or provisional.
    async fn find_open(&self, seen: &mut Seen) -> Result<(), NotReported> {
        let reader = self.council.reader();
        let provisional = reader.provisional_reports().await?.into_iter().map(|stored| stored.report.run);
        let ended = reader.runs(None, Page::of(RUNS_LOOKED_AT)).await?.items.into_iter();
        let ended = ended.filter(|run| run.state.is_terminal()).map(|run| run.id);
        let found: Vec<_> = provisional.chain(ended).filter(|run| !seen.settled.contains(run)).collect();
        seen.open.extend(found);
        Ok(())
    }

    async fn see_to(
        &self,
        run: &RunId,
        seen: &mut Seen,
        picture: Option<&Picture>,
        now: Timestamp,
    ) -> Result<(), NotReported> {
        let stored = self.council.reader().report(run).await?.map(|stored| stored.report);
        if stored.as_ref().is_some_and(|report| report.standing == Standing::Final) {
            seen.settle(run);
            return Ok(());
        }
        let before = stored.as_ref().and_then(|report| report.times.recovered);
        let recovered = before.or(seen.recovered.get(run).copied());
        let Some(mut next) = compute(&self.council, run, picture, recovered).await? else {
            // Its group is gone, and with it what it was to be measured by.
            seen.settle(run);
            return Ok(());
        };
        if next.times.recovered.is_none() && self.has_recovered(&next, picture) {
            next.times.recovered = Some(now);
            seen.recovered.insert(run.clone(), now);
        }
        let waits = next.standing == Standing::Final && may_still_recover(&next, seen, now);
        if waits || stored == as_stored(&next) { Ok(()) } else { self.store(next).await }
    }

    async fn store(&self, report: Report) -> Result<(), NotReported> {
        let (run, standing) = (report.run.clone(), report.standing.clone());
        match self.council.propose(&system_name(&self.council), StoreReport { report }).await {
            Ok(_) => tracing::info!(%run, ?standing, "a report is stored"),
            Err(CouncilError::Refused(Refusal::ReportFinal { .. })) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Whether the group that was moved is as well protected again as it is asked to be.
    fn has_recovered(&self, report: &Report, picture: Option<&Picture>) -> bool {
        let view = self.council.view();
        let Some((picture, group)) = picture.zip(view.group(&report.group)) else { return false };
        let moved = report.outcome == Some(Outcome::Succeeded) && Some(group.grant.ownership_epoch) == report.to_epoch;
        moved && is_recovered(&picture.inventory, &group.policy, &report.target)
    }
}

/// The report as it comes back from its JSON: a number may differ in its last digit.
fn as_stored(report: &Report) -> Option<Report> {
    serde_json::from_slice(&serde_json::to_vec(report).ok()?).ok()
}

/// Whether a report that could be final is held back because the instant of recovery may still come.
fn may_still_recover(report: &Report, seen: &mut Seen, now: Timestamp) -> bool {
    let moved = report.outcome == Some(Outcome::Succeeded) && report.to_epoch.is_some();
    let complete_since = *seen.complete.entry(report.run.clone()).or_insert(now);
    moved && report.times.recovered.is_none() && now.since(complete_since) < RECOVERY_WAIT
}

/// The report of a run as far as the catalog and `picture` tell; `None` when there is no such run.
pub(super) async fn compute(
    council: &Council,
    run: &RunId,
    picture: Option<&Picture>,
    recovered_at: Option<Timestamp>,
) -> Result<Option<Report>, CatalogError> {
    let Some(run) = council.reader().run(run).await? else { return Ok(None) };
    let view = council.view();
    let Some(group) = view.group(&run.plan.group) else { return Ok(None) };
    let returned = returned(council, &run, picture).await?;
    let evidence = Evidence {
        run: &run.id,
        plan: &run.plan,
        entries: &run.entries,
        policy: &group.policy,
        returned: &returned,
        recovered_at,
    };
    Ok(Some(report(&evidence)))
}

/// What the old owner's logs turned out to hold: the tails it archived, and nothing where it follows the new owner
/// without having had to archive anything.
async fn returned(council: &Council, run: &Run, picture: Option<&Picture>) -> Result<Vec<ReturnedTail>, CatalogError> {
    let plan = &run.plan;
    let recorded = council.reader().diverged(Some(&plan.source)).await?.into_iter();
    let recorded = recorded.filter(|recorded| recorded.tail.ownership_epoch == plan.ownership_epoch);
    let mut returned: Vec<_> =
        recorded.map(|recorded| ReturnedTail::archived(recorded.region, recorded.tail)).collect();
    let status = picture.and_then(|picture| picture.statuses.get(&plan.source));
    if let Some(status) = status
        && kept_its_disk(council, plan, status).await?
    {
        let archived: BTreeSet<_> = returned.iter().map(|tail| (tail.topic, tail.partition)).collect();
        let crossed = openings(run).filter(|opening| has_crossed(status, opening, plan));
        let clean = crossed.filter(|opening| !archived.contains(&(opening.topic, opening.partition)));
        returned.extend(clean.map(|opening| nothing(plan, opening.topic, opening.partition)));
    }
    Ok(returned)
}

/// Whether the region still has the disk it had when the plan was made: a new one has nothing to tell of the old log.
async fn kept_its_disk(council: &Council, plan: &Plan, status: &RegionStatus) -> Result<bool, CatalogError> {
    let given_at = council.reader().incarnation_given_at(status.incarnation).await?;
    Ok(given_at.is_some_and(|given_at| given_at <= plan.created_at))
}

fn openings(run: &Run) -> impl Iterator<Item = &Opening> {
    let pivoted = run.entries.iter().find_map(|entry| match &entry.event {
        dr_planner::run::Event::StepSucceeded { output: Output::Pivoted { openings, .. }, .. } => Some(openings),
        _ => None,
    });
    pivoted.into_iter().flatten()
}

/// Whether the region's copy is beyond where the new lineage begins, with no archived tail waiting to be stored.
fn has_crossed(status: &RegionStatus, opening: &Opening, plan: &Plan) -> bool {
    let ours = |topic: TopicId, partition: PartitionId| topic == opening.topic && partition == opening.partition;
    let beyond = |flushed| flushed > opening.base;
    let copy = status.partitions.iter().find(|copy| ours(copy.topic_id, copy.partition));
    let waiting = status.diverged.iter();
    let mut waiting =
        waiting.filter(|tail| ours(tail.topic, tail.partition) && tail.ownership_epoch == plan.ownership_epoch);
    copy.is_some_and(|copy| beyond(copy.flushed)) && waiting.next().is_none()
}

fn nothing(plan: &Plan, topic: TopicId, partition: PartitionId) -> ReturnedTail {
    let (region, ownership_epoch) = (plan.source.clone(), plan.ownership_epoch);
    ReturnedTail { region, topic, partition, ownership_epoch, diverged: None }
}
