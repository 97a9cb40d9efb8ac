//! The events of a run, as a list or as server-sent events.

use super::Api;
use super::asked::{Path, Query, limit, name};
use super::refused::{Answered, Refused};
use super::runs::step_of;
use super::shapes::time;
use ::api::runs::RunEvent;
use ::api::{ErrorCode, Page, Paging};
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use axum::response::sse::{Event as Sent, KeepAlive};
use axum::response::{IntoResponse, Response, Sse};
use catalog::reader::StoredEvent;
use dr_planner::run::{Event, Output};
use futures::Stream;
use futures::stream::unfold;
use model::RunId;
use serde::Deserialize;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::watch;
use utoipa::IntoParams;

/// How often a line is sent while nothing happens, so that nobody takes the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// The most events that are read at once.
const EVENTS_AT_ONCE: u32 = 100;

/// Where to begin.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct From {
    /// The number of the first event wanted; `Last-Event-ID` comes before it.
    from: Option<u64>,
}

/// The events of a run. Server-sent events follow the run, first what has happened, then what happens, until it has ended;
/// the id of each is its number, so that a client that lost its connection goes on behind `Last-Event-ID`. A client that
/// accepts `application/json` and no `text/event-stream` is given what has happened so far, as a list.
#[utoipa::path(get, path = "/v1/runs/{id}/events", tag = "runs",
    params(("id", description = "The run's name."), From, Paging,
        ("Last-Event-ID" = Option<u64>, Header, description = "The last event the client has.")),
    responses((status = 200, description = "Server-sent events, each with a `RunEvent` for data, or a page of them.",
        content((RunEvent = "text/event-stream"), (Page<RunEvent> = "application/json")))))]
pub(super) async fn follow(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(asked): Query<From>,
    Query(paging): Query<Paging>,
    headers: HeaderMap,
) -> Answered<Response> {
    let run: RunId = name(&id)?;
    let known = api.reader().run_summary(&run).await?;
    known.ok_or_else(|| Refused::unknown("run", &run))?;
    let next = begin(&headers)?.or(asked.from).unwrap_or_default();
    if wants_list(&headers) {
        return Ok(Json(api.events_so_far(&run, next, &paging).await?).into_response());
    }
    Ok(Sse::new(api.following(run, next)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

fn wants_list(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join(",");
    accepted.contains("application/json") && !accepted.contains("text/event-stream")
}

impl Api {
    async fn events_so_far(&self, run: &RunId, next: u64, paging: &Paging) -> Answered<Page<RunEvent>> {
        let from = paging.after.as_deref().map(number).transpose()?.map_or(next, |last| last.saturating_add(1));
        let limit = limit(paging)?;
        let mut events = self.reader().run_events(run, from, Some(limit + 1)).await?;
        let more = events.len() > limit as usize;
        events.truncate(limit as usize);
        let next = events.last().filter(|_| more).map(|last| last.seq.to_string());
        Ok(Page { items: events.iter().map(shown).collect(), next })
    }

    fn following(&self, run: RunId, next: u64) -> impl Stream<Item = Result<Sent, Infallible>> + use<> {
        let progress = self.reader().watch_progress();
        let follower = Follower { api: self.clone(), run, next, progress, ready: VecDeque::new(), has_ended: false };
        unfold(follower, |mut follower| async move {
            let event = follower.next().await?;
            Some((Ok(sent(&event)), follower))
        })
    }
}

/// The event behind the last one the client has.
fn begin(headers: &HeaderMap) -> Answered<Option<u64>> {
    let Some(last) = headers.get("last-event-id") else { return Ok(None) };
    Ok(Some(number(last.to_str().unwrap_or_default())?.saturating_add(1)))
}

fn number(text: &str) -> Answered<u64> {
    let what =
        || Refused::new(ErrorCode::InvalidRequest, format!("the last event is named by its number, not {text:?}"));
    text.trim().parse().map_err(|_| what())
}

struct Follower {
    api: Api,
    run: RunId,
    next: u64,
    progress: watch::Receiver<u64>,
    ready: VecDeque<StoredEvent>,
    has_ended: bool,
}

impl Follower {
    /// The next event; `None` behind the last.
    async fn next(&mut self) -> Option<RunEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.next = event.seq + 1;
                self.has_ended = matches!(event.event, Event::Finished { .. });
                return Some(shown(&event));
            }
            if self.has_ended {
                return None;
            }
            // Marked before reading, so that what is applied meanwhile is not missed.
            self.progress.borrow_and_update();
            let events = self.api.reader().run_events(&self.run, self.next, Some(EVENTS_AT_ONCE)).await;
            self.ready = events.map_err(|error| tracing::warn!(%error, "events cannot be read")).ok()?.into();
            if self.ready.is_empty() {
                self.wait().await?;
            }
        }
    }

    /// Waits for news; `None` when there can be none, because the client has the last event already.
    async fn wait(&mut self) -> Option<()> {
        let run = self.api.reader().run_summary(&self.run).await.ok()??;
        if run.state.is_terminal() && self.next >= run.events {
            return None;
        }
        self.progress.changed().await.ok()
    }
}

fn sent(event: &RunEvent) -> Sent {
    let data = serde_json::to_string(event).expect("an event has a JSON form");
    Sent::default().id(event.seq.to_string()).event(event.event.clone()).data(data)
}

fn shown(stored: &StoredEvent) -> RunEvent {
    RunEvent {
        seq: stored.seq,
        at: time(stored.at),
        by: stored.by.clone(),
        event: stored.event.name().to_owned(),
        step: step_of(&stored.event).map(ToString::to_string),
        message: message(&stored.event),
        detail: serde_json::to_value(&stored.event).unwrap_or_default(),
    }
}

/// The event in words.
fn message(event: &Event) -> String {
    match event {
        Event::Created { plan, .. } => format!("the run of plan {plan} begins"),
        Event::StepStarted { step, attempt: 1 } => format!("{step} begins"),
        Event::StepStarted { step, attempt } => format!("{step} begins, attempt {attempt}"),
        Event::StepSucceeded { step, output } => format!("{step} is done{}", told(output)),
        Event::StepFailed { step, error, .. } => format!("{step} failed: {error}"),
        Event::UndoStarted { step, .. } => format!("{step} is being undone"),
        Event::UndoSucceeded { step } => format!("{step} is undone"),
        Event::UndoFailed { step, error, .. } => format!("{step} could not be undone: {error}"),
        Event::Paused { reason } => format!("the run is paused: {reason}"),
        Event::Resumed => "the run goes on".to_owned(),
        Event::CancelRequested { reason, .. } => format!("the run shall end: {reason}"),
        Event::Finished { outcome } => format!("the run {outcome}"),
    }
}

fn told(output: &Output) -> String {
    match output {
        Output::LeaseOver { until, .. } => format!(": the old lease was over at {until}"),
        Output::Sealed { partitions } => format!(": {} partitions sealed", partitions.len()),
        Output::Pivoted { ownership_epoch, .. } => format!(": ownership epoch {}", ownership_epoch.0),
        Output::Redirected { route_epoch } => format!(": route epoch {route_epoch}"),
        Output::Canary { produced_at, consumed_at } => {
            format!(": a record produced at {produced_at} was consumed at {consumed_at}")
        }
        Output::Done | Output::Stopped { .. } | Output::CaughtUp { .. } | Output::Opened { .. } | Output::Simulated => {
            String::new()
        }
    }
}
