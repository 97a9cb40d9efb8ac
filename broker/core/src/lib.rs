//! Decisions of a broker: metadata, partition roles, fencing, group coordination. Pure.

pub mod group;
pub mod metadata;
