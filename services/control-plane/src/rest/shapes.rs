//! How plain things look in documents.

use super::refused::{Answered, Refused};
use ::api::plans::Kind;
use ::api::protection_groups::Policy;
use ::api::runs::{Loss, RunState};
use ::api::{ErrorCode, OffsetRange};
use axum::Json;
use axum::http::header::{ETAG, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use dr_planner::{plan, policy, report, run};
use model::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// RFC 3339 in UTC.
pub(super) fn time(time: Timestamp) -> String {
    time.to_string()
}

pub(super) fn maybe_time(time: Option<Timestamp>) -> Option<String> {
    time.map(self::time)
}

/// Milliseconds from `start` to `end`, or so far.
pub(super) fn duration_ms(start: Timestamp, end: Option<Timestamp>, now: Timestamp) -> u64 {
    end.unwrap_or(now).since(start).as_millis() as u64
}

pub(super) const fn kind(kind: plan::Kind) -> Kind {
    match kind {
        plan::Kind::Failover => Kind::Failover,
        plan::Kind::Switchover => Kind::Switchover,
        plan::Kind::Failback => Kind::Failback,
        plan::Kind::Drill => Kind::Drill,
    }
}

pub(super) const fn run_state(state: run::State) -> RunState {
    match state {
        run::State::Running => RunState::Running,
        run::State::Paused => RunState::Paused,
        run::State::Unwinding => RunState::Unwinding,
        run::State::Succeeded => RunState::Succeeded,
        run::State::RolledBack => RunState::RolledBack,
        run::State::Stuck => RunState::Stuck,
        run::State::Failed => RunState::Failed,
    }
}

pub(super) const fn loss(loss: report::Loss) -> Loss {
    Loss { records: loss.records, bytes: loss.bytes, seconds: loss.seconds }
}

pub(super) fn range(range: model::OffsetRange) -> OffsetRange {
    range.into()
}

/// A policy as clients see it: both have the same JSON.
pub(super) fn shown_policy(policy: &policy::Group) -> Policy {
    let json = serde_json::to_value(policy).expect("a policy has a JSON form");
    serde_json::from_value(json).expect("a policy is shown as it is stored")
}

/// A policy as clients ask for it.
pub(super) fn asked_policy(policy: &Policy) -> Answered<policy::Group> {
    let json = serde_json::to_value(policy).expect("a policy has a JSON form");
    serde_json::from_value(json).map_err(Refused::unprocessable)
}

/// A thing and the version it has.
pub(super) fn tagged<T: Serialize>(body: T, revision: u64) -> Response {
    ([(ETAG, format!("\"{revision}\""))], Json(body)).into_response()
}

/// A thing that was made at `location`.
pub(super) fn created<T: Serialize>(body: T, location: &str) -> Answered<Response> {
    located(StatusCode::CREATED, body, location)
}

/// Work that was begun; `location` tells how it goes.
pub(super) fn accepted<T: Serialize>(body: T, location: &str) -> Answered<Response> {
    located(StatusCode::ACCEPTED, body, location)
}

fn located<T: Serialize>(status: StatusCode, body: T, location: &str) -> Answered<Response> {
    let location = HeaderValue::from_str(location)
        .map_err(|_| Refused::new(ErrorCode::Internal, format!("{location:?} is no place")))?;
    Ok((status, [(LOCATION, location)], Json(body)).into_response())
}

/// The same number for the same request: what a request of this key makes is named after it.
pub(super) fn fingerprint(key: &str, what: &str) -> u128 {
    let digest = Sha256::new().chain_update(what).chain_update([0]).chain_update(key).finalize();
    let (first, _) = digest.split_at(16);
    u128::from_be_bytes(first.try_into().expect("half of a SHA-256"))
}

/// The name of the work that a request with this key begins.
pub(super) fn keyed_name(kind: &str, key: Option<&String>, what: &str) -> Option<String> {
    key.map(|key| format!("{kind}-{:012x}", fingerprint(key, &format!("{kind} {what}")) >> 80))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_of_a_key_has_one_name() {
        let name = |key: &str, what| keyed_name("backup", Some(&key.to_owned()), what);
        assert_eq!(name("k", "default"), name("k", "default"));
        assert_ne!(name("k", "default"), name("k", "eu"));
        assert_ne!(name("k", "default"), name("l", "default"));
        assert_eq!(keyed_name("backup", None, "default"), None);
    }

    #[test]
    fn a_policy_goes_there_and_back() {
        let text = r#"{"name":"eu","home":"r1","standbys":["r2"],"coverage":{"topics":[{"prefix":"eu."},"any"]}}"#;
        let asked: Policy = serde_json::from_str(text).unwrap();
        let policy = asked_policy(&asked).unwrap();
        assert_eq!(shown_policy(&policy), asked);
        let nameless = Policy { home: "not a name".into(), ..asked };
        assert_eq!(asked_policy(&nameless).unwrap_err().0.code, ErrorCode::Unprocessable);
    }
}
