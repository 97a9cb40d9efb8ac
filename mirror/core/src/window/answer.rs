use crate::gap::Gap;
use bytes::Bytes;
use model::{Baseline, CopyTerm, LeaderEpoch, Offset, OffsetRange, OwnershipEpoch, Timestamp};
use record::BatchError;
use std::time::Duration;

/// Names one fetch. An answer to any but the newest is dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    /// The leadership start of the copy whose window asked: no two windows of a copy have the same.
    pub term: CopyTerm,
    /// Its number within that window.
    pub number: u64,
}

/// Names one run of fetches: the source hands the log out to them bit by bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stream {
    /// The window: another for each there ever was of this copy.
    pub window: u64,
    /// Its number within that window: a later one replaces it.
    pub run: u32,
}

/// What the shell reports.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The owner of the group under `ownership_epoch` can be asked.
    LinkUp {
        /// The grant.
        ownership_epoch: OwnershipEpoch,
    },
    /// It cannot.
    LinkDown,
    /// A fetch was answered.
    Answered {
        /// Which.
        ticket: Ticket,
        /// With what.
        answer: Answer,
    },
    /// A fetch ended without an answer.
    Unanswered {
        /// Which.
        ticket: Ticket,
    },
    /// Everything below is on disk in the copy's whole in-sync set.
    Flushed {
        /// The copy watermark.
        to: Offset,
    },
    /// The archive of a diverged tail is durable.
    Archived {
        /// What it holds.
        range: OffsetRange,
    },
    /// The log was cut off.
    Truncated {
        /// Where it ends now: where it was to be cut, or where the batch over that offset begins.
        tail: Offset,
    },
    /// The log refused a write; it takes no more.
    LogFailed,
    /// Nothing more is to be taken from any link.
    Seal,
    /// The seal is undone.
    Unseal,
}

/// What a source said to one fetch.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The source's clock.
    pub source_time: Timestamp,
    /// Its tail.
    pub source_tail: Offset,
    /// Its high watermark.
    pub high_watermark: Offset,
    /// Its log start.
    pub log_start: Offset,
    /// The epoch its leader appends under.
    pub leader_epoch: LeaderEpoch,
    /// The grant it holds.
    pub ownership_epoch: OwnershipEpoch,
    /// The time in the first batch at or after the fetch offset; [`Timestamp::NONE`] for none.
    pub oldest_unread: Timestamp,
    /// Which offsets of the fetch's stream it hands out, perhaps none; `None` when the source answers each fetch by itself,
    /// from where it asks on.
    pub served: Option<OffsetRange>,
    /// What its log does not hold any more although nothing in it says so.
    pub baseline: Baseline,
    /// The rest.
    pub body: Body,
}

/// What an answer is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Raw batches from the one that holds the fetch offset on; perhaps none, perhaps torn at the end.
    Records(Bytes),
    /// The copy has left the source's log.
    Diverging(Diverging),
    /// The fetch offset is outside the source's log; its log start says where to go on.
    OutOfRange,
    /// The source does not own the group.
    NotOwner,
    /// The source has another topic under this name.
    TopicReset,
    /// The copy knows a later leader epoch than the source: nothing of it is known there.
    Behind,
    /// Try again: no leader yet, topic not known yet, overloaded.
    Unavailable,
}

/// The largest epoch both logs may share, and where it ends at the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Diverging {
    /// The epoch; [`LeaderEpoch::NONE`] when the logs share none.
    pub epoch: LeaderEpoch,
    /// Where it ends.
    pub end: Offset,
}

