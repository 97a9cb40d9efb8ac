//! DeleteTopics: removes topics, by name up to version 5, by name or id in version 6.

use super::table::*;

message! {
    /// Which topics.
    pub struct Request (key 20, versions 1..=6, flexible 4..) -> Response {
        topics: Vec<Topic> [6..],
        topic_names: Vec<String> [..=5],
        timeout_ms: i32,
    }

    /// A topic by name or, if that is null, by id.
    pub struct Topic {
        name: Option<String>,
        topic_id: TopicId,
    }
}

message! {
    /// Which are gone.
    pub struct Response (key 20, versions 1..=6, flexible 4..) {
        throttle_time_ms: i32,
        responses: Vec<TopicResponse>,
    }

    /// The outcome for one topic.
    pub struct TopicResponse {
        name: Option<String> [..; nullable 6..] = Some(String::new()),
        topic_id: TopicId [6..],
        error_code: ErrorCode,
        error_message: Option<String> [5..],
    }
}
