//! Decisions of a broker: metadata, partition roles, fencing, group coordination. Pure.
//!
//! Everything here is a function of what it is told: time is an argument, on the boot clock unless it is written down;
//! names and ids are made by the caller. The shells around it (crate `broker`) do what it decides.

pub mod authority;
pub mod config;
pub mod fetch_wait;
pub mod follower;
pub mod group;
pub mod lease;
pub mod liveness;
pub mod metadata;
pub mod pace;
pub mod partition;
pub mod quota;
pub mod region;
pub mod retention;
pub mod session;
pub mod topic;
