//! AlterConfigs: replaces all settings of topics and brokers. What the request leaves out goes back to its default;
//! [`incremental_alter_configs`](super::incremental_alter_configs) changes one setting at a time.

use super::table::*;

message! {
    /// The settings to have.
    pub struct Request (key 33, versions 0..=2, flexible 2..) -> Response {
        resources: Vec<Resource>,
        validate_only: bool,
    }

    /// All settings of one resource; its types are those of [`describe_configs`](super::describe_configs).
    pub struct Resource {
        resource_type: i8,
        resource_name: String,
        configs: Vec<Config>,
    }

    /// One setting.
    pub struct Config {
        name: String,
        value: Option<String>,
    }
}

message! {
    /// The outcome.
    pub struct Response (key 33, versions 0..=2, flexible 2..) {
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
