//! ListPartitionReassignments: which partitions move, from where and to where (KIP-455).

use super::table::*;

message! {
    /// Which partitions.
    pub struct Request (key 46, versions 0..=0, flexible 0..) -> Response {
        timeout_ms: i32 = 60_000,
        /// Null means all.
        topics: Option<Vec<Topic>>,
    }

    /// Partitions of one topic.
    pub struct Topic {
        name: String,
        partition_indexes: Vec<i32>,
    }
}

message! {
    /// Those that move.
    pub struct Response (key 46, versions 0..=0, flexible 0..) {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        error_message: Option<String>,
        topics: Vec<OngoingTopic>,
    }

    /// Partitions of one topic.
    pub struct OngoingTopic {
        name: String,
        partitions: Vec<OngoingPartition>,
    }

    /// One partition that moves.
    pub struct OngoingPartition {
        partition_index: i32,
        replicas: Vec<i32>,
        adding_replicas: Vec<i32>,
        removing_replicas: Vec<i32>,
    }
}
