//! CreatePartitions: a topic gets more partitions, never fewer.

use super::{Call, Started, admin, cluster};
use crate::Broker;
use broker_core::metadata::Image;
use bytes::Bytes;
use model::{TopicId, limits};
use std::collections::BTreeSet;
use wire::ErrorCode;
use wire::api::create_partitions::{Request, Response, Topic, TopicResponse};

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let broker = broker.clone();
    Ok(call.reply_later(async move {
        let (mut results, mut seen) = (Vec::with_capacity(request.topics.len()), BTreeSet::new());
        for topic in request.topics {
            let is_first = seen.insert(topic.name.clone());
            let grown = match is_first {
                true => grow(&broker, &topic, request.timeout_ms, request.validate_only).await,
                false => {
                    Err((ErrorCode::INVALID_REQUEST, format!("{} is there more than once in the request", topic.name)))
                }
            };
            let (error_code, error_message) = match grown {
                Ok(()) => (ErrorCode::NONE, None),
                Err((code, message)) => (code, Some(message)),
            };
            results.push(TopicResponse { name: topic.name, error_code, error_message, ..Default::default() });
        }
        Some(Response { results, ..Default::default() })
    }))
}

async fn grow(broker: &Broker, asked: &Topic, timeout_ms: i32, validate_only: bool) -> Result<(), (ErrorCode, String)> {
    let topic = check(&broker.image(), asked)?;
    let growing = broker.0.council.add_partitions(topic, asked.count, validate_only);
    let grown = admin::within(timeout_ms, growing).await;
    grown.map_err(|error| (admin::code(&error), error.to_string()))
}

fn check(image: &Image, asked: &Topic) -> Result<TopicId, (ErrorCode, String)> {
    let unknown = || (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, format!("there is no topic {}", asked.name));
    let topic = cluster::topic_named(image, &asked.name).ok_or_else(unknown)?;
    admin::check_changeable(topic)?;
    if asked.assignments.as_ref().is_some_and(|assignments| !assignments.is_empty()) {
        let message = "replicas are placed by the broker; leave the assignment away";
        return Err((ErrorCode::INVALID_REPLICA_ASSIGNMENT, message.to_owned()));
    }
    let (known, most) = (topic.partition_count(), limits::PARTITIONS_PER_TOPIC_MAX);
    if asked.count <= known || asked.count > most {
        let message =
            format!("{} has {known} partitions; ask for {} to {most}, not {}", topic.name, known + 1, asked.count);
        return Err((ErrorCode::INVALID_PARTITIONS, message));
    }
    Ok(topic.id)
}
