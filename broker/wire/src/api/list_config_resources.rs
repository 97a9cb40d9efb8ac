//! ListConfigResources: which resources have settings (KIP-1000, KIP-1142).

use super::table::*;

/// A resource type: subscriptions to client metrics. Version 0 knows no other.
pub const CLIENT_METRICS: i8 = 16;
/// A resource type: consumer groups.
pub const GROUP: i8 = 32;

message! {
    /// Which types of resources.
    pub struct Request (key 74, versions 0..=1, flexible 0..) -> Response {
        /// Empty means all.
        resource_types: Vec<i8> [1..],
    }
}

message! {
    /// The resources.
    pub struct Response (key 74, versions 0..=1, flexible 0..) {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        config_resources: Vec<ConfigResource>,
    }

    /// One resource.
    pub struct ConfigResource {
        resource_name: String,
        resource_type: i8 [1..] = 16,
    }
}
