//! Decisions of the mirror and the archive. Pure: no clock, no disk, no network; `now` is an argument.
//!
//! - [`window`] follows one partition of a source region, as a follower of its leader would: events in, commands out;
//! - [`flow`] sizes what is under way by the measured round trip;
//! - [`line`] says what the line to a source was like in the last seconds;
//! - [`lag`] says in records, bytes and seconds how far such a copy is behind, also when nothing moves;
//! - [`mode`] leads a protection group into SYNC and out of it;
//! - [`gap`] keeps what must not be passed over in silence as facts;
//! - [`cursor`] carries the commits of consumer groups;
//! - [`active`] lets several regions take writes under one name, and brings them to the same state;
//! - [`attached`] copies between clusters that assign offsets themselves, each record once, and knows where it went;
//! - [`verify`] proves up to which offset a copy is what its source is;
//! - [`salvage`] judges what a diverged tail holds that the new lineage lacks, and packs it to be written again;
//! - [`archive`] is the layout of backups, and the plan of a restore.

pub mod active;
pub mod archive;
pub mod attached;
pub mod cursor;
pub mod flow;
pub mod gap;
pub mod lag;
pub mod line;
pub mod mode;
mod offsets;
pub mod salvage;
pub mod verify;
pub mod window;

pub use offsets::{EpochList, EpochStart, UnsortedEpochs, count_without_holes};
