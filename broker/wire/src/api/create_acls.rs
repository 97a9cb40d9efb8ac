//! CreateAcls: lets or forbids principals to do something.

use super::table::*;

message! {
    /// The entries to make.
    pub struct Request (key 30, versions 1..=3, flexible 2..) -> Response {
        creations: Vec<Creation>,
    }

    /// One entry.
    pub struct Creation {
        resource_type: i8,
        resource_name: String,
        resource_pattern_type: i8 = 3,
        principal: String,
        host: String,
        operation: i8,
        permission_type: i8,
    }
}

message! {
    /// The outcome, in the order of the request.
    pub struct Response (key 30, versions 1..=3, flexible 2..) {
        throttle_time_ms: i32,
        results: Vec<CreationResult>,
    }

    /// The outcome for one entry.
    pub struct CreationResult {
        error_code: ErrorCode,
        error_message: Option<String>,
    }
}
