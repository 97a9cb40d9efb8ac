//! Metadata: brokers, topics, and who leads what.

use super::table::*;

/// "Nobody asked which operations are allowed."
pub const OPERATIONS_NOT_ASKED: i32 = i32::MIN;

message! {
    /// Which topics.
    pub struct Request (key 3, versions 0..=13, flexible 9..) -> Response {
        /// Null: all topics. Empty: none, but in version 0: all.
        topics: Option<Vec<Topic>> [..; nullable 1..] = Some(Vec::new()),
        allow_auto_topic_creation: bool [4..] = true,
        include_cluster_authorized_operations: bool [8..=10],
        include_topic_authorized_operations: bool [8..],
    }

    /// A topic by name or, from version 12 on, by id.
    pub struct Topic {
        topic_id: TopicId [10..],
        name: Option<String> [..; nullable 10..] = Some(String::new()),
    }
}

message! {
    /// The cluster as this broker sees it.
    pub struct Response (key 3, versions 0..=13, flexible 9..) {
        throttle_time_ms: i32 [3..],
        brokers: Vec<Broker>,
        cluster_id: Option<String> [2..],
        controller_id: i32 [1..] = -1,
        topics: Vec<TopicResponse>,
        cluster_authorized_operations: i32 [8..=10] = OPERATIONS_NOT_ASKED,
        error_code: ErrorCode [13..],
    }

    /// Where a broker listens.
    pub struct Broker {
        node_id: i32,
        host: String,
        port: i32,
        rack: Option<String> [1..],
    }

    /// One topic.
    pub struct TopicResponse {
        error_code: ErrorCode,
        name: Option<String> [..; nullable 12..] = Some(String::new()),
        topic_id: TopicId [10..],
        is_internal: bool [1..],
        partitions: Vec<PartitionResponse>,
        topic_authorized_operations: i32 [8..] = OPERATIONS_NOT_ASKED,
    }

    /// One partition.
    pub struct PartitionResponse {
        error_code: ErrorCode,
        partition_index: i32,
        /// -1: nobody leads it.
        leader_id: i32,
        leader_epoch: i32 [7..] = -1,
        replica_nodes: Vec<i32>,
        isr_nodes: Vec<i32>,
        offline_replicas: Vec<i32> [5..],
    }
}
