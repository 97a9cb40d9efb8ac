//! SyncGroup: the leader hands in the assignment, everybody gets their own.

use super::table::*;

message! {
    /// Who asks, and the assignment if it leads.
    pub struct Request (key 14, versions 0..=5, flexible 4..) -> Response {
        group_id: String,
        generation_id: i32,
        member_id: String,
        group_instance_id: Option<String> [3..],
        protocol_type: Option<String> [5..],
        protocol_name: Option<String> [5..],
        assignments: Vec<Assignment>,
    }

    /// What one member gets.
    pub struct Assignment {
        member_id: String,
        assignment: Bytes,
    }
}

message! {
    /// What the member gets.
    pub struct Response (key 14, versions 0..=5, flexible 4..) {
        throttle_time_ms: i32 [1..],
        error_code: ErrorCode,
        protocol_type: Option<String> [5..],
        protocol_name: Option<String> [5..],
        assignment: Bytes,
    }
}
