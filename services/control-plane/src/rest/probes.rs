//! What watches the process itself asks.

use super::Api;
use super::refused::{Answered, Refused};
use ::api::ErrorCode;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use std::time::Duration;
use tokio::time::timeout;

/// How long the region's broker may take to say how it is.
const BROKER_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", tag = "probes",
    responses((status = 200, description = "It does.", body = String, content_type = "text/plain")))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the node can serve: it knows a leader of the council and its region's broker answers.
#[utoipa::path(get, path = "/readyz", tag = "probes",
    responses((status = 200, description = "It can.", body = String, content_type = "text/plain")))]
pub(super) async fn readyz(State(api): State<Api>) -> Answered<&'static str> {
    let not_ready = |what: String| Refused::new(ErrorCode::NotReady, what);
    if api.council().leadership().borrow().leader.is_none() {
        return Err(not_ready("this node knows no leader of the council".to_owned()));
    }
    if let Some(region) = &api.0.ports.region {
        let status = timeout(BROKER_TIMEOUT, region.status(false)).await;
        let status = status.map_err(|_| not_ready(format!("the broker did not answer within {BROKER_TIMEOUT:?}")))?;
        status.map_err(|error| not_ready(format!("the broker does not answer: {error}")))?;
    }
    Ok("ready\n")
}

/// The process's metrics, as Prometheus reads them.
#[utoipa::path(get, path = "/metrics", tag = "probes",
    responses((status = 200, description = "The metrics.", body = String, content_type = "text/plain")))]
pub(super) async fn metrics(State(api): State<Api>) -> Response {
    api.0.telemetry.update(&api.measure().await);
    ([("content-type", "text/plain; version=0.0.4")], api.0.telemetry.render()).into_response()
}
