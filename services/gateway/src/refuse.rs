//! What a client is told while its region cannot be asked: each API's own retriable error.

use crate::answer::{Unanswered, respond};
use bytes::Bytes;
use wire::api::*;
use wire::{ApiKey, ErrorCode, RequestHeader};

const NOT_LEADER: ErrorCode = ErrorCode::NOT_LEADER_OR_FOLLOWER;
const NOT_COORDINATOR: ErrorCode = ErrorCode::NOT_COORDINATOR;

/// The refusal, as a frame; `None` where the API has no retriable error and the connection is better closed.
///
/// # Errors
/// When the request is none.
pub(crate) fn refuse(header: &RequestHeader, body: Bytes) -> Result<Option<Bytes>, Unanswered> {
    let frame = match ApiKey::try_from(header.api_key)? {
        ApiKey::Produce => respond(header, body, produce),
        ApiKey::Fetch => respond(header, body, fetch),
        ApiKey::ListOffsets => respond(header, body, list_offsets),
        ApiKey::DeleteRecords => respond(header, body, records),
        ApiKey::OffsetForLeaderEpoch => respond(header, body, epochs),
        ApiKey::OffsetCommit => respond(header, body, commit),
        ApiKey::OffsetFetch => respond(header, body, |request| committed(&request, header.api_version)),
        ApiKey::JoinGroup => respond(header, body, |request: join_group::Request| join_group::Response {
            error_code: NOT_COORDINATOR,
            member_id: request.member_id,
            ..Default::default()
        }),
        ApiKey::SyncGroup => respond(header, body, |_: sync_group::Request| sync_group::Response {
            error_code: NOT_COORDINATOR,
            ..Default::default()
        }),
        ApiKey::Heartbeat => respond(header, body, |_: heartbeat::Request| heartbeat::Response {
            error_code: NOT_COORDINATOR,
            ..Default::default()
        }),
        ApiKey::LeaveGroup => respond(header, body, |_: leave_group::Request| leave_group::Response {
            error_code: NOT_COORDINATOR,
            ..Default::default()
        }),
        ApiKey::ConsumerGroupHeartbeat => respond(header, body, |_: consumer_group_heartbeat::Request| {
            consumer_group_heartbeat::Response { error_code: NOT_COORDINATOR, ..Default::default() }
        }),
        ApiKey::ConsumerGroupDescribe => respond(header, body, describe),
        ApiKey::ListGroups => respond(header, body, |_: list_groups::Request| list_groups::Response {
            error_code: ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
            ..Default::default()
        }),
        ApiKey::InitProducerId => respond(header, body, |_: init_producer_id::Request| init_producer_id::Response {
            error_code: ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
            producer_epoch: -1,
            ..Default::default()
        }),
        _ => return Ok(None),
    };
    frame.map(Some)
}

fn produce(request: produce::Request) -> produce::Response {
    let responses = request.topic_data.into_iter().map(|topic| produce::TopicResponse {
        name: topic.name,
        topic_id: topic.topic_id,
        partition_responses: topic
            .partition_data
            .iter()
            .map(|partition| produce::PartitionResponse {
                index: partition.index,
                error_code: NOT_LEADER,
                base_offset: -1,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    });
    produce::Response { responses: responses.collect(), ..Default::default() }
}

fn fetch(request: fetch::Request) -> fetch::Response {
    // A session lives in the region that cannot be asked: the client has to begin a new one and name its partitions.
    let in_session = request.session_id != 0 && request.session_epoch > 0;
    if in_session {
        return fetch::Response { error_code: ErrorCode::FETCH_SESSION_ID_NOT_FOUND, ..Default::default() };
    }
    let responses = request.topics.into_iter().map(|topic| fetch::TopicResponse {
        topic: topic.topic,
        topic_id: topic.topic_id,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| fetch::PartitionResponse {
                partition_index: partition.partition,
                error_code: NOT_LEADER,
                high_watermark: -1,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    });
    fetch::Response { responses: responses.collect(), ..Default::default() }
}

fn list_offsets(request: list_offsets::Request) -> list_offsets::Response {
    let topics = request.topics.into_iter().map(|topic| list_offsets::TopicResponse {
        name: topic.name,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| list_offsets::PartitionResponse {
                partition_index: partition.partition_index,
                error_code: NOT_LEADER,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    });
    list_offsets::Response { topics: topics.collect(), ..Default::default() }
}

fn records(request: delete_records::Request) -> delete_records::Response {
    let topics = request.topics.into_iter().map(|topic| delete_records::TopicResponse {
        name: topic.name,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| delete_records::PartitionResponse {
                partition_index: partition.partition_index,
                low_watermark: -1,
                error_code: NOT_LEADER,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    });
    delete_records::Response { topics: topics.collect(), ..Default::default() }
}

fn epochs(request: offset_for_leader_epoch::Request) -> offset_for_leader_epoch::Response {
    let topics = request.topics.into_iter().map(|topic| offset_for_leader_epoch::TopicResponse {
        topic: topic.topic,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| offset_for_leader_epoch::EpochEndOffset {
                error_code: NOT_LEADER,
                partition: partition.partition,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    });
    offset_for_leader_epoch::Response { topics: topics.collect(), ..Default::default() }
}

fn commit(request: offset_commit::Request) -> offset_commit::Response {
    let topics = request.topics.into_iter().map(|topic| offset_commit::TopicResponse {
        name: topic.name,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| offset_commit::PartitionResponse {
                partition_index: partition.partition_index,
                error_code: NOT_COORDINATOR,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    });
    offset_commit::Response { topics: topics.collect(), ..Default::default() }
}

fn describe(request: consumer_group_describe::Request) -> consumer_group_describe::Response {
    let group =
        |group_id| consumer_group_describe::Group { group_id, error_code: NOT_COORDINATOR, ..Default::default() };
    consumer_group_describe::Response {
        groups: request.group_ids.into_iter().map(group).collect(),
        ..Default::default()
    }
}

fn committed(request: &offset_fetch::Request, version: i16) -> offset_fetch::Response {
    if version < 8 {
        return offset_fetch::Response { error_code: NOT_COORDINATOR, ..Default::default() };
    }
    let groups = request.groups.iter().map(|group| offset_fetch::GroupResponse {
        group_id: group.group_id.clone(),
        error_code: NOT_COORDINATOR,
        ..Default::default()
    });
    offset_fetch::Response { groups: groups.collect(), ..Default::default() }
}
