//! Heartbeat: a group member is alive.

use super::table::*;

message! {
    /// Who is alive.
    pub struct Request (key 12, versions 0..=4, flexible 4..) -> Response {
        group_id: String,
        generation_id: i32,
        member_id: String,
        group_instance_id: Option<String> [3..],
    }
}

message! {
    /// Whether the member may go on.
    pub struct Response (key 12, versions 0..=4, flexible 4..) {
        throttle_time_ms: i32 [1..],
        error_code: ErrorCode,
    }
}
