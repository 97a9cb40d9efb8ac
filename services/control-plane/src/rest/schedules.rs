//! `/v1/schedules`

use super::asked::{Conditions, Json, Keyed, Matched, Path, Query, cut, name};
use super::refused::{Answered, Refused};
use super::shapes::{maybe_time, tagged, time};
use super::{Api, unexpected};
use crate::schedule::next_fire;
use ::api::schedules::{Firing, FiringState, Job, Missed, Overlap, Schedule, ScheduleSpec};
use ::api::{Page, Paging};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use catalog::command::{DeleteSchedule, PutSchedule};
use catalog::reader::{self, StoredSchedule};
use catalog::{Answer, Refusal};
use dr_planner::schedule;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// How many of the last firings are shown.
const FIRINGS_SHOWN: u32 = 10;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(find, put, delete))
}

/// All schedules, by name.
#[utoipa::path(get, path = "/v1/schedules", tag = "schedules", params(Paging),
    responses((status = 200, description = "The schedules.", body = Page<Schedule>)))]
async fn list(State(api): State<Api>, Query(paging): Query<Paging>) -> Answered<axum::Json<Page<Schedule>>> {
    let stored = api.reader().schedules().await?.into_iter();
    let page = cut(stored, &paging, |stored| &stored.schedule.name)?;
    let mut items = Vec::with_capacity(page.items.len());
    for stored in page.items {
        items.push(api.shown_schedule(stored).await?);
    }
    Ok(axum::Json(Page { items, next: page.next }))
}

/// One schedule, when it fires next, and what came of its last firings.
#[utoipa::path(get, path = "/v1/schedules/{name}", tag = "schedules", params(("name", description = "Its name.")),
    responses((status = 200, description = "The schedule.", body = Schedule)))]
async fn find(State(api): State<Api>, Path(schedule): Path<String>) -> Answered<Response> {
    api.answer_schedule(&schedule).await
}

/// Creates a schedule, or replaces it.
#[utoipa::path(put, path = "/v1/schedules/{name}", tag = "schedules", request_body = ScheduleSpec,
    params(("name", description = "Its name."), Matched, Keyed),
    responses((status = 200, description = "As it is now.", body = Schedule)))]
async fn put(
    State(api): State<Api>,
    Path(schedule): Path<String>,
    conditions: Conditions,
    Json(spec): Json<ScheduleSpec>,
) -> Answered<Response> {
    let asked = asked_schedule(&schedule, spec)?;
    asked.validate().map_err(Refused::unprocessable)?;
    next_fire(&asked, api.now()).map_err(Refused::unprocessable)?;
    let change = PutSchedule { schedule: asked, expected: conditions.revision };
    match api.decide(change, &conditions).await? {
        Answer::Revision { .. } | Answer::AppliedBefore => api.answer_schedule(&schedule).await,
        other => unexpected(&other),
    }
}

/// Deletes a schedule.
#[utoipa::path(delete, path = "/v1/schedules/{name}", tag = "schedules",
    params(("name", description = "Its name."), Matched),
    responses((status = 204, description = "It is gone.")))]
async fn delete(State(api): State<Api>, Path(schedule): Path<String>, conditions: Conditions) -> Answered<StatusCode> {
    let stored = api.stored_schedule(&schedule).await?;
    if let Some(expected) = conditions.revision.filter(|revision| *revision != stored.revision) {
        let (what, name) = ("schedule".to_owned(), schedule);
        return Err(Refusal::Changed { what, name, expected, revision: stored.revision }.into());
    }
    api.decide(DeleteSchedule { name: schedule }, &conditions).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl Api {
    async fn stored_schedule(&self, schedule: &str) -> Answered<StoredSchedule> {
        self.reader().schedule(schedule).await?.ok_or_else(|| Refused::unknown("schedule", schedule))
    }

    async fn answer_schedule(&self, schedule: &str) -> Answered<Response> {
        let stored = self.stored_schedule(schedule).await?;
        let revision = stored.revision;
        Ok(tagged(self.shown_schedule(stored).await?, revision))
    }

    async fn shown_schedule(&self, stored: StoredSchedule) -> Answered<Schedule> {
        let StoredSchedule { schedule, revision, .. } = stored;
        let next = if schedule.enabled { next_fire(&schedule, self.now()).ok().flatten() } else { None };
        let firings = self.reader().firings(&schedule.name, FIRINGS_SHOWN).await?;
        Ok(Schedule {
            name: schedule.name.clone(),
            spec: shown_spec(&schedule),
            revision,
            next_at: maybe_time(next),
            firings: firings.into_iter().map(shown_firing).collect(),
        })
    }
}

fn asked_schedule(name_asked: &str, spec: ScheduleSpec) -> Answered<schedule::Schedule> {
    Ok(schedule::Schedule {
        name: name_asked.to_owned(),
        cron: spec.cron,
        job: match spec.job {
            Job::Backup { group } => schedule::Job::Backup { group: name(&group)? },
            Job::Drill { group } => schedule::Job::Drill { group: name(&group)? },
        },
        overlap: match spec.overlap {
            Overlap::Forbid => schedule::Overlap::Forbid,
        },
        missed: match spec.missed {
            Missed::Skip => schedule::Missed::Skip,
            Missed::RunOnce => schedule::Missed::RunOnce,
        },
        enabled: spec.enabled,
    })
}

fn shown_spec(schedule: &schedule::Schedule) -> ScheduleSpec {
    ScheduleSpec {
        cron: schedule.cron.clone(),
        job: match &schedule.job {
            schedule::Job::Backup { group } => Job::Backup { group: group.to_string() },
            schedule::Job::Drill { group } => Job::Drill { group: group.to_string() },
        },
        overlap: match schedule.overlap {
            schedule::Overlap::Forbid => Overlap::Forbid,
        },
        missed: match schedule.missed {
            schedule::Missed::Skip => Missed::Skip,
            schedule::Missed::RunOnce => Missed::RunOnce,
        },
        enabled: schedule.enabled,
    }
}

fn shown_firing(firing: reader::Firing) -> Firing {
    Firing {
        due_at: time(firing.due),
        state: match firing.state {
            reader::FiringState::Claimed => FiringState::Claimed,
            reader::FiringState::Succeeded => FiringState::Succeeded,
            reader::FiringState::Failed => FiringState::Failed,
            reader::FiringState::Missed => FiringState::Missed,
            reader::FiringState::Abandoned => FiringState::Abandoned,
        },
        claimant: firing.claimant,
        ended_at: maybe_time(firing.ended_at),
        detail: firing.detail,
    }
}
