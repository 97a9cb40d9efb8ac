//! OffsetDelete: a group forgets offsets of topics nobody in it reads.

use super::coordination::group_code;
use super::{Call, Reply, Started, cluster};
use crate::Broker;
use crate::replica::Passes;
use broker_core::metadata::Image;
use bytes::Bytes;
use model::{GroupId, PartitionId, TopicPartition};
use std::collections::BTreeSet;
use wire::ErrorCode;
use wire::api::offset_delete::{Partition, PartitionResponse, Request, Response, Topic, TopicResponse};

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let group = GroupId::new(&request.group_id);
    let pass = match broker.enter_group(&group) {
        Ok(pass) => pass,
        Err(not_here) => return Ok(call.reply(&refused(not_here.code()))),
    };
    let passes = Passes::new(vec![pass], broker.0.clock.clone());
    let broker = broker.clone();
    Ok(Reply::Later(Box::pin(async move {
        let response = delete(&broker, &group, request.topics).await;
        call.encode(&response).map(|outgoing| outgoing.acknowledging(passes))
    })))
}

fn refused(error_code: ErrorCode) -> Response {
    Response { error_code, ..Default::default() }
}

async fn delete(broker: &Broker, group: &GroupId, topics: Vec<Topic>) -> Response {
    if !broker.knows_group(group) {
        return refused(ErrorCode::GROUP_ID_NOT_FOUND);
    }
    let subscribed = match broker.subscribed_topics(group) {
        Ok(subscribed) => subscribed,
        Err(error) => return refused(group_code(&error)),
    };
    let (mut forgotten, image) = (Vec::new(), broker.image());
    let topics = topics.into_iter().map(|topic| of_topic(&image, &subscribed, topic, &mut forgotten)).collect();
    match broker.forget_commits(group, forgotten).await {
        Ok(()) => Response { topics, ..Default::default() },
        Err(error) => {
            tracing::warn!(%group, %error, "commits were not deleted");
            refused(ErrorCode::COORDINATOR_NOT_AVAILABLE)
        }
    }
}

fn of_topic(
    image: &Image,
    subscribed: &BTreeSet<String>,
    topic: Topic,
    forgotten: &mut Vec<TopicPartition>,
) -> TopicResponse {
    let known = cluster::topic_named(image, &topic.name);
    let outcome = |partition: &Partition| {
        let number = PartitionId(partition.partition_index);
        let error_code = match known.filter(|known| known.partition(number).is_some()) {
            _ if subscribed.contains(&topic.name) => ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC,
            None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            Some(known) => {
                forgotten.push(TopicPartition { topic: known.name.clone(), partition: number });
                ErrorCode::NONE
            }
        };
        PartitionResponse { partition_index: number.0, error_code, ..Default::default() }
    };
    let partitions = topic.partitions.iter().map(outcome).collect();
    TopicResponse { partitions, name: topic.name, ..Default::default() }
}
