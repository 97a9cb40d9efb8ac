//! `/v1/runs`

use super::Api;
use super::asked::{Json, Path, Query, name, shown};
use super::plans::OfGroup;
use super::refused::{Answered, Refused};
use super::shapes::{self, duration_ms, maybe_time, time};
use ::api::Page;
use ::api::runs::{
    ArchivedTail, CancelRequest, PartitionLoss, PauseRequest, ReportTimes, Run, RunReport, RunStep, Standing, StepState,
};
use axum::extract::State;
use catalog::reader::{PageOf, RunSummary};
use dr_planner::plan::{Plan, Step};
use dr_planner::report::{self, Report};
use dr_planner::run::{Cancel, Entry, Event};
use model::{RunId, StepId, Timestamp};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(find))
        .routes(routes!(super::events::follow))
        .routes(routes!(report))
        .routes(routes!(cancel))
        .routes(routes!(pause))
        .routes(routes!(resume))
}

/// All runs, the newest first.
#[utoipa::path(get, path = "/v1/runs", tag = "runs", params(OfGroup),
    responses((status = 200, description = "The runs.", body = Page<Run>)))]
async fn list(State(api): State<Api>, Query(asked): Query<OfGroup>) -> Answered<axum::Json<Page<Run>>> {
    let (group, page) = asked.read()?;
    let summaries = api.reader().runs(group.as_ref(), page).await?;
    let mut items = Vec::with_capacity(summaries.items.len());
    for summary in summaries.items {
        items.push(api.told(summary).await?);
    }
    Ok(axum::Json(shown(PageOf { items, next: summaries.next }, |run| run)))
}

/// One run.
#[utoipa::path(get, path = "/v1/runs/{id}", tag = "runs", params(("id", description = "Its name.")),
    responses((status = 200, description = "The run.", body = Run)))]
async fn find(State(api): State<Api>, Path(id): Path<String>) -> Answered<axum::Json<Run>> {
    Ok(axum::Json(api.shown_run(&name(&id)?).await?))
}

/// What a run cost: provisional until the old log is back.
#[utoipa::path(get, path = "/v1/runs/{id}/report", tag = "runs", params(("id", description = "The run's name.")),
    responses((status = 200, description = "The report.", body = RunReport)))]
async fn report(State(api): State<Api>, Path(id): Path<String>) -> Answered<axum::Json<RunReport>> {
    let run: RunId = name(&id)?;
    let stored = api.reader().report(&run).await?;
    let (revision, stored_at) = stored.as_ref().map_or((0, api.now()), |stored| (stored.revision, stored.stored_at));
    let report = match stored {
        Some(stored) => stored.report,
        None => api.recovery().report(&run).await?,
    };
    Ok(axum::Json(api.shown_report(report, revision, stored_at)))
}

/// Ends a run: what it did is undone, or, with `abandon`, left as it is.
#[utoipa::path(post, path = "/v1/runs/{id}/cancel", tag = "runs", request_body = CancelRequest,
    params(("id", description = "Its name.")),
    responses((status = 200, description = "The run as it is now.", body = Run)))]
async fn cancel(
    State(api): State<Api>,
    Path(id): Path<String>,
    Json(asked): Json<CancelRequest>,
) -> Answered<axum::Json<Run>> {
    let run = name(&id)?;
    let how = if asked.abandon { Cancel::Abandon } else { Cancel::Unwind };
    api.recovery().cancel(&run, how, &asked.reason, super::BY).await?;
    Ok(axum::Json(api.shown_run(&run).await?))
}

/// Has a run start nothing new until it is resumed.
#[utoipa::path(post, path = "/v1/runs/{id}/pause", tag = "runs", request_body = PauseRequest,
    params(("id", description = "Its name.")),
    responses((status = 200, description = "The run as it is now.", body = Run)))]
async fn pause(
    State(api): State<Api>,
    Path(id): Path<String>,
    Json(asked): Json<PauseRequest>,
) -> Answered<axum::Json<Run>> {
    let run = name(&id)?;
    api.recovery().pause(&run, &asked.reason, super::BY).await?;
    Ok(axum::Json(api.shown_run(&run).await?))
}

/// Has a paused run go on.
#[utoipa::path(post, path = "/v1/runs/{id}/resume", tag = "runs", params(("id", description = "Its name.")),
    responses((status = 200, description = "The run as it is now.", body = Run)))]
async fn resume(State(api): State<Api>, Path(id): Path<String>) -> Answered<axum::Json<Run>> {
    let run = name(&id)?;
    api.recovery().resume(&run, super::BY).await?;
    Ok(axum::Json(api.shown_run(&run).await?))
}

impl Api {
    pub(super) async fn shown_run(&self, run: &RunId) -> Answered<Run> {
        let summary = self.reader().run_summary(run).await?;
        self.told(summary.ok_or_else(|| Refused::unknown("run", run))?).await
    }

    async fn told(&self, summary: RunSummary) -> Answered<Run> {
        let run = self.reader().run(&summary.id).await?;
        let run = run.ok_or_else(|| Refused::unknown("run", &summary.id))?;
        let duration_ms = duration_ms(summary.started_at, summary.ended_at, self.now());
        Ok(Run {
            id: summary.id.to_string(),
            group: summary.group.to_string(),
            kind: shapes::kind(summary.kind),
            state: shapes::run_state(summary.state),
            plan: summary.plan.to_string(),
            source: run.plan.source.to_string(),
            target: run.plan.target.to_string(),
            started_at: time(summary.started_at),
            started_by: summary.started_by,
            ended_at: maybe_time(summary.ended_at),
            duration_ms,
            events: summary.events,
            steps: steps(&run.plan, &run.entries),
        })
    }

