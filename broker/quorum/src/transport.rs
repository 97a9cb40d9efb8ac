//! Frames between the nodes of a quorum, over TCP.
//!
//! ```text
//! frame: len u32 | kind u8 | id u64 | payload        (little-endian; len counts what follows it)
//! ```
//!
//! A connection begins with a hello that names the cluster, the sender and the node it wants; the other side answers
//! with a welcome or a refusal, so that a node that was rebuilt under a new id never gets what is meant for the old one.
//! After that requests are pipelined and answered in any order. Each pair of nodes has one connection per [`Lane`], so
//! that a large snapshot or a slow call never delays a heartbeat.

mod frame;
mod link;
mod listener;
mod peers;

pub(crate) use frame::Kind;
pub(crate) use listener::{Listener, Service};
pub(crate) use peers::Peers;
pub use peers::call_address;

use crate::NodeId;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    /// Votes and log entries: short and urgent.
    Raft,
    /// Snapshots.
    Bulk,
    /// Proposals and calls of the application.
    Call,
}

/// The first frame of a connection.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Hello {
    format: u32,
    cluster: String,
    /// Who calls; nobody yet, for a node that has no id.
    from: Option<NodeId>,
    /// Who is meant; whoever is there, for a node that knows only addresses.
    to: Option<NodeId>,
}

const FORMAT: u32 = 1;
/// The longest a handshake or a write may take.
const STEP_MAX: std::time::Duration = std::time::Duration::from_secs(5);
