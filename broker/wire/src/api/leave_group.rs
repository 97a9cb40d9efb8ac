//! LeaveGroup: members leave a group. One up to version 2, many from 3 on.

use super::table::*;

message! {
    /// Who leaves.
    pub struct Request (key 13, versions 0..=5, flexible 4..) -> Response {
        group_id: String,
        member_id: String [..=2],
        members: Vec<Member> [3..],
    }

    /// One that leaves, by member id or by instance id.
    pub struct Member {
        member_id: String,
        group_instance_id: Option<String>,
        reason: Option<String> [5..],
    }
}

message! {
    /// Who has left.
    pub struct Response (key 13, versions 0..=5, flexible 4..) {
        throttle_time_ms: i32 [1..],
        error_code: ErrorCode,
        members: Vec<MemberResponse> [3..],
    }

    /// The outcome for one member.
    pub struct MemberResponse {
        member_id: String,
        group_instance_id: Option<String>,
        error_code: ErrorCode,
    }
}
