//! FindCoordinator: which broker looks after a group or a transactional id. One key up to version 3, many from 4 on.

use super::table::*;

/// [`Request::key_type`] of a consumer group.
pub const GROUP: i8 = 0;
/// [`Request::key_type`] of a transactional id.
pub const TRANSACTION: i8 = 1;

message! {
    /// Whose coordinator.
    pub struct Request (key 10, versions 0..=6, flexible 3..) -> Response {
        key: String [..=3],
        key_type: i8 [1..],
        coordinator_keys: Vec<String> [4..],
    }
}

message! {
    /// The coordinator, or the coordinators.
    pub struct Response (key 10, versions 0..=6, flexible 3..) {
        throttle_time_ms: i32 [1..],
        error_code: ErrorCode [..=3],
        error_message: Option<String> [1..=3],
        node_id: i32 [..=3],
        host: String [..=3],
        port: i32 [..=3],
        coordinators: Vec<Coordinator> [4..],
    }

    /// The coordinator of one key.
    pub struct Coordinator {
        key: String,
        node_id: i32,
        host: String,
        port: i32,
        error_code: ErrorCode,
        error_message: Option<String>,
    }
}
