//! OffsetFetch: where groups go on. One group up to version 7, many from 8 on.

use super::table::*;

message! {
    /// Whose offsets.
    pub struct Request (key 9, versions 1..=9, flexible 6..) -> Response {
        group_id: String [..=7],
        /// Null: all topics.
        topics: Option<Vec<Topic>> [..=7; nullable 2..] = Some(Vec::new()),
        groups: Vec<Group> [8..],
        require_stable: bool [7..],
    }

    /// One group.
    pub struct Group {
        group_id: String,
        member_id: Option<String> [9..],
        member_epoch: i32 [9..] = -1,
        /// Null: all topics.
        topics: Option<Vec<Topic>> = Some(Vec::new()),
    }

    /// Partitions of one topic.
    pub struct Topic {
        name: String,
        partition_indexes: Vec<i32>,
    }
}

message! {
    /// The offsets.
    pub struct Response (key 9, versions 1..=9, flexible 6..) {
        throttle_time_ms: i32 [3..],
        topics: Vec<TopicResponse> [..=7],
        error_code: ErrorCode [2..=7],
        groups: Vec<GroupResponse> [8..],
    }

    /// Offsets of one group.
    pub struct GroupResponse {
        group_id: String,
        topics: Vec<TopicResponse>,
        error_code: ErrorCode,
    }

    /// Offsets of one topic.
    pub struct TopicResponse {
        name: String,
        partitions: Vec<PartitionResponse>,
    }

    /// The offset of one partition; -1 when none is committed.
    pub struct PartitionResponse {
        partition_index: i32,
        committed_offset: i64,
        committed_leader_epoch: i32 [5..] = -1,
        metadata: Option<String> = Some(String::new()),
        error_code: ErrorCode,
    }
}
