//! OffsetForLeaderEpoch: where a leader epoch ended (KIP-101, KIP-320).

use super::table::*;

message! {
    /// Which epochs.
    pub struct Request (key 23, versions 2..=4, flexible 4..) -> Response {
        /// -1: a consumer; -2: anybody, in version 2.
        replica_id: i32 [3..] = -2,
        topics: Vec<Topic>,
    }

    /// Partitions of one topic.
    pub struct Topic {
        topic: String,
        partitions: Vec<Partition>,
    }

    /// One partition, and which epoch.
    pub struct Partition {
        partition: i32,
        current_leader_epoch: i32 = -1,
        leader_epoch: i32,
    }
}

message! {
    /// Their ends.
    pub struct Response (key 23, versions 2..=4, flexible 4..) {
        throttle_time_ms: i32,
        topics: Vec<TopicResponse>,
    }

    /// Partitions of one topic.
    pub struct TopicResponse {
        topic: String,
        partitions: Vec<EpochEndOffset>,
    }

    /// The largest epoch up to the one that was asked for, and its end.
    pub struct EpochEndOffset {
        error_code: ErrorCode,
        partition: i32,
        leader_epoch: i32 = -1,
        end_offset: i64 = -1,
    }
}
