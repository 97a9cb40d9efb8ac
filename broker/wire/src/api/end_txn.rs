//! EndTxn: commits or aborts a transaction.

use super::table::*;

message! {
    /// Whose, and which way.
    pub struct Request (key 26, versions 0..=4, flexible 3..) -> Response {
        transactional_id: String,
        producer_id: i64,
        producer_epoch: i16,
        committed: bool,
    }
}

message! {
    /// The outcome.
    pub struct Response (key 26, versions 0..=4, flexible 3..) {
        throttle_time_ms: i32,
        error_code: ErrorCode,
    }
}
