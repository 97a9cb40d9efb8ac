//! ListGroups: the groups a broker coordinates.

use super::table::*;

message! {
    /// Which groups; an empty filter is none.
    pub struct Request (key 16, versions 0..=5, flexible 3..) -> Response {
        states_filter: Vec<String> [4..],
        types_filter: Vec<String> [5..],
    }
}

message! {
    /// The groups.
    pub struct Response (key 16, versions 0..=5, flexible 3..) {
        throttle_time_ms: i32 [1..],
        error_code: ErrorCode,
        groups: Vec<Group>,
    }

    /// One group.
    pub struct Group {
        group_id: String,
        protocol_type: String,
        group_state: String [4..],
        /// `classic` or `consumer`.
        group_type: String [5..],
    }
}
