//! Produce: appends record batches to partitions. By topic name up to version 12, by topic id from 13 on.
//! Versions 0 to 2 are advertised but not accepted: librdkafka before 2.11.1 gives up compression otherwise.

use super::table::*;

message! {
    /// Batches to append.
    pub struct Request (key 0, versions 3..=13, flexible 9..) -> Response {
        transactional_id: Option<String>,
        /// 0: no answer at all; 1: the leader has it; -1: all in-sync replicas have it.
        acks: i16,
        timeout_ms: i32,
        topic_data: Vec<Topic>,
    }

    /// Batches for one topic.
    pub struct Topic {
        name: String [..=12],
        topic_id: TopicId [13..],
        partition_data: Vec<Partition>,
    }

    /// The batch for one partition.
    pub struct Partition {
        index: i32,
        /// Exactly one batch of magic 2, as the client sent it.
        records: Option<Bytes> = Some(Bytes::new()),
    }
}

message! {
    /// Where the batches are.
    pub struct Response (key 0, versions 3..=13, flexible 9..) {
        responses: Vec<TopicResponse>,
        throttle_time_ms: i32,
        node_endpoints: Vec<NodeEndpoint> [10..; tag 0],
    }

    /// The outcome for one topic.
    pub struct TopicResponse {
        name: String [..=12],
        topic_id: TopicId [13..],
        partition_responses: Vec<PartitionResponse>,
    }

    /// The outcome for one partition.
    pub struct PartitionResponse {
        index: i32,
        error_code: ErrorCode,
        base_offset: i64,
        /// -1 unless the topic's timestamps are the broker's.
        log_append_time_ms: i64 = -1,
        log_start_offset: i64 [5..] = -1,
        record_errors: Vec<BatchIndexAndErrorMessage> [8..],
        error_message: Option<String> [8..],
        /// Only with `NOT_LEADER_OR_FOLLOWER` (KIP-951).
        current_leader: LeaderIdAndEpoch [10..; tag 0],
    }

    /// A record that caused its batch to be refused.
    pub struct BatchIndexAndErrorMessage {
        batch_index: i32,
        batch_index_error_message: Option<String>,
    }

    /// Who leads the partition, as far as the broker knows.
    pub struct LeaderIdAndEpoch {
        leader_id: i32 = -1,
        leader_epoch: i32 = -1,
    }

    /// Where a leader listens.
    pub struct NodeEndpoint {
        node_id: i32,
        host: String,
        port: i32,
        rack: Option<String>,
    }
}
