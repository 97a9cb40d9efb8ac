//! Whole nodes, on real files and loopback connections.

mod counter;
mod single;