/// One fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// To be given back with the answer.
    pub ticket: Ticket,
    /// The run it belongs to; `None` for one that is by itself.
    pub stream: Option<Stream>,
    /// From where; where its run began.
    pub from: Offset,
    /// The epoch of the last batch below it: the source checks whether the logs still agree.
    pub last_epoch: LeaderEpoch,
    /// Below it everything is on disk here.
    pub durable: Offset,
    /// The leadership of the source that was last heard of; [`LeaderEpoch::NONE`] before any was.
    pub leader_epoch: LeaderEpoch,
    /// How many bytes to ask for.
    pub bytes_max: u32,
    /// How long the source gathers records after the last answer to the run, unless there are as many as are asked for.
    pub spacing: Duration,
    /// How long to wait before asking.
    pub pause: Duration,
}

/// What the shell has to do. See the module for the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Ask the source.
    Fetch(Fetch),
    /// Append these whole, checked batches at the tail, as they are.
    Append {
        /// The batches.
        records: Bytes,
        /// From the tail to the next tail.
        range: OffsetRange,
    },
    /// Append this LEADER_CHANGE batch behind a hole.
    Cross {
        /// The batch.
        record: Bytes,
        /// From the tail, which is the common end, to the batch's offset.
        hole: OffsetRange,
        /// The epoch it begins.
        epoch: LeaderEpoch,
    },
    /// Copy the batches that hold these offsets to a diverged file and make it durable; then report `Archived`. A tail
    /// may be cut off in several rounds, the later ones below the earlier: each has a file of its own.
    Archive {
        /// From the common end to the tail.
        range: OffsetRange,
        /// The epoch of the last batch in it.
        last_epoch: LeaderEpoch,
    },
    /// Cut the log off; then report `Truncated`.
    Truncate {
        /// The common end.
        to: Offset,
    },
    /// Store that these offsets will never be here.
    RecordGap(Gap),
    /// Keep beside the copy, durably, what it does not hold although nothing in it says so.
    Inherit(Baseline),
    /// Drop the whole log and begin again, empty, at this offset.
    Restart {
        /// The source's log start, or the base of the batch it lies in; then the log start is raised later.
        at: Offset,
    },
    /// Forget what lies below.
    RaiseLogStart {
        /// The source's log start.
        to: Offset,
    },
    /// Show readers everything below.
    RaiseHighWatermark {
        /// The new high watermark.
        to: Offset,
    },
    /// The source sent what it must not; it was not appended and is asked for again.
    Report(Fault),
    /// Nothing more will be fetched.
    Stop {
        /// Why.
        reason: StopReason,
    },
}

/// Why a window stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// The source has another topic under this name.
    TopicReset,
    /// The source does not own the group. The next `LinkUp` begins again.
    NotOwner,
    /// Nothing more is to be taken from any link.
    Sealed,
    /// The source's log departs elsewhere than the council says.
    LineageMismatch,
    /// The copy's own log takes no more.
    LogFailed,
}

/// What a source must not send.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Damaged, or no batch.
    #[error("behind offset {tail} the source sent no sound batch: {error}")]
    Batch {
        /// The copy's tail.
        tail: Offset,
        /// What is wrong.
        error: BatchError,
    },
    /// A batch that begins below the tail and ends above it.
    #[error("the source sent a batch over {batch} while the copy ends at {tail}")]
    Overlap {
        /// The batch's offsets.
        batch: OffsetRange,
        /// The copy's tail.
        tail: Offset,
    },
    /// Offsets are missing and nothing says why.
    #[error("the source sent offset {base} behind offset {tail} without the batch that begins a new epoch there")]
    Hole {
        /// The copy's tail.
        tail: Offset,
        /// The batch's first offset.
        base: Offset,
    },
    /// An epoch older than the copy's last one.
    #[error("the source sent a batch of leader epoch {batch} behind one of epoch {last}")]
    EpochWentBack {
        /// The batch's epoch.
        batch: LeaderEpoch,
        /// The copy's last epoch.
        last: LeaderEpoch,
    },
    /// The source reports a divergence where there is nothing to cut off.
    #[error("the source says the logs part at {end} but the copy ends at {tail}")]
    NoDivergence {
        /// Where the source says they part.
        end: Offset,
        /// The copy's tail.
        tail: Offset,
    },
}
