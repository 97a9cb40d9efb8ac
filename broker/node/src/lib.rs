//! One broker process: listeners, one file per Kafka API, and the shells around the cores.
//!
//! ```text
//! socket -> listener -> api/<request> -> core (may I?) -> replica -> log
//!              ^                                             |
//!              '------ answers in request order <--- flush, watermark
//! ```
//!
//! Requests of one connection are started in the order they came and answered in that order; what an answer waits for
//! (a flush, a watermark, a group) does not keep the next request from being started.

mod active;
mod api;
mod broker;
mod cleaner;
mod config;
mod control;
mod controller;
mod copy;
mod data_plane;
mod doors;
mod durably;
mod facts;
mod failures;
mod groups;
mod heart;
mod internal;
mod launch;
mod leaders;
mod listener;
mod log_dirs;
mod lone_region;
mod members;
mod orders;
mod partitions;
mod ports;
mod producer_ids;
mod quotas;
mod region;
mod replica;
mod replication;
mod settings;
mod shelf;
pub mod standalone;
mod status;
mod storage_health;
mod strays;
mod topics;
mod verify;
mod waiting;

pub use active::{ActivePartition, ConflictsError, ConflictsPage, Dispute, SettleFailure, Settled, TakeFailure};
pub use broker::Broker;
pub use broker_core::liveness::Timing;
pub use broker_core::metadata::Location;

pub use cleaner::Cleaned;
pub use config::{Config, Flush, Listeners};
pub use control::ControlError;
pub use copy::{CopyFailure, CopyState};
pub use groups::ConsumerGroup;
pub use launch::StartError;
pub use ports::{CollectError, ConfigChange, Council, CouncilError, Links, NewTopic, NoCouncil, Ports};
pub use replica::{SourceMarks, SyncTerms};
pub use shelf::{RegionShelf, ShelfError};
pub use status::{ReplicaLag, StatusError};
