//! DescribeClientQuotas: the limits of users, client ids and addresses (KIP-546).

use super::table::*;

/// A [`Component::match_type`]: the entity of that name.
pub const EXACT: i8 = 0;
/// A [`Component::match_type`]: the default entity.
pub const DEFAULT: i8 = 1;
/// A [`Component::match_type`]: any entity of that type.
pub const ANY: i8 = 2;

message! {
    /// Which entities.
    pub struct Request (key 48, versions 0..=1, flexible 1..) -> Response {
        components: Vec<Component>,
        /// Leave out entities with further parts.
        strict: bool,
    }

    /// What one part of the entity must be.
    pub struct Component {
        /// `user`, `client-id` or `ip`.
        entity_type: String,
        match_type: i8,
        matched: Option<String>,
    }
}

message! {
    /// Their limits.
    pub struct Response (key 48, versions 0..=1, flexible 1..) {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        error_message: Option<String>,
        entries: Option<Vec<Entry>>,
    }

    /// The limits of one entity.
    pub struct Entry {
        entity: Vec<Entity>,
        values: Vec<Value>,
    }

    /// One part of an entity.
    pub struct Entity {
        entity_type: String,
        /// Null for the default.
        entity_name: Option<String>,
    }

    /// One limit.
    pub struct Value {
        key: String,
        value: Double,
    }
}
