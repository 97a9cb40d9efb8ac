//! OffsetCommit: where a group goes on.

use super::table::*;

message! {
    /// Offsets to commit.
    pub struct Request (key 8, versions 2..=9, flexible 8..) -> Response {
        group_id: String,
        /// -1: a commit from outside the group.
        generation_id_or_member_epoch: i32 = -1,
        member_id: String,
        group_instance_id: Option<String> [7..],
        retention_time_ms: i64 [..=4] = -1,
        topics: Vec<Topic>,
    }

    /// Offsets of one topic.
    pub struct Topic {
        name: String,
        partitions: Vec<Partition>,
    }

    /// The offset of one partition.
    pub struct Partition {
        partition_index: i32,
        committed_offset: i64,
        committed_leader_epoch: i32 [6..] = -1,
        /// The client's own; it comes back as it was.
        committed_metadata: Option<String> = Some(String::new()),
    }
}

message! {
    /// Which offsets are committed.
    pub struct Response (key 8, versions 2..=9, flexible 8..) {
        throttle_time_ms: i32 [3..],
        topics: Vec<TopicResponse>,
    }

    /// The outcome for one topic.
    pub struct TopicResponse {
        name: String,
        partitions: Vec<PartitionResponse>,
    }

    /// The outcome for one partition.
    pub struct PartitionResponse {
        partition_index: i32,
        error_code: ErrorCode,
    }
}
