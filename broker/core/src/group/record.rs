//! The records of `__consumer_offsets`, in Kafka's own formats, so that Kafka's tools read them.
//!
//! ```text
//!   key   i16 1 | group | topic | partition            offset      value i16 4 | OffsetCommitValue, flexible (KIP-915)
//!   key   i16 2 | group                                group       value i16 3 | GroupMetadataValue
//! ```
//!
//! [`consumer`] has those of groups of the consumer protocol.
//!
//! An offset's value carries two tagged fields: Kafka's topic id (tag 0) and our ownership epoch (tag 4000), which Kafka
//! skips. Values of all earlier versions are read.

mod bytes_of;
pub(super) mod consumer;
mod group;
mod offset;

pub use consumer::ConsumerKey;
pub use group::{GroupRecord, MemberRecord, group_key, group_value, read_group};
pub use offset::{CommitKey, OffsetRecord, offset_key, offset_value, read_offset};

use bytes::Bytes;
use bytes_of::Reader;
use model::GroupId;

/// What a record of `__consumer_offsets` is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// A committed offset.
    Offset(CommitKey),
    /// A group of the classic protocol.
    Group(GroupId),
    /// Something of a group of the consumer protocol.
    Consumer(GroupId, ConsumerKey),
    /// Something of a later Kafka that this broker does not keep.
    Other(i16),
}

/// A record that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It ends too early or holds an impossible length.
    #[error("a record of __consumer_offsets is cut off or malformed")]
    Malformed,
    /// Its version is not known.
    #[error("version {0} of a record of __consumer_offsets is not known")]
    Version(i16),
}

/// Reads a record's key.
///
/// # Errors
/// [`RecordError::Malformed`] when it is not one.
pub fn read_key(key: &Bytes) -> Result<Key, RecordError> {
    let mut reader = Reader(key.clone());
    match reader.i16()? {
        0 | 1 => Ok(Key::Offset(offset::read_offset_key(&mut reader)?)),
        2 => Ok(Key::Group(GroupId::new(reader.text()?))),
        other => {
            let found = consumer::read_key(other, &mut reader)?;
            Ok(found.map_or(Key::Other(other), |(group, key)| Key::Consumer(group, key)))
        }
    }
}
