//! AlterConfigs: a topic or a consumer group gets the settings of the request, and no others.

use super::configure::{self, Configured, Refusal, Subject};
use super::{Call, Started};
use crate::{Broker, ConfigChange};
use broker_core::metadata::Image;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use wire::ErrorCode;
use wire::api::alter_configs::{Config, Request, Resource, ResourceResponse, Response};

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

fn changes(image: &Image, resource: &Resource) -> Result<(Configured, Vec<ConfigChange>), Refusal> {
    let configured = configure::find(image, resource.resource_type, &resource.resource_name)?;
    let changes = replace(&configured, &resource.configs)?;
    Ok((configured, changes))
}

/// What becomes of the own entries: those of the request are set, the others go. Every value was checked.
fn replace(known: &Configured, wanted: &[Config]) -> Result<Vec<ConfigChange>, Refusal> {
    let mut changes: BTreeMap<_, _> = known.own.keys().map(|name| (name.clone(), None)).collect();
    let mut seen = BTreeSet::new();
    for config in wanted {
        if !seen.insert(config.name.as_str()) {
            return Err(configure::twice(&config.name));
        }
        changes.insert(config.name.clone(), Some(checked(&known.subject, config)?));
    }
    Ok(changes.into_iter().collect())
}

fn checked(subject: &Subject, config: &Config) -> Result<String, Refusal> {
    let key = subject.key(&config.name)?;
    let without = || (ErrorCode::INVALID_REQUEST, format!("{} needs a value; leave it away instead", config.name));
    let value = config.value.clone().ok_or_else(without)?;
    key.check(&value).map_err(|error| (ErrorCode::INVALID_CONFIG, error.to_string()))?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::TopicId;

    fn config(name: &str, value: Option<&str>) -> Config {
        Config { name: name.to_owned(), value: value.map(str::to_owned), ..Default::default() }
    }

    fn replaced(wanted: &[Config]) -> Result<Vec<ConfigChange>, ErrorCode> {
        let own = BTreeMap::from([("cleanup.policy".into(), "compact".into()), ("retention.ms".into(), "5".into())]);
        let known = Configured { subject: Subject::Topic(TopicId::default()), own };
        replace(&known, wanted).map_err(|(code, _)| code)
    }

    #[test]
    fn what_the_request_leaves_out_goes_back_to_its_default() {
        let changes = replaced(&[config("retention.ms", Some("7")), config("segment.bytes", Some("2048"))]).unwrap();
        let set = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        let kept = [("cleanup.policy".to_owned(), None), set("retention.ms", "7"), set("segment.bytes", "2048")];
        assert_eq!(changes, kept);
        assert_eq!(replaced(&[]).unwrap().len(), 2, "an empty request takes all away");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert_eq!(replaced(&[config("retention.msec", Some("7"))]), Err(ErrorCode::INVALID_CONFIG));
        assert_eq!(replaced(&[config("retention.ms", Some("soon"))]), Err(ErrorCode::INVALID_CONFIG));
        assert_eq!(replaced(&[config("retention.ms", None)]), Err(ErrorCode::INVALID_REQUEST));
        let twice = [config("retention.ms", Some("7")), config("retention.ms", Some("8"))];
        assert_eq!(replaced(&twice), Err(ErrorCode::INVALID_REQUEST));
    }
}
