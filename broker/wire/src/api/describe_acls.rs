//! DescribeAcls: who may do what.

use super::table::*;

message! {
    /// Which entries.
    pub struct Request (key 29, versions 1..=3, flexible 2..) -> Response {
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
    /// The entries.
    pub struct Response (key 29, versions 1..=3, flexible 2..) {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        error_message: Option<String>,
        resources: Vec<Resource>,
    }

    /// The entries of one resource.
    pub struct Resource {
        resource_type: i8,
        resource_name: String,
        pattern_type: i8 = 3,
        acls: Vec<Acl>,
    }

    /// One entry.
    pub struct Acl {
        principal: String,
        host: String,
        operation: i8,
        permission_type: i8,
    }
}
