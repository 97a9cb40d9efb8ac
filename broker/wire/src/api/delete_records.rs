//! DeleteRecords: moves the log start of partitions, and what lies below is gone (KIP-107).

use super::table::*;

/// The offset that means everything up to the high watermark.
pub const HIGH_WATERMARK: i64 = -1;

message! {
    /// What is no longer wanted.
    pub struct Request (key 21, versions 0..=2, flexible 2..) -> Response {
        topics: Vec<Topic>,
        timeout_ms: i32,
    }

    /// Partitions of one topic.
    pub struct Topic {
        name: String,
        partitions: Vec<Partition>,
    }

    /// One partition, and the first offset to be kept.
    pub struct Partition {
        partition_index: i32,
        offset: i64,
    }
}

message! {
    /// What is kept.
    pub struct Response (key 21, versions 0..=2, flexible 2..) {
        throttle_time_ms: i32,
        topics: Vec<TopicResponse>,
    }

    /// Partitions of one topic.
    pub struct TopicResponse {
        name: String,
        partitions: Vec<PartitionResponse>,
    }

    /// The smallest log start of the partition's replicas.
    pub struct PartitionResponse {
        partition_index: i32,
        low_watermark: i64,
        error_code: ErrorCode,
    }
}
