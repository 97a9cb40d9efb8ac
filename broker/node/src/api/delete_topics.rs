//! DeleteTopics: the council forgets them first; answered when the owner region has.

use super::{Call, Started, admin, cluster};
use crate::Broker;
use broker_core::metadata::Image;
use bytes::Bytes;
use model::{TopicId, TopicState};
use wire::ErrorCode;
use wire::api::delete_topics::{Request, Response, Topic, TopicResponse};

/// From this version on topics are named by name or by id.
const FIRST_WITH_IDS: i16 = 6;

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let topics = match call.header.api_version {
        FIRST_WITH_IDS.. => request.topics,
        _ => request.topic_names.into_iter().map(named).collect(),
    };
    let broker = broker.clone();
    Ok(call.reply_later(async move {
        let mut responses = Vec::with_capacity(topics.len());
        for topic in topics {
            responses.push(delete(&broker, topic, request.timeout_ms).await);
        }
        Some(Response { responses, ..Default::default() })
    }))
}

fn named(name: String) -> Topic {
    Topic { name: Some(name), ..Default::default() }
}

async fn delete(broker: &Broker, asked: Topic, timeout_ms: i32) -> TopicResponse {
    let (name, topic_id) = match find(&broker.image(), &asked) {
        Ok(found) => found,
        Err((error_code, message)) => {
            let Topic { name, topic_id, .. } = asked;
            return TopicResponse { name, topic_id, error_code, error_message: Some(message), ..Default::default() };
        }
    };
    let deleting = broker.0.council.delete_topic(topic_id);
    let response = TopicResponse { name: Some(name), topic_id, ..Default::default() };
    match admin::within(timeout_ms, deleting).await {
        Ok(()) => response,
        Err(error) => {
            TopicResponse { error_code: admin::code(&error), error_message: Some(error.to_string()), ..response }
        }
    }
}

/// Name and id of the topic that is meant.
fn find(image: &Image, asked: &Topic) -> Result<(String, TopicId), (ErrorCode, String)> {
    let found = match &asked.name {
        Some(_) if asked.topic_id != TopicId::ZERO => {
            return Err((ErrorCode::INVALID_REQUEST, "name the topic or its id, not both".to_owned()));
        }
        Some(name) => cluster::topic_named(image, name)
            .ok_or_else(|| (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, format!("there is no topic {name}"))),
        None => image
            .topic(asked.topic_id)
            .filter(|topic| topic.state == TopicState::Live)
            .ok_or_else(|| (ErrorCode::UNKNOWN_TOPIC_ID, format!("there is no topic with id {}", asked.topic_id))),
    };
    let topic = found?;
    admin::check_changeable(topic)?;
    Ok((topic.name.to_string(), topic.id))
}
