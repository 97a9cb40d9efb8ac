//! `/v1/diverged`

use super::Api;
use super::asked::{Json, Path, Query, cut};
use super::backups::work_state;
use super::refused::Answered;
use super::shapes::{accepted, maybe_time, range, time};
use crate::work::KnownTail;
use ::api::diverged::{
    Diverged, Fates, Findings, KeyFinding, Publication, PublicationState, PublishedOffsets, PublishedRecords, Reinject,
    Reinjection,
};
use ::api::{Page, Paging};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use catalog::command::{PublicationSummary, PublishedRun, ReinjectionSummary};
use catalog::reader;
use mirror_core::salvage::{self, Wish};
use model::{Offset, OffsetRange};
use std::time::Duration;
use tokio::time::timeout;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// How long the object store may take to say what it has.
const STORE_TIMEOUT: Duration = Duration::from_secs(3);

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(find)).routes(routes!(reinject))
}

/// All diverged tails, by name.
#[utoipa::path(get, path = "/v1/diverged", tag = "diverged tails", params(Paging),
    responses((status = 200, description = "The tails.", body = Page<Diverged>)))]
async fn list(State(api): State<Api>, Query(paging): Query<Paging>) -> Answered<axum::Json<Page<Diverged>>> {
    let mut tails: Vec<Diverged> =
        api.works().tails().await?.into_iter().map(|tail| api.shown_diverged(tail)).collect();
    tails.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(axum::Json(cut(tails.into_iter(), &paging, |tail| &tail.id)?))
}

/// One diverged tail, compared with the lineage that went on, as it is now.
#[utoipa::path(get, path = "/v1/diverged/{id}", tag = "diverged tails", params(("id", description = "Its name.")),
    responses((status = 200, description = "The tail.", body = Diverged)))]
async fn find(State(api): State<Api>, Path(id): Path<String>) -> Answered<axum::Json<Diverged>> {
    let known = api.works().tail(&id).await?;
    // What is known without the file is shown all the same.
    let (findings, not_compared) = match api.works().compare(&known.recorded, Wish::default()).await {
        Ok(found) => (Some(shown_findings(found)), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let objects = api.kept_tail(&known).await;
    Ok(axum::Json(Diverged { findings, not_compared, objects, ..api.shown_diverged(known) }))
}

/// Writes to the owner what the lineage that went on lacks of a tail, in order and once: when it was done, or is being
/// done, nothing more happens, and the answer says so.
#[utoipa::path(post, path = "/v1/diverged/{id}/reinject", tag = "diverged tails", request_body = Reinject,
    params(("id", description = "Its name.")),
    responses(
        (status = 200, description = "What would be done, as a dry run was asked for.", body = Diverged),
        (status = 202, description = "It has begun, now or before.", body = Diverged)))]
async fn reinject(State(api): State<Api>, Path(id): Path<String>, Json(asked): Json<Reinject>) -> Answered<Response> {
    let known = api.works().tail(&id).await?;
    let wish = Wish { keys_not_newer: asked.keys_not_newer, leave_unknown: asked.leave_unknown };
    if asked.dry_run {
        let findings = Some(shown_findings(api.works().compare(&known.recorded, wish).await?));
        return Ok(axum::Json(Diverged { findings, ..api.shown_diverged(known) }).into_response());
    }
    let reinjection = Some(api.works().reinject(&id, wish, super::BY).await?);
    accepted(api.shown_diverged(KnownTail { reinjection, ..known }), &format!("/v1/diverged/{id}"))
}

impl Api {
    /// What the object store has of a tail, as far as it answers soon.
    async fn kept_tail(&self, known: &KnownTail) -> Vec<String> {
        let Some(archivist) = &self.0.ports.archivist else { return vec![] };
        let asked = archivist.kept_tails(&known.recorded.region, &known.recorded.tail.file);
        match timeout(STORE_TIMEOUT, asked).await {
            Ok(Ok(objects)) => objects,
            Ok(Err(error)) => {
                tracing::debug!(%error, "nobody knows what the object store has of a diverged tail");
                vec![]
            }
            Err(_) => vec![],
        }
    }

    fn shown_diverged(&self, known: KnownTail) -> Diverged {
        Diverged {
            id: known.recorded.id(),
            region: known.recorded.region.to_string(),
            tail: self.shown_tail(&known.recorded),
            recorded_at: time(known.recorded.recorded_at),
            published: shown_publication(&known),
            reinjection: known.reinjection.map(shown_reinjection),
            objects: vec![],
            findings: None,
            not_compared: None,
        }
    }
}

fn shown_publication(known: &KnownTail) -> Publication {
    let (begun, destination) = (known.publication.as_ref(), known.destination.as_ref());
    let summary = begun.and_then(|publication| publication.summary.as_ref());
    let state = match (begun, summary, destination) {
        (_, Some(_), _) => PublicationState::Completed,
        (_, None, Err(_)) => PublicationState::Absent,
        (Some(_), None, Ok(_)) => PublicationState::Running,
        (None, None, Ok(_)) => PublicationState::Waiting,
    };
    Publication {
        state,
        topic: destination.ok().map(|to| to.name.to_string()),
        reason: destination.err().map(ToString::to_string),
        started_at: begun.map(|publication| time(publication.started_at)),
        ended_at: begun.and_then(|publication| maybe_time(publication.ended_at)),
        records: summary.map(shown_published),
    }
}

fn shown_published(summary: &PublicationSummary) -> PublishedRecords {
    let offsets = |run: &PublishedRun| {
        let behind = |offset: Offset| OffsetRange::new(offset, offset.plus(run.count as i64));
        PublishedOffsets { tail: range(behind(run.from)), topic: range(behind(run.to)) }
    };
    PublishedRecords {
        published: summary.records,
        held: summary.held,
        aborted: summary.aborted,
        open: summary.open,
        offsets: summary.runs.iter().map(offsets).collect(),
        offsets_complete: summary.runs_complete,
    }
}

fn shown_reinjection(reinjection: reader::Reinjection) -> Reinjection {
    Reinjection {
        state: work_state(reinjection.state),
        keys_not_newer: reinjection.plan.keys_not_newer,
        leave_unknown: reinjection.plan.leave_unknown,
        producer_id: reinjection.plan.producer_id.0,
        until: reinjection.plan.until.0,
        started_at: time(reinjection.started_at),
        started_by: reinjection.started_by,
        ended_at: maybe_time(reinjection.ended_at),
        records: reinjection.summary.map(shown_summary),
        failure: reinjection.failure,
    }
}

const fn shown_summary(summary: ReinjectionSummary) -> Fates {
    let ReinjectionSummary { lacking, unknown, held, newer_key, unknown_left, aborted, open } = summary;
    Fates { lacking, unknown, held, newer_key, unknown_left, aborted, open }
}

fn shown_findings(found: salvage::Findings) -> Findings {
    let salvage::Tally { lacking, unknown, held, newer_key, unknown_left, aborted, open } = found.tally;
    let key = |key: salvage::KeyFinding| KeyFinding { key: key.key, versions: key.versions, held: key.held };
    Findings {
        records: Fates { lacking, unknown, held, newer_key, unknown_left, aborted, open },
        control_batches: found.control_batches,
        lineage: found.lineage.map(range),
        keys: found.keys,
        keys_held: found.keys_held,
        keys_complete: found.keys_complete,
        keyless: found.keyless,
        top_keys: found.top.into_iter().map(key).collect(),
    }
}
