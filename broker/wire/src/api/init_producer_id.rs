//! InitProducerId: an id for an idempotent or transactional producer.

use super::table::*;

message! {
    /// Who asks.
    pub struct Request (key 22, versions 0..=5, flexible 2..) -> Response {
        /// Null: idempotent only.
        transactional_id: Option<String>,
        transaction_timeout_ms: i32,
        producer_id: i64 [3..] = -1,
        producer_epoch: i16 [3..] = -1,
    }
}

message! {
    /// The id.
    pub struct Response (key 22, versions 0..=5, flexible 2..) {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        producer_id: i64 = -1,
        producer_epoch: i16,
    }
}
