//! DescribeTopicPartitions: topics page by page, for admin tools.

use super::table::*;

message! {
    /// Which topics, and from where.
    pub struct Request (key 75, versions 0..=0, flexible 0..) -> Response {
        topics: Vec<Topic>,
        response_partition_limit: i32 = 2000,
        cursor: Option<Cursor>,
    }

    /// One topic.
    pub struct Topic {
        name: String,
    }

    /// The first partition of a page.
    pub struct Cursor {
        topic_name: String,
        partition_index: i32,
    }
}

message! {
    /// One page.
    pub struct Response (key 75, versions 0..=0, flexible 0..) {
        throttle_time_ms: i32,
        topics: Vec<TopicResponse>,
        /// Where the next page starts; absent on the last.
        next_cursor: Option<Cursor>,
    }

    /// One topic.
    pub struct TopicResponse {
        error_code: ErrorCode,
        name: Option<String> = Some(String::new()),
        topic_id: TopicId,
        is_internal: bool,
        partitions: Vec<PartitionResponse>,
        topic_authorized_operations: i32 = super::metadata::OPERATIONS_NOT_ASKED,
    }

    /// One partition.
    pub struct PartitionResponse {
        error_code: ErrorCode,
        partition_index: i32,
        leader_id: i32,
        leader_epoch: i32 = -1,
        replica_nodes: Vec<i32>,
        isr_nodes: Vec<i32>,
        eligible_leader_replicas: Option<Vec<i32>>,
        last_known_elr: Option<Vec<i32>>,
        offline_replicas: Vec<i32>,
    }
}
