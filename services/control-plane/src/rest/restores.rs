//! `/v1/restores`

use super::Api;
use super::asked::{Json, Path, Query, maybe_name, name, page, shown};
use super::backups::{shown_progress, work_state};
use super::refused::{Answered, Refused};
use super::shapes::{accepted, duration_ms, maybe_time, time};
use crate::work::{PARALLEL_MAX, RestoreWish, TopicWish};
use ::api::restores::{CreateRestore, Restore, RestoreSummary, RestoredTopic};
use ::api::{Page, Paging};
use axum::extract::State;
use axum::response::Response;
use catalog::reader;
use model::Timestamp;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(find))
}

/// All restores, the newest first.
#[utoipa::path(get, path = "/v1/restores", tag = "restores", params(Paging),
    responses((status = 200, description = "The restores.", body = Page<Restore>)))]
async fn list(State(api): State<Api>, Query(paging): Query<Paging>) -> Answered<axum::Json<Page<Restore>>> {
    let restores = api.reader().restores(page(&paging)?).await?;
    let now = api.now();
    Ok(axum::Json(shown(restores, |restore| shown_restore(restore, now))))
}

/// One restore, and how far it is.
#[utoipa::path(get, path = "/v1/restores/{id}", tag = "restores", params(("id", description = "Its name.")),
    responses((status = 200, description = "The restore.", body = Restore)))]
async fn find(State(api): State<Api>, Path(id): Path<String>) -> Answered<axum::Json<Restore>> {
    let restore = api.reader().restore(&id).await?.ok_or_else(|| Refused::unknown("restore", &id))?;
    let (group, is_running) = (restore.group.clone(), restore.state == reader::WorkState::Running);
    let progress = if is_running { api.works().progress(&group, &id).await } else { None };
    Ok(axum::Json(Restore { progress: progress.map(shown_progress), ..shown_restore(restore, api.now()) }))
}

/// Begins a restore into new topics of the owner region. Refused when a topic of a target name has data.
#[utoipa::path(post, path = "/v1/restores", tag = "restores", request_body = CreateRestore,
    responses((status = 202, description = "It has begun.", body = Restore)))]
async fn create(State(api): State<Api>, Json(asked): Json<CreateRestore>) -> Answered<Response> {
    let topics = asked
        .topics
        .iter()
        .map(|choice| Ok(TopicWish { source: name(&choice.source)?, target: maybe_name(choice.target.as_deref())? }));
    let wish = RestoreWish {
        topics: topics.collect::<Answered<_>>()?,
        group: maybe_name(asked.group.as_deref())?,
        backup: asked.backup,
        with_offsets: asked.group_offsets,
        parallel: parallel(asked.parallel)?,
    };
    let id = api.works().restore(wish, super::BY).await?;
    let restore = api.reader().restore(&id).await?.ok_or_else(|| Refused::unknown("restore", &id))?;
    accepted(shown_restore(restore, api.now()), &format!("/v1/restores/{id}"))
}

fn parallel(asked: Option<u32>) -> Answered<Option<u32>> {
    match asked {
        Some(count) if !(1..=PARALLEL_MAX).contains(&count) => {
            let detail = format!("{count} partitions at a time; 1 to {PARALLEL_MAX} are possible");
            Err(Refused::unprocessable(detail))
        }
        _ => Ok(asked),
    }
}

fn shown_restore(restore: reader::Restore, now: Timestamp) -> Restore {
    let topic = |topic: catalog::command::RestoredTopic| RestoredTopic {
        source: topic.source.to_string(),
        target: topic.topic.name.to_string(),
        topic_id: topic.topic.id.to_string(),
    };
    Restore {
        id: restore.id,
        backup: restore.backup,
        group: restore.group.to_string(),
        topics: restore.topics.into_iter().map(topic).collect(),
        state: work_state(restore.state),
        started_at: time(restore.started_at),
        started_by: restore.started_by,
        ended_at: maybe_time(restore.ended_at),
        duration_ms: duration_ms(restore.started_at, restore.ended_at, now),
        summary: restore.summary.map(|summary| RestoreSummary {
            partitions: summary.partitions,
            partitions_at_once: summary.at_once,
            records: summary.records,
            bytes: summary.bytes.0,
            group_offsets: summary.offsets,
        }),
        progress: None,
        failure: restore.failure,
    }
}
