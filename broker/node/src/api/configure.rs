//! What the two ways to change settings share: AlterConfigs, which replaces all, and IncrementalAlterConfigs.

use super::{admin, cluster};
use crate::{Broker, ConfigChange};
use broker_core::config::{self, ConfigError, Key};
use broker_core::metadata::{Command, Image};
use model::limits::CONFIGURED_GROUP_NAME_BYTES_MAX;
use model::{GroupId, TopicId};
use std::collections::BTreeMap;
use wire::ErrorCode;
use wire::api::describe_configs::{BROKER, TOPIC};
use wire::api::list_config_resources::GROUP;

/// The requests have no time limit of their own.
const TIMEOUT_MS: i32 = 30_000;

/// Why nothing was changed.
pub(crate) type Refusal = (ErrorCode, String);

/// What has settings that clients may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Topic(TopicId),
    /// A consumer group, which need not be there yet.
    Group(GroupId),
}

/// A subject with the entries it has.
pub(crate) struct Configured {
    pub(crate) subject: Subject,
    pub(crate) own: BTreeMap<String, String>,
}

/// What is to change its settings.
///
/// # Errors
/// It is neither a topic nor a group, is not there, or is not the client's to change.
pub(crate) fn find(image: &Image, resource_type: i8, name: &str) -> Result<Configured, Refusal> {
    match resource_type {
        TOPIC => topic(image, name),
        GROUP => {
            let group = group(image, name)?;
            let own = image.group_entries().get(&group).cloned().unwrap_or_default();
            Ok(Configured { subject: Subject::Group(group), own })
        }
        BROKER => {
            let message = "settings of a broker cannot be changed while it runs; give them when it is started";
            Err((ErrorCode::INVALID_REQUEST, message.to_owned()))
        }
        other => Err((ErrorCode::INVALID_REQUEST, format!("there are no settings of resource type {other}"))),
    }
}

fn topic(image: &Image, name: &str) -> Result<Configured, Refusal> {
    let unknown = || (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, format!("there is no topic {name}"));
    let topic = cluster::topic_named(image, name).ok_or_else(unknown)?;
    admin::check_changeable(topic)?;
    Ok(Configured { subject: Subject::Topic(topic.id), own: topic.config.clone() })
}

/// The group of that name.
///
/// # Errors
/// It has no name, as the default of all groups, or one that is too long; or another region coordinates it.
pub(crate) fn group(image: &Image, name: &str) -> Result<GroupId, Refusal> {
    let group = group_named(name)?;
    match image.coordinating_group(&group) {
        Some(known) if known.owned => Ok(group),
        Some(known) => {
            let owner = &known.grant.owner;
            let message =
                format!("region {owner} coordinates group {group} and keeps its settings; ask it or the gateway");
            Err((ErrorCode::NOT_COORDINATOR, message))
        }
        None => Err((ErrorCode::NOT_COORDINATOR, format!("it is not known yet who coordinates group {group}"))),
    }
}

fn group_named(name: &str) -> Result<GroupId, Refusal> {
    match name.len() {
        0 => Err((ErrorCode::INVALID_REQUEST, "settings belong to one group; name it".to_owned())),
        1..=CONFIGURED_GROUP_NAME_BYTES_MAX => Ok(GroupId::new(name)),
        bytes => {
            let most = CONFIGURED_GROUP_NAME_BYTES_MAX;
            let message = format!("a group with settings has a name of at most {most} bytes, not {bytes}");
            Err((ErrorCode::INVALID_REQUEST, message))
        }
    }
}

impl Subject {
    /// The setting called `name`.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn key(&self, name: &str) -> Result<&'static Key, Refusal> {
        let name_of = |name: &str| name.to_owned();
        let found = match self {
            Self::Topic(_) => config::key(name).ok_or_else(|| ConfigError::UnknownKey { name: name_of(name) }),
            Self::Group(_) => {
                config::group_key(name).ok_or_else(|| ConfigError::UnknownGroupKey { name: name_of(name) })
            }
        };
        found.map_err(invalid)
    }
}

fn invalid(error: ConfigError) -> Refusal {
    (ErrorCode::INVALID_CONFIG, error.to_string())
}

/// What a request may name only once is there again.
pub(crate) fn twice(what: &str) -> Refusal {
    (ErrorCode::INVALID_REQUEST, format!("{what} is there more than once in the request"))
}

/// Has the settings changed: a topic's by the council, a group's in the region's metadata.
///
/// # Errors
/// Why they were not, in Kafka's code.
pub(crate) async fn apply(
    broker: &Broker,
    configured: Configured,
    changes: Vec<ConfigChange>,
    validate_only: bool,
) -> Result<(), Refusal> {
    match configured.subject {
        Subject::Topic(topic) => {
            let altering = broker.0.council.alter_config(topic, changes, validate_only);
            let altered = admin::within(TIMEOUT_MS, altering).await;
            altered.map_err(|error| (admin::code(&error), error.to_string()))
        }
        Subject::Group(group) => {
            let mut after = configured.own;
            config::change_entries(&mut after, changes.iter().cloned());
            config::check_group(&after, &broker.group_settings()).map_err(invalid)?;
            if validate_only { Ok(()) } else { change_group(broker, group, changes).await }
        }
    }
}

async fn change_group(broker: &Broker, group: GroupId, changes: Vec<ConfigChange>) -> Result<(), Refusal> {
    let failed = |message: String| (ErrorCode::REQUEST_TIMED_OUT, message);
    let control = broker.0.control.get();
    let control = control.ok_or_else(|| failed("this broker keeps no metadata, so groups have no settings".into()))?;
    let changed = control.change(vec![Command::ConfigureGroup { group, changes }]).await;
    changed.map(drop).map_err(|error| failed(error.to_string()))
}
