//! AlterClientQuotas: sets and removes limits of users, client ids and addresses (KIP-546).

use super::table::*;

message! {
    /// What to change.
    pub struct Request (key 49, versions 0..=1, flexible 1..) -> Response {
        entries: Vec<Entry>,
        validate_only: bool,
    }

    /// What to change for one entity.
    pub struct Entry {
        entity: Vec<Entity>,
        ops: Vec<Op>,
    }

    /// One part of an entity.
    pub struct Entity {
        /// `user`, `client-id` or `ip`.
        entity_type: String,
        /// Null for the default.
        entity_name: Option<String>,
    }

    /// One limit.
    pub struct Op {
        key: String,
        value: Double,
        remove: bool,
    }
}

message! {
    /// The outcome, in the order of the request.
    pub struct Response (key 49, versions 0..=1, flexible 1..) {
        throttle_time_ms: i32,
        entries: Vec<EntryResponse>,
    }

    /// The outcome for one entity.
    pub struct EntryResponse {
        error_code: ErrorCode,
        error_message: Option<String>,
        entity: Vec<EntityResponse>,
    }

    /// One part of an entity.
    pub struct EntityResponse {
        entity_type: String,
        entity_name: Option<String>,
    }
}
