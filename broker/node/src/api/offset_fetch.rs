//! OffsetFetch: where groups go on. An offset of a topic that was deleted and made again is none of the new one's.

use super::coordination::group_code;
use super::{Call, Started, cluster};
use crate::Broker;
use broker_core::group::MemberId;
use broker_core::group::record::OffsetRecord;
use broker_core::metadata::Image;
use bytes::Bytes;
use model::{GroupId, PartitionId, TopicId, TopicName, TopicPartition};
use std::collections::BTreeMap;
use wire::ErrorCode;
use wire::api::offset_fetch::{Group, GroupResponse, PartitionResponse, Request, Response, Topic, TopicResponse};

/// From this version on there is an error for the whole group.
const FIRST_WITH_GROUP_ERROR: i16 = 2;
/// From this version on a request asks for many groups.
const FIRST_WITH_MANY: i16 = 8;

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let (broker, version) = (broker.clone(), call.header.api_version);
    // Looked up when its turn to be answered comes: behind the commits the client sent before.
    Ok(call.reply_later(async move { Some(answer(&broker, version, request)) }))
}

fn answer(broker: &Broker, version: i16, request: Request) -> Response {
    if version >= FIRST_WITH_MANY {
        let groups = request.groups.into_iter().map(|group| of_group(broker, group)).collect();
        return Response { groups, ..Default::default() };
    }
    // Up to here a member of a group does not say so.
    let group = Group { group_id: request.group_id, topics: request.topics, ..Default::default() };
    let asked = group.topics.clone();
    let GroupResponse { mut topics, error_code, .. } = of_group(broker, group);
    if version < FIRST_WITH_GROUP_ERROR && !error_code.is_ok() {
        topics = asked.unwrap_or_default().into_iter().map(|topic| without_group(topic, error_code)).collect();
    }
    Response { topics, error_code, ..Default::default() }
}

/// Every partition with the group's error: the first version has no other place for it.
fn without_group(topic: Topic, error_code: ErrorCode) -> TopicResponse {
    let none = |index: &i32| PartitionResponse { error_code, ..response(*index, None) };
    let partitions = topic.partition_indexes.iter().map(none).collect();
    TopicResponse { name: topic.name, partitions, ..Default::default() }
}

fn of_group(broker: &Broker, asked: Group) -> GroupResponse {
    let (group, group_id) = (GroupId::new(&asked.group_id), asked.group_id);
    let member = MemberId::new(asked.member_id.unwrap_or_default());
    let entered = broker.enter_group(&group).map_err(|not_here| not_here.code());
    let admit = |_| broker.admit_commit_fetch(&group, &member, asked.member_epoch).map_err(|error| group_code(&error));
    match entered.and_then(admit) {
        Err(error_code) => GroupResponse { group_id, error_code, ..Default::default() },
        Ok(()) => {
            let image = broker.image();
            let topics = match asked.topics {
                Some(topics) => topics.into_iter().map(|topic| of_topic(broker, &image, &group, topic)).collect(),
                None => all(broker, &image, &group),
            };
            GroupResponse { group_id, topics, ..Default::default() }
        }
    }
}

fn of_topic(broker: &Broker, image: &Image, group: &GroupId, asked: Topic) -> TopicResponse {
    let known = cluster::topic_named(image, &asked.name);
    let partitions = asked.partition_indexes.into_iter().map(|index| {
        let committed = known.and_then(|topic| {
            let partition = TopicPartition { topic: topic.name.clone(), partition: PartitionId(index) };
            broker.committed(group, &partition).filter(|record| is_of(record, topic.id))
        });
        response(index, committed)
    });
    TopicResponse { partitions: partitions.collect(), name: asked.name, ..Default::default() }
}

/// Everything the group has committed for topics that are still the same.
fn all(broker: &Broker, image: &Image, group: &GroupId) -> Vec<TopicResponse> {
    let mut by_topic: BTreeMap<TopicName, Vec<PartitionResponse>> = BTreeMap::new();
    for (TopicPartition { topic, partition }, record) in broker.all_committed(group) {
        let known = cluster::topic_named(image, topic.as_str());
        if known.is_some_and(|known| is_of(&record, known.id)) {
            by_topic.entry(topic).or_default().push(response(partition.0, Some(record)));
        }
    }
    let topic =
        |(name, partitions): (TopicName, _)| TopicResponse { name: name.to_string(), partitions, ..Default::default() };
    by_topic.into_iter().map(topic).collect()
}

/// Whether it was committed for just this topic; a record without an id is of older tools.
fn is_of(record: &OffsetRecord, topic: TopicId) -> bool {
    record.topic_id == topic || record.topic_id == TopicId::ZERO
}

fn response(partition_index: i32, committed: Option<OffsetRecord>) -> PartitionResponse {
    let none = PartitionResponse { partition_index, committed_offset: -1, ..Default::default() };
    match committed {
        None => none,
        Some(record) => PartitionResponse {
            committed_offset: record.offset.0,
            committed_leader_epoch: record.leader_epoch.0,
            metadata: Some(record.metadata),
            ..none
        },
    }
}
