//! ListConfigResources: which topics, brokers and consumer groups have settings. Client metrics and loggers have none.

use super::{Call, Started, cluster};
use crate::Broker;
use bytes::Bytes;
use model::TopicState;
use wire::ErrorCode;
use wire::api::describe_configs::{BROKER, TOPIC};
use wire::api::list_config_resources::{CLIENT_METRICS, ConfigResource, GROUP, Request, Response};

/// From this version on a request names types; before, it means client metrics.
const FIRST_WITH_TYPES: i16 = 1;
/// A resource type: the loggers of a broker.
const BROKER_LOGGER: i8 = 8;
/// The types Kafka lists.
const LISTED: [i8; 5] = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let response = match types(call.header.api_version, request.resource_types) {
        Some(types) => Response { config_resources: list(broker, &types), ..Default::default() },
        None => Response { error_code: ErrorCode::UNSUPPORTED_VERSION, ..Default::default() },
    };
    Ok(call.reply(&response))
}

/// The types that are meant; `None` if one is not known.
fn types(version: i16, asked: Vec<i8>) -> Option<Vec<i8>> {
    let meant = match asked.is_empty() {
        _ if version < FIRST_WITH_TYPES => vec![CLIENT_METRICS],
        true => LISTED.to_vec(),
        false => asked,
    };
    meant.iter().all(|one| LISTED.contains(one)).then_some(meant)
}

fn list(broker: &Broker, types: &[i8]) -> Vec<ConfigResource> {
    let image = broker.image();
    let resource = |resource_type, resource_name| ConfigResource { resource_name, resource_type, ..Default::default() };
    let mut resources = Vec::new();
    if types.contains(&BROKER) {
        let slots = image.brokers().map(|(slot, _)| slot);
        resources.extend(slots.map(|slot| resource(BROKER, cluster::node_id(broker, slot).to_string())));
    }
    if types.contains(&TOPIC) {
        let live = image.topics().filter(|topic| topic.state == TopicState::Live);
        resources.extend(live.map(|topic| resource(TOPIC, topic.name.to_string())));
    }
    if types.contains(&GROUP) {
        resources.extend(image.group_entries().keys().map(|group| resource(GROUP, group.to_string())));
    }
    resources
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_version_means_client_metrics_and_later_ones_what_they_name() {
        assert_eq!(types(0, vec![]), Some(vec![CLIENT_METRICS]));
        assert_eq!(types(1, vec![]), Some(LISTED.to_vec()));
        assert_eq!(types(1, vec![TOPIC]), Some(vec![TOPIC]));
        assert_eq!(types(1, vec![TOPIC, 3]), None);
    }
}
