use super::error::{ArchiveError, Defect};
use super::keys::Layout;
use super::limits::MANIFEST_BYTES_MAX;
use super::partition::NewObject;
use crate::cursor::GroupCommit;
use model::{Timestamp, TopicId, TopicName};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The topics of a backup as they were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicsObject {
    /// The format of this object.
    pub format: u32,
    /// The topics.
    pub topics: Vec<TopicEntry>,
}

/// One topic as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicEntry {
    /// Its name.
    pub topic: TopicName,
    /// Its id. A restored topic gets another one.
    pub topic_id: TopicId,
    /// How many partitions it had.
    pub partitions: i32,
    /// Its settings, as Kafka names them.
    pub config: BTreeMap<String, String>,
}

/// The commits of the groups at the cut: read before the data's cut was taken, so that none points behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetsObject {
    /// The format of this object.
    pub format: u32,
    /// When they were read, on the source's clock.
    pub read_at: Timestamp,
    /// The newest commit of each group and partition.
    pub commits: Vec<GroupCommit>,
}

impl TopicsObject {
    /// The newest format.
    pub const FORMAT: u32 = 1;

    /// The object of `topics`.
    pub fn new(topics: Vec<TopicEntry>) -> Self {
        Self { format: Self::FORMAT, topics }
    }

    /// What to write.
    pub fn object(&self, layout: &Layout) -> NewObject {
        NewObject::of(|hash| layout.topics(hash), encode(self))
    }

    /// Reads the object called `name`.
    ///
    /// # Errors
    /// [`ArchiveError`] when it is not readable.
    pub fn decode(name: &str, bytes: &[u8]) -> Result<Self, ArchiveError> {
        decode(name, bytes, Self::FORMAT)
    }
}

impl OffsetsObject {
    /// The newest format.
    pub const FORMAT: u32 = 1;

    /// The object of `commits`, which were read at `read_at`.
    pub fn new(read_at: Timestamp, commits: Vec<GroupCommit>) -> Self {
        Self { format: Self::FORMAT, read_at, commits }
    }

    /// What to write.
    pub fn object(&self, layout: &Layout) -> NewObject {
        NewObject::of(|hash| layout.offsets(hash), encode(self))
    }

    /// Reads the object called `name`.
    ///
    /// # Errors
    /// [`ArchiveError`] when it is not readable.
    pub fn decode(name: &str, bytes: &[u8]) -> Result<Self, ArchiveError> {
        decode(name, bytes, Self::FORMAT)
    }
}

pub(super) fn encode<T: Serialize>(object: &T) -> Vec<u8> {
    serde_json::to_vec(object).expect("these types have nothing JSON cannot hold")
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// Reads an object of a format up to `newest`.
pub(super) fn decode<T: DeserializeOwned>(name: &str, bytes: &[u8], newest: u32) -> Result<T, ArchiveError> {
    read(bytes, newest).map_err(|defect| defect.of(name))
}

fn read<T: DeserializeOwned>(bytes: &[u8], newest: u32) -> Result<T, Defect> {
    let found = bytes.len() as u64;
    if found > MANIFEST_BYTES_MAX.0 {
        return Err(Defect::TooLarge { what: "it", found, limit: MANIFEST_BYTES_MAX.0 });
    }
    let Format { format } = serde_json::from_slice(bytes).map_err(Defect::Json)?;
    if format > newest {
        return Err(Defect::Format { found: format, newest });
    }
    serde_json::from_slice(bytes).map_err(Defect::Json)
}
