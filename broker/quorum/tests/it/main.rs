//! Whole nodes, on real files and loopback connections.

mod calls;
mod cluster;
mod counter;
mod failover;
mod members;
mod progress;
mod proxy;
mod single;
