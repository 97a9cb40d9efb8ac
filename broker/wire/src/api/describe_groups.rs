//! DescribeGroups: the members of groups.

use super::table::*;

message! {
    /// Which groups.
    pub struct Request (key 15, versions 0..=6, flexible 5..) -> Response {
        groups: Vec<String>,
        include_authorized_operations: bool [3..],
    }
}

message! {
    /// The groups.
    pub struct Response (key 15, versions 0..=6, flexible 5..) {
        throttle_time_ms: i32 [1..],
        groups: Vec<GroupResponse>,
    }

    /// One group.
    pub struct GroupResponse {
        error_code: ErrorCode,
        error_message: Option<String> [6..],
        group_id: String,
        /// `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Stable` or `Dead`.
        group_state: String,
        protocol_type: String,
        protocol_data: String,
        members: Vec<Member>,
        authorized_operations: i32 [3..] = super::metadata::OPERATIONS_NOT_ASKED,
    }

    /// One member.
    pub struct Member {
        member_id: String,
        group_instance_id: Option<String> [4..],
        client_id: String,
        client_host: String,
        member_metadata: Bytes,
        member_assignment: Bytes,
    }
}
