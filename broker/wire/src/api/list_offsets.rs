//! ListOffsets: the offset at a time, or at an end of the log.

use super::table::*;

/// The offset after the last readable record.
pub const LATEST: i64 = -1;
/// The first offset of the log.
pub const EARLIEST: i64 = -2;
/// The record with the largest timestamp (from version 7 on).
pub const MAX_TIMESTAMP: i64 = -3;
/// The first offset on the broker's own disk (from version 8 on).
pub const EARLIEST_LOCAL: i64 = -4;
/// The last offset in tiered storage (from version 9 on).
pub const LATEST_TIERED: i64 = -5;

message! {
    /// Which offsets.
    pub struct Request (key 2, versions 1..=10, flexible 6..) -> Response {
        replica_id: i32 = -1,
        isolation_level: i8 [2..],
        topics: Vec<Topic>,
        timeout_ms: i32 [10..],
    }

    /// Partitions of one topic.
    pub struct Topic {
        name: String,
        partitions: Vec<Partition>,
    }

    /// One partition, and which time.
    pub struct Partition {
        partition_index: i32,
        current_leader_epoch: i32 [4..] = -1,
        /// A time, or one of [`LATEST`], [`EARLIEST`] and so on.
        timestamp: i64,
    }
}

message! {
    /// The offsets.
    pub struct Response (key 2, versions 1..=10, flexible 6..) {
        throttle_time_ms: i32 [2..],
        topics: Vec<TopicResponse>,
    }

    /// Partitions of one topic.
    pub struct TopicResponse {
        name: String,
        partitions: Vec<PartitionResponse>,
    }

    /// The offset in one partition; -1 without an error when there is none.
    pub struct PartitionResponse {
        partition_index: i32,
        error_code: ErrorCode,
        timestamp: i64 = -1,
        offset: i64 = -1,
        leader_epoch: i32 [4..] = -1,
    }
}
