//! DescribeConfigs: the settings of topics, brokers and consumer groups.

use super::table::*;

/// A resource type: a topic.
pub const TOPIC: i8 = 2;
/// A resource type: a broker.
pub const BROKER: i8 = 4;

message! {
    /// Whose settings.
    pub struct Request (key 32, versions 1..=4, flexible 4..) -> Response {
        resources: Vec<Resource>,
        include_synonyms: bool,
        include_documentation: bool [3..],
    }

    /// One resource.
    pub struct Resource {
        resource_type: i8,
        resource_name: String,
        /// Null: all of them.
        configuration_keys: Option<Vec<String>> = Some(Vec::new()),
    }
}

message! {
    /// The settings.
    pub struct Response (key 32, versions 1..=4, flexible 4..) {
        throttle_time_ms: i32,
        results: Vec<ResourceResponse>,
    }

    /// The settings of one resource.
    pub struct ResourceResponse {
        error_code: ErrorCode,
        error_message: Option<String>,
        resource_type: i8,
        resource_name: String,
        configs: Vec<ConfigResponse>,
    }

    /// One setting.
    pub struct ConfigResponse {
        name: String,
        value: Option<String>,
        read_only: bool,
        /// 1: the topic's own; 4: the broker's; 5: the default; 8: the group's own.
        config_source: i8 = -1,
        is_sensitive: bool,
        synonyms: Vec<Synonym>,
        /// 1: boolean, 2: string, 3: int, 4: short, 5: long, 6: double, 7: list, 8: class, 9: password.
        config_type: i8 [3..],
        documentation: Option<String> [3..],
    }

    /// A setting that this one falls back to.
    pub struct Synonym {
        name: String,
        value: Option<String>,
        source: i8,
    }
}
