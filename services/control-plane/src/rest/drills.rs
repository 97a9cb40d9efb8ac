//! `/v1/drills`

use super::Api;
use super::asked::{Conditions, Json, Keyed, Path, Query, name, page, shown};
use super::refused::{Answered, Refused};
use super::shapes::{accepted, duration_ms, keyed_name, maybe_time, time};
use ::api::drills::{Check, CreateDrill, Drill, DrillKind, Verdict};
use ::api::{ErrorCode, Page, Paging};
use axum::extract::State;
use axum::response::Response;
use catalog::{command, reader};
use dr_planner::drill;
use model::{ProtectionGroup, Timestamp};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(find))
}

/// All drills, the newest first.
#[utoipa::path(get, path = "/v1/drills", tag = "drills", params(Paging),
    responses((status = 200, description = "The drills.", body = Page<Drill>)))]
async fn list(State(api): State<Api>, Query(paging): Query<Paging>) -> Answered<axum::Json<Page<Drill>>> {
    let drills = api.reader().drills(page(&paging)?).await?;
    let now = api.now();
    Ok(axum::Json(shown(drills, |drill| shown_drill(drill, now))))
}

/// One drill.
#[utoipa::path(get, path = "/v1/drills/{id}", tag = "drills", params(("id", description = "Its name.")),
    responses((status = 200, description = "The drill.", body = Drill)))]
async fn find(State(api): State<Api>, Path(id): Path<String>) -> Answered<axum::Json<Drill>> {
    let drill = api.reader().drill(&id).await?.ok_or_else(|| Refused::unknown("drill", &id))?;
    Ok(axum::Json(shown_drill(drill, api.now())))
}

/// Begins a drill. `evaluate` touches nothing; the others need processes to be killed and are begun by `farshore drill`.
#[utoipa::path(post, path = "/v1/drills", tag = "drills", request_body = CreateDrill,
    params(Keyed),
    responses((status = 202, description = "It has begun.", body = Drill)))]
async fn create(State(api): State<Api>, conditions: Conditions, Json(asked): Json<CreateDrill>) -> Answered<Response> {
    let group: ProtectionGroup = name(&asked.group)?;
    if asked.kind != DrillKind::Evaluate {
        let what = "only evaluate can be begun here; `farshore drill region-loss` and `farshore drill switchover` \
                    bring their own load and are begun on the command line";
        return Err(Refused::new(ErrorCode::Unsupported, what));
    }
    let keyed = keyed_name("drill", conditions.key.as_ref(), &asked.group);
    let begun = match &keyed {
        Some(keyed) => api.reader().drill(keyed).await?.map(|drill| drill.id),
        None => None,
    };
    let id = match begun {
        Some(begun) => begun,
        None => api.works().drill(&group, keyed, None, super::BY).await?,
    };
    let drill = api.reader().drill(&id).await?.ok_or_else(|| Refused::unknown("drill", &id))?;
    accepted(shown_drill(drill, api.now()), &format!("/v1/drills/{id}"))
}

fn shown_drill(drill: reader::Drill, now: Timestamp) -> Drill {
    let checks = drill.scorecard.as_ref().map(|scorecard| &scorecard.checks[..]).unwrap_or_default();
    Drill {
        checks: checks.iter().map(shown_check).collect(),
        id: drill.id,
        kind: match drill.kind {
            command::DrillKind::RegionLoss => DrillKind::RegionLoss,
            command::DrillKind::Switchover => DrillKind::Switchover,
            command::DrillKind::Restore => DrillKind::Restore,
            command::DrillKind::Evaluate => DrillKind::Evaluate,
        },
        group: drill.group.to_string(),
        schedule: drill.schedule,
        run: drill.run.map(|run| run.to_string()),
        started_at: time(drill.started_at),
        started_by: drill.started_by,
        ended_at: maybe_time(drill.ended_at),
        duration_ms: duration_ms(drill.started_at, drill.ended_at, now),
        verdict: drill.scorecard.map(|scorecard| verdict(scorecard.verdict)),
    }
}

fn shown_check(check: &drill::Check) -> Check {
    Check { name: check.name.clone(), verdict: verdict(check.verdict), detail: check.detail.clone() }
}

const fn verdict(verdict: drill::Verdict) -> Verdict {
    match verdict {
        drill::Verdict::Pass => Verdict::Pass,
        drill::Verdict::Unknown => Verdict::Unknown,
        drill::Verdict::Fail => Verdict::Fail,
    }
}
