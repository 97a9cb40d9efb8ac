//! Kafka record batches (format v2) as bytes: view, builder, checksum, bounded compression.
//!
//! A batch is a 61-byte [`Header`] and its records. Everything on a hot path looks at the header alone: [`BatchView`]
//! and [`Batches`] borrow, [`CheckedBatch`] is the proof that a produced batch passed every check that Kafka makes.
//! Records are decoded only where they must be ([`Records`]): one at a time, and never beyond a cap.
//!
//! The crate is pure: it knows no clock, no disk and no network.

mod builder;
mod check;
mod checksum;
mod compaction;
mod compression;
mod control;
mod header;
mod records;
mod rewrite;
mod varint;
mod view;

pub use builder::BatchBuilder;
pub use check::{CheckedBatch, ProduceError, ProduceRules};
pub use checksum::crc32c;
pub use compression::{Compression, UnknownCompression};
pub use control::{ControlRecord, end_txn_marker, leader_change};
pub use header::{Attributes, BatchError, HEADER_BYTES, Header, PREFIX_BYTES, SIZE_PREFIX_BYTES};
pub use records::{Record, RecordError, RecordHeader, Records};
pub use rewrite::{
    adopted, encode_prefix, sequence_after, set_base_offset, set_leader_epoch, stamp_append_time, stamped_header,
};
pub use view::{BatchView, Batches};
