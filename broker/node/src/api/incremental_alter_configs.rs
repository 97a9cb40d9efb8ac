//! IncrementalAlterConfigs: settings of topics change through the council, those of consumer groups in the region's
//! metadata; those of a broker are given at its start.

use super::configure::{self, Configured, Refusal};
use super::{Call, Started};
use crate::{Broker, ConfigChange};
use broker_core::config::Kind;
use broker_core::metadata::Image;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use wire::ErrorCode;
use wire::api::incremental_alter_configs::{
    APPEND, Config, DELETE, Request, Resource, ResourceResponse, Response, SET, SUBTRACT,
};

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let broker = broker.clone();
    Ok(call.reply_later(async move {
        let (mut responses, mut seen) = (Vec::with_capacity(request.resources.len()), BTreeSet::new());
        for resource in request.resources {
            let is_first = seen.insert((resource.resource_type, resource.resource_name.clone()));
            let altered = match is_first {
                true => alter(&broker, &resource, request.validate_only).await,
                false => Err(configure::twice("the resource")),
            };
            responses.push(response(resource, altered));
        }
        Some(Response { responses, ..Default::default() })
    }))
}

fn response(resource: Resource, altered: Result<(), Refusal>) -> ResourceResponse {
    let Resource { resource_type, resource_name, .. } = resource;
    let response = ResourceResponse { resource_type, resource_name, ..Default::default() };
    match altered {
        Ok(()) => response,
        Err((error_code, message)) => ResourceResponse { error_code, error_message: Some(message), ..response },
    }
}

async fn alter(broker: &Broker, resource: &Resource, validate_only: bool) -> Result<(), Refusal> {
    let (configured, changes) = changes(&broker.image(), resource)?;
    configure::apply(broker, configured, changes, validate_only).await
}

/// What is to become of whose own entries; every value was checked.
fn changes(image: &Image, resource: &Resource) -> Result<(Configured, Vec<ConfigChange>), Refusal> {
    let configured = configure::find(image, resource.resource_type, &resource.resource_name)?;
    let mut changes = BTreeMap::new();
    for config in &resource.configs {
        let value = changed(&configured, config)?;
        if changes.insert(config.name.clone(), value).is_some() {
            return Err(configure::twice(&config.name));
        }
    }
    Ok((configured, changes.into_iter().collect()))
}

/// The entry's new value; `None` takes it away.
fn changed(known: &Configured, config: &Config) -> Result<Option<String>, Refusal> {
    let invalid = |message: String| (ErrorCode::INVALID_CONFIG, message);
    let key = known.subject.key(&config.name)?;
    if config.config_operation == DELETE {
        return Ok(None);
    }
    let given = config.value.as_deref().ok_or_else(|| invalid(format!("{} needs a value", config.name)))?;
    let now = known.own.get(key.name).map_or(key.default, String::as_str);
    let value = match (config.config_operation, key.kind) {
        (SET, _) => given.to_owned(),
        (APPEND, Kind::List(_)) => listed(items(now).chain(items(given))),
        (SUBTRACT, Kind::List(_)) => listed(items(now).filter(|item| !items(given).any(|gone| gone == *item))),
        (APPEND | SUBTRACT, _) => return Err(invalid(format!("{} is no list; set it instead", config.name))),
        (other, _) => return Err((ErrorCode::INVALID_REQUEST, format!("there is no operation {other}"))),
    };
    key.check(&value).map_err(|error| invalid(error.to_string()))?;
    Ok(Some(value))
}

fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// Every item once, in the order they came.
fn listed<'a>(items: impl Iterator<Item = &'a str>) -> String {
    let mut once = Vec::new();
    for item in items {
        if !once.contains(&item) {
            once.push(item);
        }
    }
    once.join(",")
}

#[cfg(test)]
mod tests {
    use super::super::configure::Subject;
    use super::*;
    use model::TopicId;

    fn change(operation: i8, name: &str, value: Option<&str>) -> Result<Option<String>, ErrorCode> {
        let own = BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]);
        let known = Configured { subject: Subject::Topic(TopicId::default()), own };
        let config = Config {
            name: name.to_owned(),
            config_operation: operation,
            value: value.map(str::to_owned),
            ..Default::default()
        };
        changed(&known, &config).map_err(|(code, _)| code)
    }

    #[test]
    fn lists_grow_and_shrink_and_the_rest_is_set() {
        assert_eq!(change(SET, "retention.ms", Some("5")), Ok(Some("5".into())));
        assert_eq!(change(DELETE, "retention.ms", None), Ok(None));
        assert_eq!(change(APPEND, "cleanup.policy", Some("delete")), Ok(Some("compact,delete".into())));
        assert_eq!(change(APPEND, "cleanup.policy", Some("compact")), Ok(Some("compact".into())));
        assert_eq!(change(SUBTRACT, "cleanup.policy", Some("compact")), Err(ErrorCode::INVALID_CONFIG));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert_eq!(change(SET, "retention.msec", Some("5")), Err(ErrorCode::INVALID_CONFIG));
        assert_eq!(change(SET, "retention.ms", Some("soon")), Err(ErrorCode::INVALID_CONFIG));
        assert_eq!(change(SET, "retention.ms", None), Err(ErrorCode::INVALID_CONFIG));
        assert_eq!(change(APPEND, "retention.ms", Some("5")), Err(ErrorCode::INVALID_CONFIG));
        assert_eq!(change(9, "retention.ms", Some("5")), Err(ErrorCode::INVALID_REQUEST));
    }
}