    fn shown_report(&self, report: Report, revision: u64, stored_at: Timestamp) -> RunReport {
        let times = report.times;
        RunReport {
            run: report.run.to_string(),
            plan: report.plan.to_string(),
            kind: shapes::kind(report.kind),
            group: report.group.to_string(),
            source: report.source.to_string(),
            target: report.target.to_string(),
            from_epoch: report.from_epoch.0,
            to_epoch: report.to_epoch.map(|epoch| epoch.0),
            outcome: report.outcome.map(|outcome| shapes::run_state(outcome.into())),
            standing: match report.standing {
                report::Standing::Final => Standing::Final,
                report::Standing::Provisional { waiting_for, region } => {
                    Standing::Provisional { waiting_for_partitions: waiting_for as u64, region: region.to_string() }
                }
            },
            times: ReportTimes {
                incident_at: maybe_time(times.incident),
                decision_at: maybe_time(times.decision),
                pivot_at: maybe_time(times.pivot),
                canary_at: maybe_time(times.canary),
                recovered_at: maybe_time(times.recovered),
            },
            rto_ms: report.rto_ms,
            rto_met: report.rto_met,
            lost: shapes::loss(report.rpo),
            rpo_met: report.rpo_met,
            partitions: report.partitions.into_iter().map(|loss| self.shown_loss(loss)).collect(),
            revision,
            stored_at: time(stored_at),
        }
    }

    fn shown_loss(&self, loss: report::PartitionLoss) -> PartitionLoss {
        let lost_until = loss.old_tail.filter(|tail| *tail > loss.common_end);
        PartitionLoss {
            topic_id: loss.topic.to_string(),
            topic: self.view().topics.of_id(loss.topic).map(|topic| topic.name.to_string()),
            partition: loss.partition.0,
            common_end: loss.common_end.0,
            old_tail: loss.old_tail.map(|tail| tail.0),
            tail_known: loss.tail_known,
            declared_lost: lost_until.map(|end| ::api::OffsetRange { start: loss.common_end.0, end: end.0 }),
            unproven: loss.unproven.map(shapes::range),
            lost: shapes::loss(loss.loss),
            archived: loss.archived.map(|archived| ArchivedTail {
                region: archived.region.to_string(),
                file: archived.file,
                range: shapes::range(archived.range),
            }),
        }
    }
}

/// A step, and what is needed to go on with it.
struct Tracked {
    is_critical: bool,
    began: Option<Timestamp>,
    step: RunStep,
}

/// How the steps of a plan stand after what happened.
fn steps(plan: &Plan, entries: &[Entry]) -> Vec<RunStep> {
    let track = |step: &Step| Tracked { is_critical: step.critical, began: None, step: pending(&step.id) };
    let mut steps: Vec<_> = plan.steps.iter().map(track).collect();
    for entry in entries {
        let Some(id) = step_of(&entry.event) else { continue };
        if let Some(tracked) = steps.iter_mut().find(|tracked| tracked.step.id == id.as_str()) {
            tracked.note(entry);
        }
    }
    steps.into_iter().map(|tracked| tracked.step).collect()
}

fn pending(id: &StepId) -> RunStep {
    RunStep {
        id: id.to_string(),
        state: StepState::Pending,
        attempts: 0,
        started_at: None,
        ended_at: None,
        duration_ms: None,
        error: None,
    }
}

/// The step an event is about.
pub(super) fn step_of(event: &Event) -> Option<&StepId> {
    match event {
        Event::StepStarted { step, .. }
        | Event::StepSucceeded { step, .. }
        | Event::StepFailed { step, .. }
        | Event::UndoStarted { step, .. }
        | Event::UndoSucceeded { step }
        | Event::UndoFailed { step, .. } => Some(step),
        Event::Created { .. }
        | Event::Paused { .. }
        | Event::Resumed
        | Event::CancelRequested { .. }
        | Event::Finished { .. } => None,
    }
}

impl Tracked {
    fn note(&mut self, entry: &Entry) {
        let step = &mut self.step;
        match &entry.event {
            Event::StepStarted { attempt, .. } => {
                (step.state, step.attempts) = (StepState::Running, *attempt);
                let began = *self.began.get_or_insert(entry.at);
                step.started_at = Some(time(began));
            }
            Event::StepSucceeded { .. } => {
                step.state = StepState::Succeeded;
                self.end(entry.at);
            }
            Event::StepFailed { error, retryable, .. } => {
                step.state = if self.is_critical || *retryable { StepState::Failed } else { StepState::Skipped };
                step.error = Some(error.clone());
                self.end(entry.at);
            }
            Event::UndoStarted { .. } => step.state = StepState::Undoing,
            Event::UndoSucceeded { .. } => step.state = StepState::Undone,
            Event::UndoFailed { error, .. } => {
                (step.state, step.error) = (StepState::Failed, Some(error.clone()));
            }
            _ => {}
        }
    }

    fn end(&mut self, at: Timestamp) {
        self.step.ended_at = Some(time(at));
        self.step.duration_ms = self.began.map(|began| at.since(began).as_millis() as u64);
    }
}
