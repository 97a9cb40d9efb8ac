//! ConsumerGroupDescribe: groups of the consumer protocol, with what their members own and should own (KIP-848).

use super::table::*;

message! {
    /// Which groups.
    pub struct Request (key 69, versions 0..=1, flexible 0..) -> Response {
        group_ids: Vec<String>,
        include_authorized_operations: bool,
    }
}

message! {
    /// The groups.
    pub struct Response (key 69, versions 0..=1, flexible 0..) {
        throttle_time_ms: i32,
        groups: Vec<Group>,
    }

    /// One group.
    pub struct Group {
        error_code: ErrorCode,
        error_message: Option<String>,
        group_id: String,
        group_state: String,
        group_epoch: i32,
        assignment_epoch: i32,
        assignor_name: String,
        members: Vec<Member>,
        authorized_operations: i32 = super::metadata::OPERATIONS_NOT_ASKED,
    }

    /// One member.
    pub struct Member {
        member_id: String,
        instance_id: Option<String>,
        rack_id: Option<String>,
        member_epoch: i32,
        client_id: String,
        client_host: String,
        subscribed_topic_names: Vec<String>,
        subscribed_topic_regex: Option<String>,
        assignment: Assignment,
        target_assignment: Assignment,
        /// 0: speaks the classic protocol; 1: the consumer protocol; -1: not known.
        member_type: i8 [1..] = -1,
    }

    /// Partitions of a member.
    pub struct Assignment {
        topic_partitions: Vec<TopicPartitions>,
    }

    /// Partitions of one topic.
    pub struct TopicPartitions {
        topic_id: TopicId,
        topic_name: String,
        partitions: Vec<i32>,
    }
}
