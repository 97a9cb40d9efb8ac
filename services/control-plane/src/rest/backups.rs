//! `/v1/backups`

use super::Api;
use super::asked::{Conditions, Json, Keyed, Path, Query, name, shown};
use super::plans::OfGroup;
use super::refused::{Answered, Refused};
use super::shapes::{accepted, duration_ms, keyed_name, maybe_time, time};
use crate::ports;
use ::api::Page;
use ::api::backups::{Backup, BackupSummary, CreateBackup, Progress, WorkState};
use axum::extract::State;
use axum::response::Response;
use catalog::reader;
use model::{ProtectionGroup, Timestamp};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(find))
}

/// All backups, the newest first.
#[utoipa::path(get, path = "/v1/backups", tag = "backups", params(OfGroup),
    responses((status = 200, description = "The backups.", body = Page<Backup>)))]
async fn list(State(api): State<Api>, Query(asked): Query<OfGroup>) -> Answered<axum::Json<Page<Backup>>> {
    let (group, page) = asked.read()?;
    let backups = api.reader().backups(group.as_ref(), page).await?;
    let now = api.now();
    Ok(axum::Json(shown(backups, |backup| shown_backup(backup, now))))
}

/// One backup, and how far it is.
#[utoipa::path(get, path = "/v1/backups/{id}", tag = "backups", params(("id", description = "Its name.")),
    responses((status = 200, description = "The backup.", body = Backup)))]
async fn find(State(api): State<Api>, Path(id): Path<String>) -> Answered<axum::Json<Backup>> {
    let backup = api.reader().backup(&id).await?.ok_or_else(|| Refused::unknown("backup", &id))?;
    let (group, is_running) = (backup.group.clone(), backup.state == reader::WorkState::Running);
    let progress = if is_running { api.works().progress(&group, &id).await } else { None };
    Ok(axum::Json(Backup { progress: progress.map(shown_progress), ..shown_backup(backup, api.now()) }))
}

/// Begins a backup of a protection group.
#[utoipa::path(post, path = "/v1/backups", tag = "backups", request_body = CreateBackup,
    params(Keyed),
    responses((status = 202, description = "It has begun.", body = Backup)))]
async fn create(State(api): State<Api>, conditions: Conditions, Json(asked): Json<CreateBackup>) -> Answered<Response> {
    let group: ProtectionGroup = name(&asked.group)?;
    let keyed = keyed_name("backup", conditions.key.as_ref(), &asked.group);
    let begun = match &keyed {
        Some(keyed) => api.reader().backup(keyed).await?.map(|backup| backup.id),
        None => None,
    };
    let id = match begun {
        Some(begun) => begun,
        None => api.works().back_up(&group, keyed, None, super::BY).await?,
    };
    let backup = api.reader().backup(&id).await?.ok_or_else(|| Refused::unknown("backup", &id))?;
    accepted(shown_backup(backup, api.now()), &format!("/v1/backups/{id}"))
}

pub(super) const fn work_state(state: reader::WorkState) -> WorkState {
    match state {
        reader::WorkState::Running => WorkState::Running,
        reader::WorkState::Completed => WorkState::Completed,
        reader::WorkState::Failed => WorkState::Failed,
    }
}

pub(super) const fn shown_progress(progress: ports::Progress) -> Progress {
    Progress {
        partitions_done: progress.partitions_done,
        partitions_total: progress.partitions_total,
        bytes_done: progress.bytes_done,
        bytes_total: progress.bytes_total,
    }
}

pub(super) fn shown_backup(backup: reader::Backup, now: Timestamp) -> Backup {
    Backup {
        id: backup.id,
        group: backup.group.to_string(),
        repository: backup.repository,
        schedule: backup.schedule,
        state: work_state(backup.state),
        started_at: time(backup.started_at),
        started_by: backup.started_by,
        ended_at: maybe_time(backup.ended_at),
        duration_ms: duration_ms(backup.started_at, backup.ended_at, now),
        summary: backup.summary.map(|summary| BackupSummary {
            manifest: summary.manifest,
            manifest_hash: summary.manifest_hash,
            cut_at: time(summary.cut_at),
            topics: summary.topics,
            partitions: summary.partitions,
            records: summary.records,
            bytes: summary.bytes.0,
        }),
        progress: None,
        failure: backup.failure,
    }
}
