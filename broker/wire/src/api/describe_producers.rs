//! DescribeProducers: the producers a partition remembers.

use super::table::*;

message! {
    /// Which partitions.
    pub struct Request (key 61, versions 0..=0, flexible 0..) -> Response {
        topics: Vec<Topic>,
    }

    /// Partitions of one topic.
    pub struct Topic {
        name: String,
        partition_indexes: Vec<i32>,
    }
}

message! {
    /// Their producers.
    pub struct Response (key 61, versions 0..=0, flexible 0..) {
        throttle_time_ms: i32,
        topics: Vec<TopicResponse>,
    }

    /// Partitions of one topic.
    pub struct TopicResponse {
        name: String,
        partitions: Vec<PartitionResponse>,
    }

    /// The producers of one partition.
    pub struct PartitionResponse {
        partition_index: i32,
        error_code: ErrorCode,
        error_message: Option<String>,
        active_producers: Vec<ProducerState>,
    }

    /// One producer.
    pub struct ProducerState {
        producer_id: i64,
        producer_epoch: i32,
        last_sequence: i32 = -1,
        last_timestamp: i64 = -1,
        coordinator_epoch: i32,
        current_txn_start_offset: i64 = -1,
    }
}
