//! The words every part of Farshore shares: identifiers, offsets, epochs, time, the orders
//! and reports that cross between the control plane and a region, and the hard limits.
//!
//! Nothing here does anything; the types only make it hard to mix two things up. Numbers that must never go back
//! (`Offset`, the epochs) offer `advance`, which keeps the larger of two.

mod active;
mod assignment;
mod baseline;
mod broker;
mod bytes;
mod commits;
mod epoch;
mod id;
mod internal;
pub mod limits;
mod mode;
mod offset;
mod order;
mod reset;
mod status;
mod time;

pub use active::{ActiveActive, ActiveRegion, ConflictPolicy};
pub use assignment::{
    Assignment, Coverage, Grant, GrantState, Opening, Pattern, RegionAddress, TopicSpec, TopicState,
    coordinating_grant, covering_grant,
};
pub use baseline::Baseline;
pub use broker::{BrokerDrain, BrokerOrder, BrokerOrderError, BrokerStatus};
pub use bytes::ByteCount;
pub use commits::{Commit, CommitCursor, CommitMarks, CommitPage, CommitPart, CommitsSince, SyncCommits};
pub use epoch::{CopyTerm, EpochExhausted, Incarnation, LeaderEpoch, ModeEpoch, OwnershipEpoch};
pub use id::{
    BadName, BrokerSlot, GroupId, PartitionId, ProducerId, ProtectionGroup, RegionName, RunId, StepId, TopicId,
    TopicName, TopicPartition,
};
pub use internal::{BrokerAddress, FollowMetadata, Leaders, PartitionLeader, TopicLeaders, methods};
pub use mode::{
    AtRisk, Exposure, ExposureReason, Line, LineLimits, ModePhase, ModeState, Patience, SlowTarget, SyncRule,
    SyncStatus,
};
pub use offset::{Offset, OffsetRange};
pub use order::{Action, DivergedTail, Done, Gap, Order, OrderError, PartitionEnd, SealedPartition};
pub use reset::ResetPolicy;
pub use status::{
    CopyProof, DiskStatus, Holding, KeyProof, LinkPartitionStatus, PartitionStatus, RegionStatus, copy_states,
};
pub use time::Timestamp;
