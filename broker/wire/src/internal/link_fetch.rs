//! LinkFetch: the leader of a copy reads raw batches from the leader of the source partition in another region, and
//! says in the same breath how far its copy is durable.

use super::table::*;

message! {
    /// What to read, and what the target has.
    pub struct Request (key 1001, versions 0..=0, flexible 0..) -> Response {
        link_id: String,
        target_region: String,
        target_incarnation: i32,
        max_wait_ms: i32,
        min_bytes: i32,
        max_bytes: i32,
        partitions: Vec<Partition>,
    }

    /// One partition, and from where.
    pub struct Partition {
        topic_id: TopicId,
        partition: i32,
        fetch_offset: i64,
        /// The leader epoch of the last batch the target has, -1 for none: the divergence check.
        last_epoch: i32 = -1,
        partition_max_bytes: i32,
        /// Below it the target's whole in-sync set has everything flushed.
        copy_durable_offset: i64 = -1,
        /// Fences leaders of the copy.
        copy_term: i64 = -1,
        /// The SYNC rule the target believes in, -1 for none: the next three count under the same rule only.
        mode_epoch: i64 = -1,
        /// The source's leader epoch that the target last heard of, -1 for none.
        source_leader_epoch: i32 = -1,
        /// The window whose run of fetches it belongs to, -1 for none. Fetches of one run all name the offset where the run
        /// began; the source hands out what follows to whichever comes first.
        run_window: i64 = -1,
        /// The run's number within that window.
        run: i32,
        /// How many milliseconds of records are gathered after the last answer to the run, unless they fill one.
        run_spacing_ms: i32,
    }
}

message! {
    /// What was read.
    pub struct Response (key 1001, versions 0..=0, flexible 0..) {
        error: ErrorCode,
        /// The source's clock.
        source_time_ms: i64 = -1,
        source_incarnation: i32 = -1,
        /// How many microseconds the source has kept the request: the rest of its time was the line's.
        held_us: i64 = -1,
        partitions: Vec<PartitionResponse>,
    }

    /// The records of one partition, and where its log stands.
    pub struct PartitionResponse {
        topic_id: TopicId,
        partition: i32,
        error: ErrorCode,
        high_watermark: i64 = -1,
        source_tail: i64 = -1,
        log_start: i64 = -1,
        leader_epoch: i32 = -1,
        ownership_epoch: i32 = -1,
        /// Set when the target's log has left the source's; then nothing else counts.
        diverging: Option<Diverging>,
        /// The timestamp of the first batch at or after the fetch offset, -1 for none.
        oldest_unread_append_time_ms: i64 = -1,
        tail_append_time_ms: i64 = -1,
        /// Which offsets of the run this answer hands out, half open; -1 where fetches share no run.
        run_start: i64 = -1,
        run_end: i64 = -1,
        /// What the log does not hold any more although nothing in it says so.
        baseline: Baseline [0..; tag 0],
        /// Raw batches, byte for byte.
        records: Records,
    }

    /// The largest epoch both logs may share, and where it ends at the source.
    pub struct Diverging {
        epoch: i32,
        end_offset: i64,
    }
}
