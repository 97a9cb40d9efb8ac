//! ActiveFetch: a region of an active-active topic reads from another one what it lacks, and of whom. Nothing of a link is
//! kept but the logs themselves: each request names all that its region has received.

use super::table::*;

message! {
    /// Who asks, and what for.
    pub struct Request (key 1005, versions 0..=0, flexible 0..) -> Response {
        target_region: String,
        /// Nothing that it wrote itself is sent.
        target_incarnation: i32,
        max_wait_ms: i32,
        max_bytes: i32,
        partitions: Vec<Partition>,
    }

    /// One partition.
    pub struct Partition {
        topic_id: TopicId,
        partition: i32,
        /// What the asker has received.
        have: Vec<Tail>,
        /// Whose records come over this link.
        wanted: Vec<i32>,
    }

    /// How far the records of one region have come.
    pub struct Tail {
        /// The region's incarnation.
        origin: i32,
        /// The offset behind the last one, there.
        tail: i64,
    }
}

message! {
    /// What was found.
    pub struct Response (key 1005, versions 0..=0, flexible 0..) {
        error: ErrorCode,
        partitions: Vec<PartitionResponse>,
    }

    /// What the asker lacks of one partition, in the order in which it is to take it.
    pub struct PartitionResponse {
        topic_id: TopicId,
        partition: i32,
        error: ErrorCode,
        /// What the answering region has received.
        received: Vec<Received>,
        portions: Vec<Portion>,
        /// What it knows of what others have received.
        rows: Vec<Row>,
    }

    /// How far the records of one region have come.
    pub struct Received {
        origin: i32,
        tail: i64,
    }

    /// Records of one region that lie together in the answering region's log.
    pub struct Portion {
        /// Where they lie there, half open.
        local_start: i64,
        local_end: i64,
        /// The region that took them from a client, by incarnation.
        origin: i32,
        /// Where they lie there.
        start: i64,
        /// Where its records before them end.
        after: i64,
        epoch: i32,
        /// Their hybrid time.
        time: i64,
        /// What that region had received when they were written.
        seen: Vec<Received>,
        /// Whole batches, as they lie in the answering region's log.
        records: Records,
    }

    /// What a region had received before its own record at an offset, and all behind it.
    pub struct Row {
        region: i32,
        from: i64,
        seen: Vec<Received>,
    }
}
