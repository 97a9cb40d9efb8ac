//! AddOffsetsToTxn: a transaction is about to commit offsets of a group.

use super::table::*;

message! {
    /// Whose, and which group.
    pub struct Request (key 25, versions 0..=4, flexible 3..) -> Response {
        transactional_id: String,
        producer_id: i64,
        producer_epoch: i16,
        group_id: String,
    }
}

message! {
    /// The outcome.
    pub struct Response (key 25, versions 0..=4, flexible 3..) {
        throttle_time_ms: i32,
        error_code: ErrorCode,
    }
}
