//! ConsumerGroupHeartbeat: a member says what it reads and owns, and hears what it should own (KIP-848).

use super::table::*;

message! {
    /// A sign of life; what is null has not changed since the last one.
    pub struct Request (key 68, versions 0..=1, flexible 0..) -> Response {
        group_id: String,
        /// Made by the member itself from version 1 on.
        member_id: String,
        /// 0: join; -1: leave; -2: leave, but a static member comes back.
        member_epoch: i32,
        instance_id: Option<String>,
        rack_id: Option<String>,
        /// -1: as before.
        rebalance_timeout_ms: i32 = -1,
        subscribed_topic_names: Option<Vec<String>>,
        subscribed_topic_regex: Option<String> [1..],
        server_assignor: Option<String>,
        /// What the member owns.
        topic_partitions: Option<Vec<TopicPartitions>>,
    }

    /// Partitions of one topic.
    pub struct TopicPartitions {
        topic_id: TopicId,
        partitions: Vec<i32>,
    }
}

message! {
    /// Where the member stands.
    pub struct Response (key 68, versions 0..=1, flexible 0..) {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        error_message: Option<String>,
        member_id: Option<String>,
        member_epoch: i32,
        heartbeat_interval_ms: i32,
        /// Null: as before.
        assignment: Option<Assignment>,
    }

    /// What the member may own now.
    pub struct Assignment {
        topic_partitions: Vec<AssignedTopic>,
    }

    /// Partitions of one topic.
    pub struct AssignedTopic {
        topic_id: TopicId,
        partitions: Vec<i32>,
    }
}
