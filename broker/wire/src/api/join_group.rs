//! JoinGroup: enters a consumer group (classic protocol) and waits for the others.

use super::table::*;

message! {
    /// Who joins.
    pub struct Request (key 11, versions 0..=9, flexible 6..) -> Response {
        group_id: String,
        session_timeout_ms: i32,
        /// -1: as long as the session.
        rebalance_timeout_ms: i32 [1..] = -1,
        /// Empty: not known yet.
        member_id: String,
        group_instance_id: Option<String> [5..],
        protocol_type: String,
        protocols: Vec<Protocol>,
        reason: Option<String> [8..],
    }

    /// An assignor the member can work with, best first.
    pub struct Protocol {
        name: String,
        metadata: Bytes,
    }
}

message! {
    /// The generation the member is now in.
    pub struct Response (key 11, versions 0..=9, flexible 6..) {
        throttle_time_ms: i32 [2..],
        error_code: ErrorCode,
        generation_id: i32 = -1,
        protocol_type: Option<String> [7..],
        protocol_name: Option<String> [..; nullable 7..],
        leader: String,
        skip_assignment: bool [9..],
        member_id: String,
        /// Empty unless the member leads.
        members: Vec<Member>,
    }

    /// A member, for the leader to assign to.
    pub struct Member {
        member_id: String,
        group_instance_id: Option<String> [5..],
        metadata: Bytes,
    }
}
