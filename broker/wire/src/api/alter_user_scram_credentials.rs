//! AlterUserScramCredentials: sets and removes passwords (KIP-554).

use super::table::*;

message! {
    /// What to change.
    pub struct Request (key 51, versions 0..=0, flexible 0..) -> Response {
        deletions: Vec<Deletion>,
        upsertions: Vec<Upsertion>,
    }

    /// A credential to remove.
    pub struct Deletion {
        name: String,
        mechanism: i8,
    }

    /// A credential to set.
    pub struct Upsertion {
        name: String,
        mechanism: i8,
        iterations: i32,
        salt: Bytes,
        salted_password: Bytes,
    }
}

message! {
    /// The outcome, one per user.
    pub struct Response (key 51, versions 0..=0, flexible 0..) {
        throttle_time_ms: i32,
        results: Vec<UserResult>,
    }

    /// The outcome for one user.
    pub struct UserResult {
        user: String,
        error_code: ErrorCode,
        error_message: Option<String>,
    }
}
