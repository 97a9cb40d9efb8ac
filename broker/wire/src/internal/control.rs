//! Control: a method by its name, with a JSON payload. For what is called rarely and changes often.

use super::table::*;

message! {
    /// A call.
    pub struct Request (key 1000, versions 0..=0, flexible NEVER..) -> Response {
        method: String,
        /// JSON.
        payload: Bytes,
    }
}

message! {
    /// Its outcome.
    pub struct Response (key 1000, versions 0..=0, flexible NEVER..) {
        error: ErrorCode,
        /// JSON: the answer or, with an error, what is wrong.
        payload: Bytes,
    }
}
