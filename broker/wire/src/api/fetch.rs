//! Fetch: record batches from an offset on. By topic name up to version 12, by topic id from 13 on.
//!
//! The response is the hot path of a broker: [`PartitionResponse::records`] may be a placeholder, and
//! [`Message::encode_split`](crate::Message::encode_split) leaves room for bytes that go from a file to the socket.

use super::table::*;

message! {
    /// What to read.
    pub struct Request (key 1, versions 4..=17, flexible 12..) -> Response {
        cluster_id: Option<String> [12..; tag 0],
        replica_id: i32 [..=14] = -1,
        replica_state: ReplicaState [15..; tag 1],
        max_wait_ms: i32,
        min_bytes: i32,
        max_bytes: i32 = i32::MAX,
        /// 0: read uncommitted; 1: read committed.
        isolation_level: i8,
        /// 0: no session (KIP-227).
        session_id: i32 [7..],
        session_epoch: i32 [7..] = -1,
        topics: Vec<Topic>,
        forgotten_topics_data: Vec<ForgottenTopic> [7..],
        rack_id: String [11..],
    }

    /// The replica that asks; a consumer is -1.
    pub struct ReplicaState {
        replica_id: i32 = -1,
        replica_epoch: i64 = -1,
    }

    /// Partitions of one topic.
    pub struct Topic {
        topic: String [..=12],
        topic_id: TopicId [13..],
        partitions: Vec<Partition>,
    }

    /// One partition, and from where.
    pub struct Partition {
        partition: i32,
        current_leader_epoch: i32 [9..] = -1,
        fetch_offset: i64,
        /// The epoch of the last batch the reader has (KIP-595), -1 for none.
        last_fetched_epoch: i32 [12..] = -1,
        log_start_offset: i64 [5..] = -1,
        partition_max_bytes: i32,
        replica_directory_id: Uuid [17..; tag 0],
    }

    /// Partitions to drop from the session.
    pub struct ForgottenTopic {
        topic: String [..=12],
        topic_id: TopicId [13..],
        partitions: Vec<i32>,
    }
}

message! {
    /// What was read.
    pub struct Response (key 1, versions 4..=17, flexible 12..) {
        throttle_time_ms: i32,
        error_code: ErrorCode [7..],
        session_id: i32 [7..],
        responses: Vec<TopicResponse>,
        node_endpoints: Vec<NodeEndpoint> [16..; tag 0],
    }

    /// Partitions of one topic.
    pub struct TopicResponse {
        topic: String [..=12],
        topic_id: TopicId [13..],
        partitions: Vec<PartitionResponse>,
    }

    /// The records of one partition, and where its log ends.
    pub struct PartitionResponse {
        partition_index: i32,
        error_code: ErrorCode,
        high_watermark: i64,
        last_stable_offset: i64 = -1,
        log_start_offset: i64 [5..] = -1,
        /// Set when the reader's log has left the leader's (KIP-595); then nothing else counts.
        diverging_epoch: EpochEndOffset [12..; tag 0],
        current_leader: LeaderIdAndEpoch [12..; tag 1],
        snapshot_id: SnapshotId [12..; tag 2],
        /// Null is right for readers of uncommitted records.
        aborted_transactions: Option<Vec<AbortedTransaction>>,
        preferred_read_replica: i32 [11..] = -1,
        records: Records,
    }

    /// The end of an epoch.
    pub struct EpochEndOffset {
        epoch: i32 = -1,
        end_offset: i64 = -1,
    }

    /// Who leads the partition, as far as the broker knows.
    pub struct LeaderIdAndEpoch {
        leader_id: i32 = -1,
        leader_epoch: i32 = -1,
    }

    /// A snapshot of a metadata log.
    pub struct SnapshotId {
        end_offset: i64 = -1,
        epoch: i32 = -1,
    }

    /// A transaction whose records a reader of committed records skips.
    pub struct AbortedTransaction {
        producer_id: i64,
        first_offset: i64,
    }

    /// Where a leader listens.
    pub struct NodeEndpoint {
        node_id: i32,
        host: String,
        port: i32,
        rack: Option<String>,
    }
}
