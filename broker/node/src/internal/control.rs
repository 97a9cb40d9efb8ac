//! Control: what gateways and links ask by name. The payloads are JSON.

use crate::Broker;
use crate::api::{Call, Started};
use bytes::Bytes;
use model::{FollowMetadata, Leaders, SyncCommits, methods};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use wire::ErrorCode;
use wire::internal::control::{Request, Response};

/// The longest a follower may let a question wait.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Why a call was not answered: a code, and what is wrong.
type Refusal = (ErrorCode, String);

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let broker = broker.clone();
    Ok(call.reply_later(async move {
        let answer = answer(&broker, &request).await;
        Some(answer.unwrap_or_else(|(error, message)| {
            tracing::debug!(method = request.method, %error, message, "call refused");
            Response { error, payload: json(&message), ..Default::default() }
        }))
    }))
}

async fn answer(broker: &Broker, request: &Request) -> Result<Response, Refusal> {
    let payload = match request.method.as_str() {
        methods::FOLLOW_METADATA => json(&*newer_leaders(broker, read(&request.payload)?).await?),
        methods::SYNC_COMMITS => {
            let ask: SyncCommits = read(&request.payload)?;
            let page = broker.sync_commits(ask).await;
            json(&page.map_err(|message| (ErrorCode::NOT_COORDINATOR, message))?)
        }
        methods::CHECKPOINTS => json(&broker.checkpoints_asked(&read(&request.payload)?)),
        other => return Err((ErrorCode::UNSUPPORTED_VERSION, format!("there is no method {other}"))),
    };
    Ok(Response { payload, ..Default::default() })
}

/// The leaders, as soon as they are others than the asker has, or when the time is up.
async fn newer_leaders(broker: &Broker, ask: FollowMetadata) -> Result<Arc<Leaders>, Refusal> {
    let mut shown = broker.0.leaders.watch();
    let is_news = |shown: &Option<Arc<Leaders>>| shown.as_ref().is_some_and(|shown| shown.version != ask.since);
    let wait = Duration::from_millis(ask.max_wait_ms.into()).min(WAIT_MAX);
    let _ = timeout(wait, shown.wait_for(is_news)).await;
    // One that was fenced and has not heard of it would lead the asker astray.
    if broker.config().is_clustered() && !broker.0.gates.footing().stands(broker.0.clock.boot()) {
        return Err((ErrorCode::LEADER_NOT_AVAILABLE, "this broker is not let in; ask another one".to_owned()));
    }
    let leaders = shown.borrow().clone();
    let leaders =
        leaders.map(|leaders| if ask.brief && leaders.version == ask.since { only_version(&leaders) } else { leaders });
    leaders.ok_or_else(|| (ErrorCode::LEADER_NOT_AVAILABLE, "the region is starting".to_owned()))
}

fn only_version(leaders: &Leaders) -> Arc<Leaders> {
    let (topics, coordinators, brokers, fenced) = Default::default();
    let (region, version) = (leaders.region.clone(), leaders.version);
    Arc::new(Leaders { region, version, topics, coordinators, brokers, fenced })
}

fn read<T: DeserializeOwned>(payload: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(payload).map_err(|error| (ErrorCode::INVALID_REQUEST, error.to_string()))
}

fn json(value: &impl Serialize) -> Bytes {
    // Every payload is plain data with text keys, which JSON can hold.
    serde_json::to_vec(value).expect("plain data becomes JSON").into()
}
