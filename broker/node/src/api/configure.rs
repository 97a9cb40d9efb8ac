//! What the two ways to change settings share: AlterConfigs, which replaces all, and IncrementalAlterConfigs.

use super::{admin, cluster};
use crate::{Broker, ConfigChange};
use broker_core::config::{self, ConfigError, Key};
use broker_core::metadata::{Image, Topic};
use model::TopicId;
use wire::ErrorCode;
use wire::api::describe_configs::{BROKER, TOPIC};

/// The requests have no time limit of their own.
const TIMEOUT_MS: i32 = 30_000;

/// Why nothing was changed.
pub(crate) type Refusal = (ErrorCode, String);

/// The topic whose settings are to change.
///
/// # Errors
/// It is no topic, is not there, or is not the client's to change.
pub(crate) fn topic<'a>(image: &'a Image, resource_type: i8, name: &str) -> Result<&'a Topic, Refusal> {
    match resource_type {
        TOPIC => {}
        BROKER => {
            let message = "settings of a broker cannot be changed while it runs; give them when it is started";
            return Err((ErrorCode::INVALID_REQUEST, message.to_owned()));
        }
        other => return Err((ErrorCode::INVALID_REQUEST, format!("there are no settings of resource type {other}"))),
    }
    let unknown = || (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, format!("there is no topic {name}"));
    let topic = cluster::topic_named(image, name).ok_or_else(unknown)?;
    admin::check_changeable(topic)?;
    Ok(topic)
}

/// The setting called `name`.
///
/// # Errors
/// There is none.
pub(crate) fn key(name: &str) -> Result<&'static Key, Refusal> {
    let unknown = || (ErrorCode::INVALID_CONFIG, ConfigError::UnknownKey { name: name.to_owned() }.to_string());
    config::key(name).ok_or_else(unknown)
}

/// What a request may name only once is there again.
pub(crate) fn twice(what: &str) -> Refusal {
    (ErrorCode::INVALID_REQUEST, format!("{what} is there more than once in the request"))
}

/// Has the council change the topic's settings.
///
/// # Errors
/// What the council says, in Kafka's code.
pub(crate) async fn apply(
    broker: &Broker,
    topic: TopicId,
    changes: Vec<ConfigChange>,
    validate_only: bool,
) -> Result<(), Refusal> {
    let altering = broker.0.council.alter_config(topic, changes, validate_only);
    let altered = admin::within(TIMEOUT_MS, altering).await;
    altered.map_err(|error| (admin::code(&error), error.to_string()))
}
