//! ElectLeaders: lets partitions elect their leaders anew (KIP-183, KIP-460).

use super::table::*;

/// A [`Request::election_type`]: the first replica.
pub const PREFERRED: i8 = 0;
/// A [`Request::election_type`]: any live replica, where none in sync lives. Records may be lost.
pub const UNCLEAN: i8 = 1;

message! {
    /// Which partitions.
    pub struct Request (key 43, versions 0..=2, flexible 2..) -> Response {
        election_type: i8 [1..],
        /// Null means all.
        topic_partitions: Option<Vec<TopicPartitions>>,
        timeout_ms: i32 = 60_000,
    }

    /// Partitions of one topic.
    pub struct TopicPartitions {
        topic: String,
        partitions: Vec<i32>,
    }
}

message! {
    /// The outcome.
    pub struct Response (key 43, versions 0..=2, flexible 2..) {
        throttle_time_ms: i32,
        error_code: ErrorCode [1..],
        replica_election_results: Vec<TopicResult>,
    }

    /// The outcome for one topic.
    pub struct TopicResult {
        topic: String,
        partition_result: Vec<PartitionResult>,
    }

    /// The outcome for one partition.
    pub struct PartitionResult {
        partition_id: i32,
        error_code: ErrorCode,
        error_message: Option<String>,
    }
}
