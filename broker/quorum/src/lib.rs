//! A Raft quorum with a durable log, generic over its state machine.
//!
//! ```text
//!   propose ---> leader: one log entry for all that wait ---> journals of a majority ---> apply on every node ---> answer
//!      ^            |
//!   any node     canvass, vote, append, snapshot: frames over TCP (`transport`)
//! ```
//!
//! What holds:
//! - a proposal that was answered is in the journals of a majority, flushed; a failed flush stops the node for good;
//! - every node applies the same commands in the same order; a state machine stores its [`Applied`] mark with their
//!   effects, so that none is applied twice;
//! - a node confirms its leadership by asking a majority, never by its clock;
//! - a node's directory belongs to its id for ever, and an id to one directory.
//!
//! # Nodes and incarnations
//!
//! A [`NodeId`] is (slot, incarnation). Founding members start with [`Config::is_new`] and call
//! [`Quorum::initialize`] with the same members. From then on `is_new` is false, and a node that finds its directory
//! empty ([`owner_of`] says so) does not start under its old id, under which it may have voted. It comes back so:
//!
//! 1. it asks any node by [`call_address`] to be let in, naming its slot;
//! 2. that node's [`Handler`] passes the request to the leader, whose owner proposes a command that allots the slot's next
//!    incarnation, stored by the state machine and never given out twice, and answers with the new id;
//! 3. the node starts under the new id with [`Config::is_new`], and waits;
//! 4. the leader calls [`Quorum::replace_member`]: the new id listens, catches up (by a snapshot if need be), gets the
//!    vote, and the old id is no member any more. This can be repeated after a crash of anybody.
//!
//! What this crate deliberately does not know: what the commands mean, who may propose them, and who allots incarnations.
//! The consensus library does not show outside.

mod config;
mod error;
mod identity;
mod journal;
mod member;
mod quorum;
mod raft;
mod state;
mod transport;

pub use config::{Config, Timing};
pub use error::{CallError, ConfirmError, MemberError, Outcome, ProposeError, StartError};
pub use identity::owner_of;
pub use member::{Member, Membership, NodeId};
pub use quorum::{Confirmed, Handler, Leadership, Predecessor, Progress, Quorum, Replica, Tenure};
pub use state::{Applied, Batch, Entry, Position, StateError, StateMachine};
pub use transport::call_address;
