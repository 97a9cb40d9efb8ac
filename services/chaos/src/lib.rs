//! Real processes under real faults, and the judgement of what their clients saw.
//!
//! - [`brokers`]: one region of several brokers as child processes, with the handles to kill, pause and isolate each;
//! - [`history`]: what clients, drills and fault injectors write down while they run, as JSON lines;
//! - [`checker`]: a pure function from a history to a verdict, with no clock and no network;
//! - [`kafka`]: one broker of Apache Kafka, to copy from and to;
//! - [`line`]: a long line as packets see it: delay, jitter, bandwidth, loss and cuts per direction;
//! - [`peers`]: Apache Kafka, to compare with;
//! - [`platform`]: a whole Farshore as child processes, with the handles to kill, stop and start its regions.
//!
//! It knows nothing of how Farshore works inside: it sees what clients and operators see.

pub mod brokers;
pub mod checker;
pub mod history;
pub mod kafka;
pub mod line;
pub mod peers;
pub mod platform;
mod sockets;
