//! A Raft quorum with a durable log store, generic over its state machine. The consensus library does not show.

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
pub use quorum::{Confirmed, Handler, Leadership, Quorum, Tenure};
pub use state::{Applied, Batch, Entry, Position, StateError, StateMachine};
pub use transport::call_address;
