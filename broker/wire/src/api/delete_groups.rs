//! DeleteGroups: removes groups without members, offsets and all.

use super::table::*;

message! {
    /// Which groups.
    pub struct Request (key 42, versions 0..=2, flexible 2..) -> Response {
        groups_names: Vec<String>,
    }
}

message! {
    /// Which are gone.
    pub struct Response (key 42, versions 0..=2, flexible 2..) {
        throttle_time_ms: i32,
        results: Vec<GroupResponse>,
    }

    /// The outcome for one group.
    pub struct GroupResponse {
        group_id: String,
        error_code: ErrorCode,
    }
}
