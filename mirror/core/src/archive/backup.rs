use super::contents::decode;
use super::error::{ArchiveError, Defect};
use super::hash::{ObjectHash, ObjectRef};
use super::keys::{BackupId, Layout};
use super::limits::MANIFEST_BYTES_MAX;
use super::partition::{FinishedPartition, NewObject};
use model::{OffsetRange, OwnershipEpoch, PartitionId, ProtectionGroup, RegionName, Timestamp, TopicId, TopicName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What a backup adds to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupKind {
    /// Everything from the log starts to the cut.
    Full,
}

/// One partition of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionRef {
    /// The topic's name.
    pub topic: TopicName,
    /// The topic.
    pub topic_id: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// Its manifest.
    pub manifest: ObjectRef,
    /// From the log start to the cut.
    pub range: OffsetRange,
    /// Data records.
    pub records: u64,
    /// Bytes of its objects.
    pub stored_bytes: u64,
    /// The hash over its batches.
    pub content_hash: ObjectHash,
    /// Offsets that are missing because the source dropped them while the backup ran.
    pub gaps: Vec<OffsetRange>,
}

impl From<&FinishedPartition> for PartitionRef {
    fn from(finished: &FinishedPartition) -> Self {
        let manifest = &finished.manifest;
        Self {
            topic: manifest.topic.clone(),
            topic_id: manifest.topic_id,
            partition: manifest.partition,
            manifest: finished.object.clone(),
            range: manifest.range,
            records: manifest.records,
            stored_bytes: manifest.stored_bytes(),
            content_hash: manifest.content_hash,
            gaps: manifest.gaps.clone(),
        }
    }
}

/// The object whose presence makes a backup. As bytes: a line with the hash of the rest, then JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupManifest {
    /// The format of this object.
    pub format: u32,
    /// The backup's name.
    pub id: BackupId,
    /// What it adds.
    pub kind: BackupKind,
    /// The protection group it is of.
    pub group: ProtectionGroup,
    /// The region it was read from.
    pub region: RegionName,
    /// The grant under which it was read.
    pub ownership_epoch: OwnershipEpoch,
    /// When it was begun.
    pub started_at: Timestamp,
    /// When the ends of the partitions were taken.
    pub cut_at: Timestamp,
    /// When everything else was written.
    pub ended_at: Timestamp,
    /// The topics.
    pub topics: ObjectRef,
    /// The groups' commits.
    pub offsets: ObjectRef,
    /// The partitions.
    pub partitions: Vec<PartitionRef>,
}

const HASH_LINE: &str = "sha256:";

impl BackupManifest {
    /// The newest format.
    pub const FORMAT: u32 = 1;

    /// What to write, last of all.
    pub fn object(&self, layout: &Layout) -> NewObject {
        let json = serde_json::to_vec_pretty(self).expect("these types have nothing JSON cannot hold");
        let line = format!("{HASH_LINE}{}\n", ObjectHash::of(&json));
        NewObject::of(|_| layout.backup(&self.id), [line.as_bytes(), &json].concat())
    }

    /// Reads the manifest called `name`.
    ///
    /// # Errors
    /// [`ArchiveError`] when it is damaged, not readable, or names a partition twice.
    pub fn decode(name: &str, bytes: &[u8]) -> Result<Self, ArchiveError> {
        let json = checked_json(bytes).map_err(|defect| defect.of(name))?;
        let manifest: Self = decode(name, json, Self::FORMAT)?;
        manifest.check().map_err(|defect| defect.of(name))?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), Defect> {
        let mut seen = BTreeSet::new();
        let twice = self.partitions.iter().find(|found| !seen.insert((&found.topic, found.partition)));
        twice.map_or(Ok(()), |found| {
            let (expected, found) = ("once".to_owned(), format!("{}-{} twice", found.topic, found.partition));
            Err(Defect::Mismatch { what: "each partition", expected, found })
        })
    }

    /// Whether nothing is missing.
    pub fn is_complete(&self) -> bool {
        self.partitions.iter().all(|partition| partition.gaps.is_empty())
    }

    /// Data records.
    pub fn records(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.records).sum()
    }

    /// Bytes of all segments.
    pub fn stored_bytes(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.stored_bytes).sum()
    }
}

/// The JSON behind the hash line, when it is what was hashed.
fn checked_json(bytes: &[u8]) -> Result<&[u8], Defect> {
    let found = bytes.len() as u64;
    if found > MANIFEST_BYTES_MAX.0 {
        return Err(Defect::TooLarge { what: "it", found, limit: MANIFEST_BYTES_MAX.0 });
    }
    let (line, json) = bytes.split_at_checked(HASH_LINE.len() + 65).ok_or(Defect::Kind("backup manifest"))?;
    let digits = line.strip_prefix(HASH_LINE.as_bytes()).and_then(|line| line.strip_suffix(b"\n"));
    let expected = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    let expected = expected.ok_or(Defect::Kind("backup manifest"))?;
    let found = ObjectHash::of(json);
    if found == expected { Ok(json) } else { Err(Defect::Hash { expected, found }) }
}
