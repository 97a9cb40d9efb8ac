//! Active-active topics: every region takes writes under the same topic name, and all of them come to the same state.
//!
//! ```text
//!   clients --write--> log of region A --select--> (link, origin filter) --take--> log of region B --> conflicts,
//!                         | runs                                             | runs                     repeats
//!                      side log                                           side log
//! ```
//!
//! Each region gives its own offsets, from a [place of its own](first_offset) on. A record is known everywhere by its
//! [`Dot`]: the region that took it, by incarnation, and its offset there. A side log of [`Run`]s says of every offset of
//! the local log which record it holds, and what that record's region [had received](Vector) when it was written; it is
//! durable before the batch is visible.
//!
//! Invariants:
//!
//! - a region takes each origin's records in order and once, and no record before everything its writer's region had
//!   received: so what a region has received is one vector, and no record is sent to who has it, whatever the topology;
//! - a record conflicts with those of the same key that neither side had received when it wrote. No clock is asked for
//!   that;
//! - which of two conflicting records stands follows from the two and the [`Policy`] alone. So the standing record of a
//!   key, and the set of records that lost, depend on no order of arrival;
//! - where another record than the standing one is the last of its key in a log, the standing one is repeated. A repeat
//!   is no record of its own: it is never carried and never conflicts.
//!
//! What the shell does, on a partition's leader: for a batch a client wrote, [`Partition::write`]; for what a link's
//! source [`select`]s for the target's [`Ask`], [`Partition::take`] of each portion; then [`Partition::repeats`]. Each
//! gives runs, which go to the side log and are flushed with the batch before it becomes visible, and conflicts, whose
//! [`ConflictRecord`]s go to the topic `__farshore_conflicts` once that is flushed: before, a crash may still take one of
//! the two records. After a restart [`recovery`] says what of log and side log belongs together, and [`Partition::replay`]
//! of the records above [`Partition::settled_below`], which [`Settling`] finds the time to keep, brings the rest back;
//! conflicts found again have the keys they had, so that compaction leaves one of each.
//!
//! Records of these topics are decoded for their keys. Records without one never conflict.

mod carry;
mod clock;
mod conflict;
mod partition;
mod policy;
mod provenance;
mod resolve;
mod route;
mod settled;
mod stability;
mod table;
mod vector;
mod version;

pub use carry::{Ask, Carried, Portion, Refusal, select};
pub use clock::{DRIFT_MAX, Drift, HybridClock, HybridTime, Reading};
pub use conflict::{Conflict, ConflictKey, ConflictRecord, ConflictState, ConflictVersion, Payload, Reason};
pub use partition::{KeyedRecord, Partition, Repeat, Settings, Taken};
pub use policy::Policy;
pub use provenance::{Content, Defect, Misfit, Provenance, Recovery, Run, SideFile, SideIdentity, Written, recovery};
pub use resolve::Siblings;
pub use route::{Asking, Path, Routes, assign};
pub use settled::{BadMark, MarkBounds, Settling};
pub use stability::{Knowledge, Row};
pub use table::{Quarantined, SettleError, Settlement};
pub use vector::{Dot, Vector, first_offset};
pub use version::{Relation, Version};

/// The hard limits of active-active topics.
pub mod limits {
    /// The most regions, rebuilt ones counted anew, whose records one partition may hold.
    pub const ORIGINS_MAX: usize = 64;
    /// The most versions of one key whose conflicts are told apart; beyond it the oldest overwritten ones are
    /// forgotten.
    pub const VERSIONS_PER_KEY_MAX: usize = 1024;
    /// The most versions of a partition that some region may not have received yet; beyond it links wait.
    pub const VERSIONS_MAX: usize = 4_000_000;
    /// The most portions of one answer.
    pub const PORTIONS_MAX: usize = 4096;
    /// The largest value a conflict record repeats; a larger one is named by region and offset.
    pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;
}
