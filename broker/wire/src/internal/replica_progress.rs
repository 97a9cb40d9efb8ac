//! ReplicaProgress: a follower tells its leader what it has on disk by now, beside the fetch that waits. Nothing comes
//! back.

use super::table::*;

message! {
    /// What a session's follower holds.
    pub struct Request (key 1003, versions 0..=0, flexible 0..) -> Response {
        replica: i32,
        broker_epoch: i64,
        fetcher: i32,
        session: i64,
        /// Whether the fetch that waits is to be answered at once: the follower has other wishes.
        ends_wait: bool,
        partitions: Vec<Partition>,
    }

    /// One partition.
    pub struct Partition {
        topic_id: TopicId,
        partition: i32,
        /// Whether `fence` is a copy term; else it is a leader epoch.
        is_copy: bool,
        fence: i64,
        /// Below it the follower has everything on disk.
        durable_offset: i64,
    }
}

message! {
    /// Never sent.
    pub struct Response (key 1003, versions 0..=0, flexible 0..) {
        error: ErrorCode,
    }
}
