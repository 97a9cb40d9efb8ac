//! The words every part of Farshore shares: identifiers, offsets, epochs, time, and the hard limits.
//!
//! Nothing here does anything; the types only make it hard to mix two things up. Numbers that must never go back
//! (`Offset`, the epochs) offer `advance`, which keeps the larger of two.

mod bytes;
mod epoch;
mod id;
pub mod limits;
mod offset;
mod time;

pub use bytes::ByteCount;
pub use epoch::{CopyTerm, EpochExhausted, Incarnation, LeaderEpoch, ModeEpoch, OwnershipEpoch};
pub use id::{
    BadName, BrokerSlot, GroupId, PartitionId, ProducerId, ProtectionGroup, RegionName, RunId, StepId, TopicId,
    TopicName, TopicPartition,
};
pub use offset::{Offset, OffsetRange};
pub use time::Timestamp;
