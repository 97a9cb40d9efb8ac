//! DescribeQuorum: the voters of the metadata log and how far each has come (KIP-595, KIP-836).

use super::table::*;

message! {
    /// Which logs; there is one, that of the metadata.
    pub struct Request (key 55, versions 0..=2, flexible 0..) -> Response {
        topics: Vec<Topic>,
    }

    /// Partitions of one topic.
    pub struct Topic {
        topic_name: String,
        partitions: Vec<Partition>,
    }

    /// One partition.
    pub struct Partition {
        partition_index: i32,
    }
}

message! {
    /// The state of the quorum.
    pub struct Response (key 55, versions 0..=2, flexible 0..) {
        error_code: ErrorCode,
        error_message: Option<String> [2..],
        topics: Vec<TopicResponse>,
        nodes: Vec<Node> [2..],
    }

    /// Partitions of one topic.
    pub struct TopicResponse {
        topic_name: String,
        partitions: Vec<PartitionResponse>,
    }

    /// The state of one log.
    pub struct PartitionResponse {
        partition_index: i32,
        error_code: ErrorCode,
        error_message: Option<String> [2..],
        /// -1 while nobody leads.
        leader_id: i32,
        leader_epoch: i32,
        high_watermark: i64,
        current_voters: Vec<ReplicaState>,
        observers: Vec<ReplicaState>,
    }

    /// How far one replica has come.
    pub struct ReplicaState {
        replica_id: i32,
        replica_directory_id: Uuid [2..],
        /// -1 for unknown.
        log_end_offset: i64,
        /// Milliseconds of the leader's clock; -1 for the leader itself or unknown.
        last_fetch_timestamp: i64 [1..] = -1,
        /// Milliseconds of the leader's clock; the present for the leader, -1 for unknown.
        last_caught_up_timestamp: i64 [1..] = -1,
    }

    /// One node of the quorum.
    pub struct Node {
        node_id: i32,
        listeners: Vec<Listener>,
    }

    /// Where it listens.
    pub struct Listener {
        name: String,
        host: String,
        port: u16,
    }
}
