//! What the requests that change topics share.

use crate::{Broker, CouncilError, Flush};
use broker_core::config::{FLUSH, INSYNC, KEYS, Key, min_insync_default};
use broker_core::metadata::{Topic, replicas_wanted};
use env::PortFuture;
use model::limits;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::timeout;
use wire::ErrorCode;

/// A source of a setting: the topic itself.
pub(crate) const FROM_TOPIC: i8 = 1;
/// A source of a setting: the consumer group itself.
pub(crate) const FROM_GROUP: i8 = 8;
/// A source of a setting: how the broker was started.
pub(crate) const FROM_BROKER: i8 = 4;
/// A source of a setting: nobody said anything.
pub(crate) const FROM_DEFAULT: i8 = 5;

/// Kafka's code for what the council says no to.
pub(crate) fn code(error: &CouncilError) -> ErrorCode {
    match error {
        CouncilError::Exists(_) => ErrorCode::TOPIC_ALREADY_EXISTS,
        CouncilError::Unknown(_) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        CouncilError::Invalid(_) => ErrorCode::INVALID_REQUEST,
        CouncilError::Refused(_) => ErrorCode::POLICY_VIOLATION,
        CouncilError::Unavailable(_) => ErrorCode::REQUEST_TIMED_OUT,
    }
}

/// The answer of the council, if it comes within the client's time.
///
/// # Errors
/// What the council says, or [`CouncilError::Unavailable`] when the time is up.
pub(crate) async fn within<T>(
    timeout_ms: i32,
    asked: PortFuture<'_, Result<T, CouncilError>>,
) -> Result<T, CouncilError> {
    let wait = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0)).min(limits::REQUEST_WAIT_MAX);
    let late =
        |_| CouncilError::Unavailable(format!("it took longer than {} ms; it may still happen", wait.as_millis()));
    timeout(wait, asked).await.map_err(late)?
}

/// How many brokers of the region are alive.
pub(crate) fn broker_count(broker: &Broker) -> i32 {
    let image = broker.image();
    let alive = image.brokers().filter(|(_, known)| !known.is_fenced()).count();
    i32::try_from(alive).unwrap_or(i32::MAX).max(1)
}

/// How many replicas a partition gets whose topic does not say.
pub(crate) fn replication_factor(broker: &Broker) -> i16 {
    replicas_of(broker, &BTreeMap::new())
}

/// How many replicas the partitions of a topic get that is configured so.
pub(crate) fn replicas_of(broker: &Broker, config: &BTreeMap<String, String>) -> i16 {
    i16::try_from(replicas_wanted(config).min(broker.config().broker_count())).unwrap_or(i16::MAX)
}

/// One setting of a topic as it holds.
pub(crate) struct Effective<'a> {
    /// Which.
    pub(crate) key: &'static Key,
    /// What it is.
    pub(crate) value: &'a str,
    /// Who said so.
    pub(crate) source: i8,
}

/// Every setting a topic can have, as it holds where the topic says `config`.
pub(crate) fn entries<'a>(
    broker: &Broker,
    config: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = Effective<'a>> + use<'a> {
    let flush = flush_name(broker.config().flush);
    let needs_two = min_insync_default(replicas_of(broker, config).unsigned_abs().into()) > 1;
    KEYS.iter().map(move |key| match config.get(key.name) {
        Some(value) => Effective { key, value, source: FROM_TOPIC },
        None if key.name == FLUSH => Effective { key, value: flush, source: FROM_BROKER },
        None if key.name == INSYNC && needs_two => Effective { key, value: "2", source: FROM_BROKER },
        None => Effective { key, value: key.default, source: FROM_DEFAULT },
    })
}

/// How a topic's configuration calls it.
pub(crate) fn flush_name(flush: Flush) -> &'static str {
    match flush {
        Flush::BeforeAck => "before-ack",
        Flush::Os => "os",
    }
}

/// Clients change no topic that is the broker's or Farshore's own.
///
/// # Errors
/// What to answer.
pub(crate) fn check_changeable(topic: &Topic) -> Result<(), (ErrorCode, String)> {
    if !topic.name.is_internal() {
        return Ok(());
    }
    Err((ErrorCode::INVALID_TOPIC_EXCEPTION, format!("{} is the broker's own; clients do not change it", topic.name)))
}
