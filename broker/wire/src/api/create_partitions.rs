//! CreatePartitions: adds partitions to topics.

use super::table::*;

message! {
    /// Which topics.
    pub struct Request (key 37, versions 0..=3, flexible 2..) -> Response {
        topics: Vec<Topic>,
        timeout_ms: i32,
        validate_only: bool,
    }

    /// One topic, and how many partitions it shall have.
    pub struct Topic {
        name: String,
        count: i32,
        /// Null: the broker places them.
        assignments: Option<Vec<Assignment>>,
    }

    /// The replicas of one new partition.
    pub struct Assignment {
        broker_ids: Vec<i32>,
    }
}

message! {
    /// The outcome.
    pub struct Response (key 37, versions 0..=3, flexible 2..) {
        throttle_time_ms: i32,
        results: Vec<TopicResponse>,
    }

    /// The outcome for one topic.
    pub struct TopicResponse {
        name: String,
        error_code: ErrorCode,
        error_message: Option<String>,
    }
}
