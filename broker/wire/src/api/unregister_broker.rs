//! UnregisterBroker: forgets a broker that is gone for good (KIP-631).

use super::table::*;

message! {
    /// Which broker.
    pub struct Request (key 64, versions 0..=0, flexible 0..) -> Response {
        broker_id: i32,
    }
}

message! {
    /// The outcome.
    pub struct Response (key 64, versions 0..=0, flexible 0..) {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        error_message: Option<String>,
    }
}
