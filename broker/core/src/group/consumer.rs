//! Groups of the consumer protocol (KIP-848): the coordinator assigns, members only say what they read and own.
//!
//! ```text
//!   heartbeat --> the member, as it says it is --> group epoch: rises when members, subscriptions or topics change
//!                                                       |
//!                             targets: reckoned when the group epoch is above theirs, all at once
//!                                                       |
//!                             the member: one step towards its target (`reconcile`) --> its epoch, what it may own
//! ```
//!
//! A partition has one holder at most. Every change is made on a copy of the state, and the difference is written to
//! `__consumer_offsets` in Kafka's formats before anybody is told (`journal`). If it cannot be written, the copy before
//! comes back.

mod admit;
mod assignor;
mod classic;
mod classic_requests;
mod coordinate;
mod describe;
mod group;
mod heartbeat;
pub(super) mod journal;
mod message;
mod migrate;
mod partitions;
mod pattern;
mod protocol;
mod reconcile;
pub(super) mod state;
mod target;
mod topics;

pub use assignor::Assignor;
pub(super) use coordinate::Undo;
pub use describe::{ConsumerDescription, ConsumerMember};
pub(super) use group::ConsumerGroup;
pub use message::{Assigned, ConsumerHeartbeat};
pub use migrate::MigrationPolicy;
pub use partitions::Partitions;
pub use topics::{TopicShape, Topics};

use super::Settings;

/// What groups are told of the world.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub(super) settings: &'a Settings,
    pub(super) topics: &'a Topics,
    /// Counts the changes of `topics`.
    pub(super) version: u64,
}
