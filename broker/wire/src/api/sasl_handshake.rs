//! SaslHandshake: agrees on a mechanism. After version 0 bare tokens follow, after version 1 SaslAuthenticate.

use super::table::*;

message! {
    /// Which mechanism.
    pub struct Request (key 17, versions 0..=1, flexible NEVER..) -> Response {
        mechanism: String,
    }
}

message! {
    /// Which there are.
    pub struct Response (key 17, versions 0..=1, flexible NEVER..) {
        error_code: ErrorCode,
        mechanisms: Vec<String>,
    }
}
