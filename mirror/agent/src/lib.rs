//! Sources, sinks and links of the mirror.
//!
//! ```text
//!   source region                                        one broker of the target region
//!   leader of a  <--- fetcher <--- way <--- follower of a (window of mirror-core) ----> Sink (the broker)
//!   leader of b  <--- fetcher <-----'  <--- follower of b ----------------------------> Sink
//!   coordinators <--- commits task ---------------------------------------------------> Sink
//! ```
//!
//! A link pulls: the target asks the owner of each protection group for what its copies lack, and appends it at the same
//! offsets and under the same leader epochs. One task per partition keeps order there and stalls nobody else. In a region
//! of several brokers each follows what it leads.
//!
//! [`active`] joins regions that all take writes for the same topics.
//!
//! [`attached`] copies from and to clusters that know nothing of links, through the Kafka protocol alone.
//!
//! [`archive`] is the other thing that is done with logs across regions: backups, and restores from them; [`salvage`] writes again what a failover left behind.

pub mod active;
mod agent;
pub mod archive;
pub mod attached;
mod commits;
mod fetcher;
mod follower;
mod ports;
pub mod salvage;
mod source;
mod verify;
mod way;

pub use agent::Agent;
pub use ports::{
    CommitsRequest, Connector, CopyKey, FetchAnswer, FetchPartition, FetchRequest, Sink, SinkError, Source,
    SourceError, SourceMarks, SyncTerms, SyncWord,
};
pub use source::WireConnector;
