//! DescribeUserScramCredentials: which users have passwords (KIP-554).

use super::table::*;

message! {
    /// Which users.
    pub struct Request (key 50, versions 0..=0, flexible 0..) -> Response {
        /// Null or empty means all.
        users: Option<Vec<User>>,
    }

    /// One user.
    pub struct User {
        name: String,
    }
}

message! {
    /// Their credentials, without secrets.
    pub struct Response (key 50, versions 0..=0, flexible 0..) {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        error_message: Option<String>,
        results: Vec<UserResult>,
    }

    /// The credentials of one user.
    pub struct UserResult {
        user: String,
        error_code: ErrorCode,
        error_message: Option<String>,
        credential_infos: Vec<CredentialInfo>,
    }

    /// One credential.
    pub struct CredentialInfo {
        mechanism: i8,
        iterations: i32,
    }
}
