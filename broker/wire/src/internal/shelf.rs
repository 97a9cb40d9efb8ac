//! Shelf: what a backup reads of a partition's leader, and a restore has it write. For calls that carry batches.

use super::table::*;

message! {
    /// A call.
    pub struct Request (key 1004, versions 0..=0, flexible 0..) -> Response {
        /// JSON.
        question: Bytes,
        /// Raw batches, byte for byte.
        batches: Bytes,
    }
}

message! {
    /// Its outcome.
    pub struct Response (key 1004, versions 0..=0, flexible 0..) {
        error: ErrorCode,
        /// JSON: the answer or, with an error, what is wrong.
        answer: Bytes,
        /// Raw batches, byte for byte.
        batches: Bytes,
    }
}
