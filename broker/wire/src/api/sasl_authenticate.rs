//! SaslAuthenticate: one token of the mechanism in each direction.

use super::table::*;

message! {
    /// The client's token.
    pub struct Request (key 36, versions 0..=2, flexible 2..) -> Response {
        auth_bytes: Bytes,
    }
}

message! {
    /// The server's token.
    pub struct Response (key 36, versions 0..=2, flexible 2..) {
        error_code: ErrorCode,
        error_message: Option<String>,
        auth_bytes: Bytes,
        /// 0: the session does not expire (KIP-368).
        session_lifetime_ms: i64 [1..],
    }
}
