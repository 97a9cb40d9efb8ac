//! Decisions of a broker: metadata, partition roles, fencing, group coordination. Pure.

pub mod metadata;
