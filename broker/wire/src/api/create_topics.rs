//! CreateTopics: makes topics.

use super::table::*;

message! {
    /// Which topics.
    pub struct Request (key 19, versions 2..=7, flexible 5..) -> Response {
        topics: Vec<Topic>,
        timeout_ms: i32 = 60_000,
        validate_only: bool,
    }

    /// A topic to make.
    pub struct Topic {
        name: String,
        /// -1: the broker's default, or as assigned.
        num_partitions: i32,
        /// -1: the broker's default, or as assigned.
        replication_factor: i16,
        assignments: Vec<Assignment>,
        configs: Vec<Config>,
    }

    /// The replicas of one partition, the preferred leader first.
    pub struct Assignment {
        partition_index: i32,
        broker_ids: Vec<i32>,
    }

    /// A setting of the topic.
    pub struct Config {
        name: String,
        value: Option<String>,
    }
}

message! {
    /// Which topics there are now.
    pub struct Response (key 19, versions 2..=7, flexible 5..) {
        throttle_time_ms: i32,
        topics: Vec<TopicResponse>,
    }

    /// The outcome for one topic.
    pub struct TopicResponse {
        name: String,
        topic_id: TopicId [7..],
        error_code: ErrorCode,
        error_message: Option<String>,
        topic_config_error_code: ErrorCode [5..; tag 0],
        num_partitions: i32 [5..] = -1,
        replication_factor: i16 [5..] = -1,
        configs: Option<Vec<ConfigResponse>> [5..] = Some(Vec::new()),
    }

    /// A setting of the topic as it is now.
    pub struct ConfigResponse {
        name: String,
        value: Option<String>,
        read_only: bool,
        config_source: i8 = -1,
        is_sensitive: bool,
    }
}
