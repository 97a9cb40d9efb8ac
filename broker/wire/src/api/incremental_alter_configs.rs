//! IncrementalAlterConfigs: changes settings of topics and brokers.

use super::table::*;

/// A [`Config::config_operation`]: set the value.
pub const SET: i8 = 0;
/// A [`Config::config_operation`]: back to the default.
pub const DELETE: i8 = 1;
/// A [`Config::config_operation`]: add to a list.
pub const APPEND: i8 = 2;
/// A [`Config::config_operation`]: take from a list.
pub const SUBTRACT: i8 = 3;

message! {
    /// Which settings.
    pub struct Request (key 44, versions 0..=1, flexible 1..) -> Response {
        resources: Vec<Resource>,
        validate_only: bool,
    }

    /// The settings of one resource; its types are those of [`describe_configs`](super::describe_configs).
    pub struct Resource {
        resource_type: i8,
        resource_name: String,
        configs: Vec<Config>,
    }

    /// One setting.
    pub struct Config {
        name: String,
        config_operation: i8,
        value: Option<String>,
    }
}

message! {
    /// The outcome.
    pub struct Response (key 44, versions 0..=1, flexible 1..) {
        throttle_time_ms: i32,
        responses: Vec<ResourceResponse>,
    }

    /// The outcome for one resource.
    pub struct ResourceResponse {
        error_code: ErrorCode,
        error_message: Option<String>,
        resource_type: i8,
        resource_name: String,
    }
}
