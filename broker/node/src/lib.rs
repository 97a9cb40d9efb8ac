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

mod api;
mod config;
mod listener;
mod ports;

pub use config::{Config, Flush};
