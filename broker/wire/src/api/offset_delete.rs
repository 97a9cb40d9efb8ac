//! OffsetDelete: forgets committed offsets of a group.

use super::table::*;

message! {
    /// Which offsets.
    pub struct Request (key 47, versions 0..=0, flexible NEVER..) -> Response {
        group_id: String,
        topics: Vec<Topic>,
    }

    /// Partitions of one topic.
    pub struct Topic {
        name: String,
        partitions: Vec<Partition>,
    }

    /// One partition.
    pub struct Partition {
        partition_index: i32,
    }
}

message! {
    /// The outcome.
    pub struct Response (key 47, versions 0..=0, flexible NEVER..) {
        error_code: ErrorCode,
        throttle_time_ms: i32,
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
