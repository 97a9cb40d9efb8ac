//! ReplicaFetch: a follower reads raw batches from its partitions' leader in the same region. One session per connection:
//! a request names what changed, an answer what is new.

use super::table::*;

message! {
    /// What to read from now on, and what is not wanted any more. The answer waits until there is something.
    pub struct Request (key 1002, versions 0..=0, flexible 0..) -> Response {
        /// The slot of the follower's broker.
        replica: i32,
        /// The session of that broker.
        broker_epoch: i64,
        /// Which of its connections this is.
        fetcher: i32,
        /// Names the session; chosen by the follower, above those before.
        session: i64,
        /// Numbers its requests. 0 begins it.
        sequence: i32,
        max_wait_ms: i32,
        max_bytes: i32,
        partition_max_bytes: i32,
        partitions: Vec<Partition>,
        forgotten: Vec<Forgotten>,
    }

    /// One partition, and from where. It is read once; then the follower says where to go on.
    pub struct Partition {
        topic_id: TopicId,
        partition: i32,
        /// Whether `fence` is a copy term; else it is a leader epoch.
        is_copy: bool,
        fence: i64,
        fetch_offset: i64,
        /// The leader epoch of the last batch the follower has, -1 for none: the divergence check.
        last_epoch: i32 = -1,
        /// Below it the follower has everything on disk.
        durable_offset: i64 = -1,
    }

    /// A partition that is fetched no more.
    pub struct Forgotten {
        topic_id: TopicId,
        partition: i32,
    }
}

message! {
    /// What was read.
    pub struct Response (key 1002, versions 0..=0, flexible 0..) {
        error: ErrorCode,
        partitions: Vec<PartitionResponse>,
    }

    /// The records of one partition, and where its log stands.
    pub struct PartitionResponse {
        topic_id: TopicId,
        partition: i32,
        is_copy: bool,
        fence: i64,
        /// The offset that was asked for.
        fetch_offset: i64,
        error: ErrorCode,
        high_watermark: i64 = -1,
        log_start: i64 = -1,
        /// Set when the follower's log has left this one; then nothing else counts.
        diverging: Option<Diverging>,
        /// Where the first batch begins.
        first_offset: i64 = -1,
        /// What the log does not hold any more although nothing in it says so.
        baseline: Baseline [0..; tag 0],
        /// Raw batches, byte for byte.
        records: Records,
    }

    /// The largest epoch both logs may share, and where it ends at the leader.
    pub struct Diverging {
        epoch: i32,
        end_offset: i64,
    }
}
