//! CreateTopics: topics are entries of the council first; answered when the owner region has made them real.

use super::{Call, Started, admin};
use crate::{Broker, CouncilError, NewTopic};
use broker_core::metadata::REPLICAS_ENTRY;
use bytes::Bytes;
use model::{TopicName, TopicSpec, limits};
use std::collections::{BTreeMap, BTreeSet};
use wire::ErrorCode;
use wire::api::create_topics::{ConfigResponse, Request, Response, Topic, TopicResponse};

/// "As the broker has it by default."
const DEFAULT: i32 = -1;

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let broker = broker.clone();
    Ok(call.reply_later(async move { Some(create_all(&broker, request).await) }))
}

async fn create_all(broker: &Broker, request: Request) -> Response {
    let twice = twice(&request.topics);
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let name = topic.name.clone();
        let made = match twice.contains(&name) {
            true => Err(Refusal(ErrorCode::INVALID_REQUEST, format!("{name} is there more than once in the request"))),
            false => create(broker, topic, request.validate_only, request.timeout_ms).await,
        };
        topics.push(made.unwrap_or_else(|refusal| refusal.response(name)));
    }
    Response { topics, ..Default::default() }
}

fn twice(topics: &[Topic]) -> BTreeSet<String> {
    let mut once = BTreeSet::new();
    topics.iter().map(|topic| &topic.name).filter(|name| !once.insert(*name)).cloned().collect()
}

/// Why a topic is not made.
struct Refusal(ErrorCode, String);

impl Refusal {
    fn response(self, name: String) -> TopicResponse {
        let Self(error_code, message) = self;
        TopicResponse { name, error_code, error_message: Some(message), ..Default::default() }
    }
}

impl From<CouncilError> for Refusal {
    fn from(error: CouncilError) -> Self {
        Self(admin::code(&error), error.to_string())
    }
}

async fn create(broker: &Broker, topic: Topic, validate_only: bool, timeout_ms: i32) -> Result<TopicResponse, Refusal> {
    let new = check(broker, topic)?;
    let making = broker.0.council.create_topic(new, validate_only);
    let spec = admin::within(timeout_ms, making).await?;
    Ok(response(broker, spec))
}

fn check(broker: &Broker, topic: Topic) -> Result<NewTopic, Refusal> {
    let name = TopicName::new(&topic.name);
    let name = name.map_err(|error| Refusal(ErrorCode::INVALID_TOPIC_EXCEPTION, error.to_string()))?;
    if name.is_internal() {
        let message = format!("{name} begins with \"__\", which the broker keeps for itself; choose another name");
        return Err(Refusal(ErrorCode::INVALID_TOPIC_EXCEPTION, message));
    }
    if !topic.assignments.is_empty() {
        let message = "replicas are placed by the broker; name a number of partitions instead of an assignment";
        return Err(Refusal(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message.to_owned()));
    }
    check_replication_factor(broker, topic.replication_factor)?;
    let partitions = partitions(broker, topic.num_partitions)?;
    let mut config = BTreeMap::new();
    for entry in topic.configs {
        let Some(value) = entry.value else { continue };
        config.insert(entry.name, value);
    }
    // Only what is no default is kept: in regions of other sizes the default is another one.
    if topic.replication_factor > 0 && topic.replication_factor != admin::replication_factor(broker) {
        config.insert(REPLICAS_ENTRY.to_owned(), topic.replication_factor.to_string());
    }
    broker_core::config::check_all(&config).map_err(|error| Refusal(ErrorCode::INVALID_CONFIG, error.to_string()))?;
    Ok(NewTopic { name, partitions, config })
}

fn check_replication_factor(broker: &Broker, asked: i16) -> Result<(), Refusal> {
    let brokers = admin::broker_count(broker);
    match i32::from(asked) {
        DEFAULT => Ok(()),
        given if (1..=brokers).contains(&given) => Ok(()),
        given if given > brokers => {
            let message = format!(
                "replication factor {given} is larger than the number of brokers, {brokers}; ask for at most {brokers}, \
                 or for -1, the default"
            );
            Err(Refusal(ErrorCode::INVALID_REPLICATION_FACTOR, message))
        }
        given => {
            let message =
                format!("replication factor {given} is not possible; ask for 1 to {brokers}, or for -1, the default");
            Err(Refusal(ErrorCode::INVALID_REPLICATION_FACTOR, message))
        }
    }
}

fn partitions(broker: &Broker, asked: i32) -> Result<i32, Refusal> {
    match asked {
        DEFAULT => Ok(broker.config().default_partitions),
        1..=limits::PARTITIONS_PER_TOPIC_MAX => Ok(asked),
        _ => {
            let most = limits::PARTITIONS_PER_TOPIC_MAX;
            let message =
                format!("a topic cannot have {asked} partitions; ask for 1 to {most}, or for -1, the default");
            Err(Refusal(ErrorCode::INVALID_PARTITIONS, message))
        }
    }
}

fn response(broker: &Broker, spec: TopicSpec) -> TopicResponse {
    let configs = admin::entries(broker, &spec.config).map(|entry| ConfigResponse {
        name: entry.key.name.to_owned(),
        value: Some(entry.value.to_owned()),
        config_source: entry.source,
        ..Default::default()
    });
    TopicResponse {
        name: spec.name.to_string(),
        topic_id: spec.id,
        num_partitions: spec.partitions,
        replication_factor: admin::replicas_of(broker, &spec.config),
        configs: Some(configs.collect()),
        ..Default::default()
    }
}
