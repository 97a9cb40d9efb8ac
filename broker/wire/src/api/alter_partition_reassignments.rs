//! AlterPartitionReassignments: moves partitions to other brokers (KIP-455).

use super::table::*;

message! {
    /// Where partitions are to be.
    pub struct Request (key 45, versions 0..=1, flexible 0..) -> Response {
        timeout_ms: i32 = 60_000,
        allow_replication_factor_change: bool [1..] = true,
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
        /// Null cancels a reassignment under way.
        replicas: Option<Vec<i32>>,
    }
}

message! {
    /// The outcome.
    pub struct Response (key 45, versions 0..=1, flexible 0..) {
        throttle_time_ms: i32,
        allow_replication_factor_change: bool [1..] = true,
        error_code: ErrorCode,
        error_message: Option<String>,
        responses: Vec<TopicResponse>,
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
        error_message: Option<String>,
    }
}
