//! DescribeLogDirs: the directories of a broker's logs, their disks, and what is in them (KIP-113, KIP-827).

use super::table::*;

message! {
    /// Which partitions.
    pub struct Request (key 35, versions 1..=4, flexible 2..) -> Response {
        /// `None` for all.
        topics: Option<Vec<Topic>>,
    }

    /// Partitions of one topic.
    pub struct Topic {
        topic: String,
        partitions: Vec<i32>,
    }
}

message! {
    /// The directories.
    pub struct Response (key 35, versions 1..=4, flexible 2..) {
        throttle_time_ms: i32,
        error_code: ErrorCode [3..],
        results: Vec<Directory>,
    }

    /// One directory.
    pub struct Directory {
        /// KAFKA_STORAGE_ERROR when it cannot be used.
        error_code: ErrorCode,
        log_dir: String,
        topics: Vec<TopicResponse>,
        /// Bytes of its file system; -1 for unknown.
        total_bytes: i64 [4..] = -1,
        /// Those of them that are free; -1 for unknown.
        usable_bytes: i64 [4..] = -1,
    }

    /// Partitions of one topic in it.
    pub struct TopicResponse {
        name: String,
        partitions: Vec<PartitionResponse>,
    }

    /// One log.
    pub struct PartitionResponse {
        partition_index: i32,
        /// Bytes of its batches.
        partition_size: i64,
        /// How far it ends before what is committed.
        offset_lag: i64,
        /// Whether it is on its way to another directory.
        is_future_key: bool,
    }
}
