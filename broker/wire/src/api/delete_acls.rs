//! DeleteAcls: takes entries away that let or forbid something.

use super::table::*;

message! {
    /// Which entries.
    pub struct Request (key 31, versions 1..=3, flexible 2..) -> Response {
        filters: Vec<Filter>,
    }

    /// Which entries, by what they say.
    pub struct Filter {
        resource_type_filter: i8,
        resource_name_filter: Option<String>,
        pattern_type_filter: i8 = 3,
        principal_filter: Option<String>,
        host_filter: Option<String>,
        operation: i8,
        permission_type: i8,
    }
}

message! {
    /// The outcome, in the order of the request.
    pub struct Response (key 31, versions 1..=3, flexible 2..) {
        throttle_time_ms: i32,
        filter_results: Vec<FilterResult>,
    }

    /// The outcome for one filter.
    pub struct FilterResult {
        error_code: ErrorCode,
        error_message: Option<String>,
        matching_acls: Vec<MatchingAcl>,
    }

    /// One entry that was found.
    pub struct MatchingAcl {
        error_code: ErrorCode,
        error_message: Option<String>,
        resource_type: i8,
        resource_name: String,
        pattern_type: i8 = 3,
        principal: String,
        host: String,
        operation: i8,
        permission_type: i8,
    }
}
