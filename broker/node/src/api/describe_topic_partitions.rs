//! DescribeTopicPartitions: topics by name, page by page.

use super::metadata::{TOLD_WITHIN, told};
use super::{Call, Started, cluster};
use crate::Broker;
use broker_core::metadata::{Image, Topic};
use bytes::Bytes;
use model::{TopicName, TopicState};
use std::collections::BTreeSet;
use tokio::time::Instant;
use wire::ErrorCode;
use wire::api::describe_topic_partitions::{Cursor, PartitionResponse, Request, Response, TopicResponse};

/// The most partitions of one page (Kafka's `max.request.partition.size.limit`).
const PAGE_MAX: usize = 2000;

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let broker = broker.clone();
    Ok(call.reply_later(async move {
        let image = told(&broker, Instant::now() + TOLD_WITHIN).await?;
        Some(answer(&broker, &image, &request))
    }))
}

fn answer(broker: &Broker, image: &Image, request: &Request) -> Response {
    let limit = usize::try_from(request.response_partition_limit).unwrap_or(0).clamp(1, PAGE_MAX);
    let mut page = Page { broker, limit, topics: Vec::new(), next: None };
    for name in names(image, request) {
        let from = request.cursor.as_ref().filter(|cursor| cursor.topic_name == name);
        let from = from.map_or(0, |cursor| usize::try_from(cursor.partition_index).unwrap_or(0));
        page.add(image, name, from);
        if page.next.is_some() {
            break;
        }
    }
    Response { topics: page.topics, next_cursor: page.next, ..Default::default() }
}

/// The names asked for, or all, in order, from the cursor on.
fn names(image: &Image, request: &Request) -> BTreeSet<String> {
    let from = request.cursor.as_ref().map_or("", |cursor| cursor.topic_name.as_str());
    let live = image.topics().filter(|topic| topic.state == TopicState::Live).map(|topic| topic.name.as_str());
    let asked = request.topics.iter().map(|topic| topic.name.as_str());
    let names: BTreeSet<&str> = if request.topics.is_empty() { live.collect() } else { asked.collect() };
    names.into_iter().filter(|name| *name >= from).map(str::to_owned).collect()
}

struct Page<'a> {
    broker: &'a Broker,
    /// How many partitions still have room.
    limit: usize,
    topics: Vec<TopicResponse>,
    next: Option<Cursor>,
}

impl Page<'_> {
    /// Adds the topic from partition `from` on, or as much of it as has room.
    fn add(&mut self, image: &Image, name: String, from: usize) {
        match cluster::topic_named(image, &name) {
            Some(topic) => self.add_known(image, topic, from),
            None => self.topics.push(unknown(name)),
        }
    }

    fn add_known(&mut self, image: &Image, topic: &Topic, from: usize) {
        if self.limit == 0 {
            self.next = Some(cursor(topic, from));
            return;
        }
        let shown = cluster::partitions(self.broker, image, topic);
        let (total, from) = (shown.len(), from.min(shown.len()));
        let partitions: Vec<_> = shown.into_iter().skip(from).take(self.limit).map(partition).collect();
        let end = from + partitions.len();
        self.limit -= partitions.len();
        self.topics.push(TopicResponse {
            name: Some(topic.name.to_string()),
            topic_id: topic.id,
            is_internal: topic.name.is_internal(),
            partitions,
            topic_authorized_operations: cluster::TOPIC_OPERATIONS,
            ..Default::default()
        });
        if end < total {
            self.next = Some(cursor(topic, end));
        }
    }
}

fn cursor(topic: &Topic, partition: usize) -> Cursor {
    let partition_index = i32::try_from(partition).unwrap_or(i32::MAX);
    Cursor { topic_name: topic.name.to_string(), partition_index, ..Default::default() }
}

fn unknown(name: String) -> TopicResponse {
    let is_name = TopicName::new(&name).is_ok();
    let error_code = if is_name { ErrorCode::UNKNOWN_TOPIC_OR_PARTITION } else { ErrorCode::INVALID_TOPIC_EXCEPTION };
    TopicResponse { error_code, name: Some(name), ..Default::default() }
}

fn partition(shown: cluster::Shown) -> PartitionResponse {
    PartitionResponse {
        error_code: shown.error_code,
        partition_index: shown.index,
        leader_id: shown.leader_id,
        leader_epoch: shown.leader_epoch,
        replica_nodes: shown.replicas,
        isr_nodes: shown.isr,
        offline_replicas: shown.offline,
        eligible_leader_replicas: Some(shown.eligible),
        last_known_elr: Some(shown.last_known),
        ..Default::default()
    }
}
