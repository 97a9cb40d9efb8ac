//! Sources, sinks and links of the mirror.
//!
//! ```text
//!   source region                                target region
//!   internal listener <--- fetcher <--- follower (window of mirror-core) ----> Sink (the region's broker)
//!                     <--- commits task -------------------------------------> Sink
//! ```
//!
//! A link pulls: the target asks the owner of each protection group for what its copies lack, and appends it at the same
//! offsets and under the same leader epochs. One task per partition keeps order there and stalls nobody else.
//!
//! [`archive`] is the other thing that is done with logs across regions: backups, and restores from them.

mod agent;
pub mod archive;
mod commits;
mod fetcher;
mod follower;
mod ports;
mod source;

pub use agent::Agent;
pub use ports::{
    CommitsRequest, Connector, CopyKey, FetchAnswer, FetchPartition, FetchRequest, Sink, SinkError, Source,
    SourceError, SourceMarks,
};
pub use source::WireConnector;
