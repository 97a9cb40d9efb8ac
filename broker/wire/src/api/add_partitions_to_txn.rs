//! AddPartitionsToTxn: a transactional producer is about to write to partitions. Versions 4 and up are for brokers.

use super::table::*;

message! {
    /// Whose, and which partitions.
    pub struct Request (key 24, versions 0..=3, flexible 3..) -> Response {
        v3_and_below_transactional_id: String,
        v3_and_below_producer_id: i64,
        v3_and_below_producer_epoch: i16,
        v3_and_below_topics: Vec<Topic>,
    }

    /// Partitions of one topic.
    pub struct Topic {
        name: String,
        partitions: Vec<i32>,
    }
}

message! {
    /// The outcome.
    pub struct Response (key 24, versions 0..=3, flexible 3..) {
        throttle_time_ms: i32,
        results_by_topic_v3_and_below: Vec<TopicResponse>,
    }

    /// The outcome for one topic.
    pub struct TopicResponse {
        name: String,
        results_by_partition: Vec<PartitionResponse>,
    }

    /// The outcome for one partition.
    pub struct PartitionResponse {
        partition_index: i32,
        partition_error_code: ErrorCode,
    }
}
