//! Ring 1: replication inside one region, in one thread, under time, disks and networks that follow from a seed.
//!
//! ```text
//!   faults, clients, consumers --events--> World --calls--> the cores of broker/core
//!                                            |                    |
//!                                        SimClock, SimNet,    commands, outcomes
//!                                        SimDisk                  |
//!                                            ^--------------------+--facts--> invariants, coverage
//! ```
//!
//! Brokers are thin drivers of the same cores that real brokers drive: [`broker_core::partition`] on leaders,
//! [`broker_core::follower`] on replicas, [`broker_core::metadata`] in the controllers, [`broker_core::liveness`] in the
//! active one. The quorum under the metadata is modelled: one log, agreed on by whoever reaches a majority, whose answers
//! may be lost.
//!
//! Beside that, [`active`] simulates regions that all take writes, over the cores of mirror/core.
//!
//! Every seed gives one run: faults for some seconds while all invariants are looked at with every fact, then everything
//! is healed and has to come together. The same seed gives the same run to the last byte of its trace.

pub mod active;
mod clock;
mod disk;
mod event;
mod guard;
mod history;
mod invariant;
mod marker;
mod named;
mod net;
mod process;
mod random;
mod run;
mod settings;
mod world;

pub use guard::Guard;
pub use marker::{Coverage, Marker};
pub use run::{Outcome, Violation, run, sweep};
pub use settings::Options;
