//! TxnOffsetCommit: commits offsets of a group as part of a transaction.

use super::table::*;

message! {
    /// Whose, and which offsets.
    pub struct Request (key 28, versions 0..=4, flexible 3..) -> Response {
        transactional_id: String,
        group_id: String,
        producer_id: i64,
        producer_epoch: i16,
        generation_id: i32 [3..] = -1,
        member_id: String [3..],
        group_instance_id: Option<String> [3..],
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
        committed_leader_epoch: i32 [2..] = -1,
        committed_metadata: Option<String> = Some(String::new()),
    }
}

message! {
    /// The outcome.
    pub struct Response (key 28, versions 0..=4, flexible 3..) {
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
