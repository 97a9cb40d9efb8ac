//! A copy between clusters of which one is reached through the Kafka protocol alone: Apache Kafka, Redpanda, MSK and others.
//!
//! Such a cluster assigns offsets itself, so a copy there has other offsets than its source. Two things make up for it:
//!
//! - an [`OffsetMap`] knows for every record where it went, in runs, so that the commits of consumer groups are translated
//!   exactly ([`groups`]);
//! - a [`Journal`](journal) remembers, before anything is sent, which source offsets go under which sequence numbers of an
//!   idempotent producer (KIP-98). Whatever becomes of an answer or of this process: the target's own log, or the same batch
//!   under the same numbers, tells whether it is there, and nothing is written twice or left out.
//!
//! ```text
//! source log, committed only     position          planned
//!   | 4 5 6 | marker | 9 10 | 12 |  ...            which offsets, under which sequence
//!       |                 |    |                       |
//!       v                 v    v                       v
//! target log   | 0 1 2 | 3 4 | 5 |     answer lost -> look in the log for our batches, then send what is not there again
//! ```
//!
//! - [`ahead`] decides what to read next, so that a long line is full.
//! - [`carry`] decides what of a source becomes which batch: most pass without being decompressed.
//! - [`chart`] is the map as records of a topic, which both clusters keep; [`keep`] says which account of it stands.
//! - [`routes`] refuses links that would send records round for ever.
//! - [`Copy`] is the state of one partition; every change of it is an [`Entry`] of its journal.

pub mod ahead;
pub mod carry;
pub mod chart;
mod copy;
pub mod groups;
pub mod journal;
pub mod keep;
mod map;
pub mod routes;

pub use copy::{Begin, Copy, CopyError, Identity, Planned, Translated};
pub use journal::Entry;
pub use map::{MapError, OffsetMap, Run};
