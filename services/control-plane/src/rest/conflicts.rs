//! `/v1/regions/{region}/conflicts`, `/v1/regions/{region}/quarantine`, `/v1/regions/{region}/active-partitions`

use super::Api;
use super::asked::{Json, Path, Query, cut, name};
use super::brokers::unexpected;
use super::refused::{Answered, Refused};
use super::shapes::time;
use crate::council::{Call, Reply};
use crate::ports::{ConflictAnswer, ConflictAsk, ConflictRefusal, Disputed};
use ::api::conflicts::{
    ActivePartition, Conflict, ConflictReason, ConflictState, Payload, Quarantined, Received, RecordId, Settle,
    Settled, Version,
};
use ::api::{ErrorCode, Page, Paging, Problem};
use axum::extract::State;
use catalog::View;
use mirror_core::active::{self, ConflictRecord, ConflictVersion, Dot};
use model::{Incarnation, Offset, PartitionId, RegionName, TopicName};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// How long a region may take to say what it found.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a choice may take to become durable.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(12);
/// How many conflicts a page holds unless somebody says otherwise, and at most.
const PAGE: (u32, u32) = (100, 1000);

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(conflicts))
        .routes(routes!(quarantine))
        .routes(routes!(settle))
        .routes(routes!(partitions))
}

/// What a region found in conflict in topics of active-active groups, in the order it found it. A page may hold some more
/// than was asked for.
#[utoipa::path(get, path = "/v1/regions/{region}/conflicts", tag = "conflicts", operation_id = "list",
    params(("region", description = "The region."), Paging),
    responses((status = 200, description = "The conflicts.", body = Page<Conflict>)))]
async fn conflicts(
    State(api): State<Api>,
    Path(region): Path<String>,
    Query(paging): Query<Paging>,
) -> Answered<axum::Json<Page<Conflict>>> {
    let (from, (usual, most)) = (after(&paging)?, PAGE);
    let ask = ConflictAsk::List { from, max: paging.limit.unwrap_or(usual).clamp(1, most) };
    match api.ask_conflicts(&name(&region)?, ask, ANSWER_TIMEOUT).await? {
        ConflictAnswer::List { conflicts, next } => {
            let items = conflicts.into_iter().map(shown).collect();
            Ok(axum::Json(Page { items, next: next.map(|next| next.0.to_string()) }))
        }
        other => Err(senseless(&other)),
    }
}

/// Versions of keys that wait for a person, in groups whose policy is quarantine.
#[utoipa::path(get, path = "/v1/regions/{region}/quarantine", tag = "conflicts", operation_id = "list",
    params(("region", description = "The region."), Paging),
    responses((status = 200, description = "What waits.", body = Page<Quarantined>)))]
async fn quarantine(
    State(api): State<Api>,
    Path(region): Path<String>,
    Query(paging): Query<Paging>,
) -> Answered<axum::Json<Page<Quarantined>>> {
    match api.ask_conflicts(&name(&region)?, ConflictAsk::Disputes, ANSWER_TIMEOUT).await? {
        ConflictAnswer::Disputes(disputes) => {
            let all = disputes.into_iter().map(quarantined);
            let named: BTreeMap<_, _> = all.map(|waits| (place(&waits), waits)).collect();
            let page = cut(named.into_iter(), &paging, |(place, _)| place)?;
            let items = page.items.into_iter().map(|(_, waits)| waits).collect();
            Ok(axum::Json(Page { items, next: page.next }))
        }
        other => Err(senseless(&other)),
    }
}

/// Settles what is in quarantine: the chosen version is written again and stands in every region.
#[utoipa::path(post, path = "/v1/regions/{region}/quarantine/settle", tag = "conflicts", request_body = Settle,
    operation_id = "settle", params(("region", description = "The region that writes it.")),
    responses((status = 200, description = "It is written, durably in that region.", body = Settled)))]
async fn settle(
    State(api): State<Api>,
    Path(region): Path<String>,
    Json(asked): Json<Settle>,
) -> Answered<axum::Json<Settled>> {
    let ask = ConflictAsk::Settle {
        topic: TopicName::new(&asked.topic).map_err(Refused::unprocessable)?,
        partition: PartitionId(asked.partition),
        key: unhex(&asked.key_hex)?,
        choice: dot(asked.choice),
        known: asked.known.into_iter().map(dot).collect(),
    };
    match api.ask_conflicts(&name(&region)?, ask, SETTLE_TIMEOUT).await? {
        ConflictAnswer::Settled(offset) => Ok(axum::Json(Settled { offset: offset.0 })),
        other => Err(senseless(&other)),
    }
}

/// The partitions of active-active groups: what a region has received of each other one, and what its links brought.
#[utoipa::path(get, path = "/v1/regions/{region}/active-partitions", tag = "conflicts", operation_id = "list",
    params(("region", description = "The region."), Paging),
    responses((status = 200, description = "The partitions.", body = Page<ActivePartition>)))]
async fn partitions(
    State(api): State<Api>,
    Path(region): Path<String>,
    Query(paging): Query<Paging>,
) -> Answered<axum::Json<Page<ActivePartition>>> {
    let view = api.view();
    match api.ask_conflicts(&name(&region)?, ConflictAsk::Partitions, ANSWER_TIMEOUT).await? {
        ConflictAnswer::Partitions(known) => {
            let shown = known.into_iter().map(|known| partition(&view, known));
            let named: Vec<_> = shown.map(|known| (format!("{}-{:05}", known.topic, known.partition), known)).collect();
            let page = cut(named.into_iter(), &paging, |(place, _)| place)?;
            Ok(axum::Json(Page { items: page.items.into_iter().map(|(_, known)| known).collect(), next: page.next }))
        }
        other => Err(senseless(&other)),
    }
}

