//! What a region knows of itself: the state machine of its metadata quorum.
//!
//! ```text
//!  council's catalog --Assignment--> reconcile --Commands--> quorum --> Image::apply --> Image
//!                                        ^                                                 |
//!                                        +-------------------------------------------------+
//! ```
//!
//! [`Image::apply`] is deterministic: the same commands in the same order give the same image on every broker. A command
//! names the epoch, session or council index it was made under, and one that is out of date is refused: nothing in an
//! image ever goes back. [`reconcile`] only compares; sending what it answers twice changes nothing.
//!
//! It does not know what is on disk, whether a lease stands, or what time it is.

mod boot;
mod broker;
mod changes;
mod command;
mod drain;
mod election;
mod eligible;
mod fence;
mod grant;
mod group_entries;
mod image;
mod isr;
mod journal;
mod leader;
mod offline;
mod partition;
mod place;
mod quota;
mod reassign;
mod reconcile;
mod refusal;
mod reign;
mod rules;
#[cfg(test)]
pub(crate) mod samples;
mod topic;
mod view;

pub use boot::Boot;
pub use broker::{Addresses, Admission, Broker, BrokerEpoch, Location};
pub use changes::Changes;
pub use command::{Answer, Command};
pub use drain::{Drain, Load};
pub use election::{Choice, UncleanElection};
pub use grant::Group;
pub use image::{Image, Region};
pub use journal::{Journal, JournaledOrder};
pub use leader::{Leader, Lineage, Role, Start, Started, Under};
pub use partition::{Due, Partition};
pub use place::Placement;
pub use reassign::{Move, Reassignment};
pub use reconcile::{REPLICAS, REPLICAS_ENTRY, reconcile, replicas_wanted};
pub use refusal::Refusal;
pub use reign::Reign;
pub use rules::RULES;
pub use topic::{Topic, TopicDraft};
pub use view::{BrokerView, PartitionView, TopicView, View};
