use super::Fence;
use bytes::Bytes;
use model::{Baseline, LeaderEpoch, Offset};
use record::BatchError;

/// What the shell reports.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The leader answered.
    Answered(Box<Answer>),
    /// The log was changed as commanded.
    Done,
    /// It was not, or not wholly: the log is as it is.
    Failed,
}

/// The largest epoch of a log that is not above another one, and where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The epoch; [`LeaderEpoch::NONE`] for none.
    pub epoch: LeaderEpoch,
    /// Where it ends.
    pub end: Offset,
}

/// What a leader said about one partition.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Under which leadership it was asked.
    pub fence: Fence,
    /// The offset it was asked for.
    pub from: Offset,
    /// Set when the follower's log has left the leader's; then nothing else counts.
    pub diverging: Option<EpochEnd>,
    /// Why there is nothing else.
    pub trouble: Option<Trouble>,
    /// The leader's high watermark.
    pub high_watermark: Offset,
    /// Its log start.
    pub log_start: Offset,
    /// What its log does not hold any more although nothing in it says so.
    pub baseline: Baseline,
    /// Where the first batch begins, as the leader found it.
    pub first_offset: Offset,
    /// Raw batches from the one that holds `from` on; perhaps none, perhaps torn at the end.
    pub batches: Bytes,
}

/// Why nothing came of a fetch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The leader has begun another leadership.
    #[error("the leadership that was asked is over")]
    Fenced,
    /// The broker has not heard of its leadership yet, or does not lead.
    #[error("the broker does not lead the partition, or does not know yet")]
    NotLeader,
    /// The offset is in the leader's log no more, or not yet, and no epoch says where the logs part.
    #[error("the offset is not in the leader's log")]
    OutOfRange,
    /// The leader cannot read its log.
    #[error("the leader cannot read its log")]
    Storage,
    /// The leader's log was cut meanwhile: the two have to be compared again.
    #[error("the leader's log was cut meanwhile")]
    AskAgain,
    /// This broker cannot write its log.
    #[error("this broker cannot write its log")]
    Unwritable,
    /// This broker's disk has too little space left.
    #[error("the disk is nearly full; free some space, the broker needs no restart")]
    NoRoom,
    /// The bytes are not batches.
    #[error("the batch at offset {at} is damaged: {error}")]
    Damaged {
        /// Where it should be.
        at: Offset,
        /// What is wrong.
        error: BatchError,
    },
    /// A batch lies before the end of the one before it, or not where the leader said.
    #[error("a batch begins at offset {found} where {expected} comes next")]
    OutOfOrder {
        /// What comes next.
        expected: Offset,
        /// What came.
        found: Offset,
    },
    /// A batch of a leader that cannot have written it yet (KAFKA-18723), or of an older one than the batch before it.
    #[error("the batch at offset {at} has leader epoch {epoch}, which does not follow {after}")]
    WrongEpoch {
        /// Where.
        at: Offset,
        /// Its epoch.
        epoch: LeaderEpoch,
        /// The epoch of the batch before it.
        after: LeaderEpoch,
    },
    /// The first batch of a lineage that departs elsewhere.
    #[error("the lineage that begins at base {base} departs from another offset than {tail}")]
    WrongHole {
        /// This log's tail.
        tail: Offset,
        /// Where the batch lies.
        base: Offset,
    },
}