impl Api {
    async fn ask_conflicts(&self, region: &RegionName, ask: ConflictAsk, within: Duration) -> Answered<ConflictAnswer> {
        match self.ask_region(region, &Call::Conflicts(ask), within).await? {
            Reply::Conflicts(answer) => (*answer).map_err(refused),
            other => Err(unexpected(region, &other)),
        }
    }
}

fn refused(refusal: ConflictRefusal) -> Refused {
    match refusal {
        ConflictRefusal::Unknown(partition) => Refused::unknown("partition of an active-active group", partition),
        ConflictRefusal::Changed(_) => Refused::new(ErrorCode::Conflict, refusal),
        ConflictRefusal::NotNow(_) => {
            Problem::new(ErrorCode::RegionUnavailable, refusal.to_string()).of_unknown_outcome().into()
        }
    }
}

fn senseless(answer: &ConflictAnswer) -> Refused {
    Refused::new(ErrorCode::Internal, format!("the region answered {answer:?}"))
}

fn after(paging: &Paging) -> Answered<Offset> {
    let Some(after) = &paging.after else { return Ok(Offset::ZERO) };
    let offset = after.parse().ok().filter(|offset| *offset >= 0).map(Offset);
    offset.ok_or_else(|| Refused::new(ErrorCode::InvalidRequest, format!("after={after} is what no page gave as next")))
}

fn place(waits: &Quarantined) -> String {
    format!("{}-{:05}-{}", waits.topic, waits.partition, waits.key_hex)
}

fn shown(record: ConflictRecord) -> Conflict {
    Conflict {
        topic: record.topic.to_string(),
        partition: record.partition.0,
        key: payload(record.key),
        winner: version(record.winner),
        loser: version(record.loser),
        reason: match record.reason {
            active::Reason::LaterWrite => ConflictReason::LaterWrite,
            active::Reason::SameTime => ConflictReason::SameTime,
            active::Reason::RegionPriority => ConflictReason::RegionPriority,
            active::Reason::BothKept => ConflictReason::BothKept,
            active::Reason::AwaitsSettlement => ConflictReason::AwaitsSettlement,
        },
        state: match record.state {
            active::ConflictState::Overwritten => ConflictState::Overwritten,
            active::ConflictState::Kept => ConflictState::Kept,
            active::ConflictState::Quarantined => ConflictState::Quarantined,
        },
    }
}

fn version(version: ConflictVersion) -> Version {
    Version {
        region: version.region.to_string(),
        record: RecordId { origin: version.dot.origin.0, offset: version.dot.offset.0 },
        offset: version.local.0,
        written_at: time(version.time.time()),
        value: payload(version.value),
    }
}

fn payload(payload: active::Payload) -> Payload {
    match payload {
        active::Payload::Null => Payload::Null,
        active::Payload::Text(text) => Payload::Text(text),
        active::Payload::Hex(hex) => Payload::Hex(hex),
        active::Payload::TooLarge { bytes } => Payload::TooLarge { bytes },
    }
}

fn quarantined(disputed: Disputed) -> Quarantined {
    Quarantined {
        topic: disputed.topic.to_string(),
        partition: disputed.partition.0,
        key: payload(active::Payload::of(Some(&disputed.key))),
        key_hex: disputed.key.iter().map(|byte| format!("{byte:02x}")).collect(),
        versions: disputed.versions.into_iter().map(version).collect(),
    }
}

fn partition(view: &View, known: crate::ports::ActivePartition) -> ActivePartition {
    let tails: BTreeMap<_, _> = known.received.into_iter().collect();
    let lags: BTreeMap<_, _> = known.behind.into_iter().map(|behind| (behind.origin, behind)).collect();
    let origins: BTreeSet<_> = tails.keys().chain(lags.keys()).copied().collect();
    let received = origins.into_iter().map(|origin| {
        let mut regions = view.regions.iter().map(|region| &region.address);
        let region = regions.find(|region| region.incarnation == origin).map(|region| region.region.to_string());
        let (tail, lag) = (tails.get(&origin).copied().unwrap_or_default(), lags.get(&origin));
        Received {
            region,
            incarnation: origin.0,
            tail: tail.0,
            records_behind_max: lag.map(|lag| lag.records_max),
            behind_ms: lag.map(|lag| u64::try_from(lag.time.as_millis()).unwrap_or(u64::MAX)),
        }
    });
    ActivePartition {
        topic: known.topic.to_string(),
        partition: known.partition.0,
        received: received.collect(),
        records_brought: known.records,
        bytes_brought: known.bytes,
        bytes_taken: known.bytes_taken,
        repeats: known.repeats,
    }
}

fn dot(record: RecordId) -> Dot {
    Dot { origin: Incarnation(record.origin), offset: Offset(record.offset) }
}

fn unhex(text: &str) -> Answered<Vec<u8>> {
    let bytes: Option<Vec<u8>> = if text.is_ascii() && text.len().is_multiple_of(2) {
        let digits = (0..text.len()).step_by(2);
        digits.map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
    } else {
        None
    };
    bytes.ok_or_else(|| Refused::unprocessable(format!("key_hex {text:?} is not in pairs of hexadecimal digits")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_shown() {
        assert_eq!(unhex("6b00ff").unwrap(), [0x6b, 0, 0xff]);
        assert!(unhex("").unwrap().is_empty());
        for bad in ["6", "zz", "\u{e4}\u{e4}"] {
            assert!(unhex(bad).is_err(), "{bad}");
        }
    }
}
