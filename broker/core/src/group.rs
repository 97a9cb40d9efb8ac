//! Consumer groups: the coordinator of the classic and the consumer protocol ([`Request::Consumer`], KIP-848), and the
//! committed offsets. The classic protocol:
//!
//! ```text
//!            first member joins            all rejoined, or time is up
//!   Empty ------------------> Preparing ------------------------------> Completing
//!     ^                        ^  ^                                       |   |
//!     | nobody left            |  +--------- a member joins or goes ------+   | the leader's assignment
//!     +------------------------+                                              v is on disk
//!                              +------------ a member joins or goes ------- Stable
//! ```
//!
//! A request is answered by an [`Effect::Reply`] that carries its [`Token`]: at once, or when the rebalance it waits for
//! has come to its end. Time comes in with every call; [`Coordinator::next_deadline`] says when to call
//! [`Coordinator::on_time`]. Committed offsets live beside the machine in [`offsets`]: a commit is admitted here, appended
//! to `__consumer_offsets` by the shell, and applied when it is durable.
//!
//! It does not know which groups its region coordinates; the shell asks the metadata image and tells it what was lost
//! ([`Coordinator::lose`]).

mod commit;
mod consumer;
mod coordinator;
mod describe;
mod id;
mod join;
mod leave;
mod machine;
mod member;
mod message;
pub mod offsets;
mod rebalance;
pub mod record;
mod replay;
mod settings;
mod subscription;
mod sync;

pub use consumer::{
    Assigned, Assignor, ConsumerDescription, ConsumerHeartbeat, ConsumerMember, MigrationPolicy, Partitions,
    TopicShape, Topics,
};
pub use coordinator::Coordinator;
pub use describe::{Description, Listing, MemberDescription};
pub use id::{InstanceId, MemberId, Moment, Token};
pub use machine::Phase;
pub use message::{
    Commit, Effect, GroupError, Heartbeat, Join, Joined, JoinedMember, Leave, Leaver, Protocol, Reply, Request, Sync,
    Synced,
};
pub use replay::replay;
pub use settings::Settings;
