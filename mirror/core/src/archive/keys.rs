use super::hash::ObjectHash;
use model::{OffsetRange, PartitionId, RegionName, TopicId};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The most characters of a backup's name.
const BACKUP_ID_CHARS_MAX: usize = 80;

/// A backup's name: safe in a path, and in the order of time when it begins with one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackupId(String);

/// Not a backup's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of a backup: 1 to {BACKUP_ID_CHARS_MAX} letters, digits, '-', '_' and '.', not led by a dot")]
pub struct BadBackupId(String);

impl BackupId {
    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BackupId {
    type Err = BadBackupId;

    fn from_str(name: &str) -> Result<Self, BadBackupId> {
        let sound = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        let fits = (1..=BACKUP_ID_CHARS_MAX).contains(&name.len()) && !name.starts_with('.');
        (sound && fits).then(|| Self(name.to_owned())).ok_or_else(|| BadBackupId(name.chars().take(100).collect()))
    }
}

impl TryFrom<String> for BackupId {
    type Error = BadBackupId;

    fn try_from(name: String) -> Result<Self, BadBackupId> {
        name.parse()
    }
}

impl From<BackupId> for String {
    fn from(id: BackupId) -> Self {
        id.0
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the objects of one repository are. Names of data carry their hash: the same content is the same object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    prefix: String,
}

impl Layout {
    /// The repository below `prefix`; empty for the whole bucket.
    pub fn new(prefix: &str) -> Self {
        let prefix = prefix.trim_matches('/');
        Self { prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") } }
    }

    /// A segment of raw batches.
    pub fn segment(&self, topic: TopicId, partition: PartitionId, range: OffsetRange, hash: ObjectHash) -> String {
        let OffsetRange { start, end } = range;
        format!("{}seg/{topic}/{partition}/{:020}-{:020}-{}.seg", self.prefix, start.0, end.0, hash.short())
    }

    /// A partition's manifest.
    pub fn partition(&self, topic: TopicId, partition: PartitionId, hash: ObjectHash) -> String {
        format!("{}pm/{topic}/{partition}/{hash}.pm", self.prefix)
    }

    /// The topics and their settings.
    pub fn topics(&self, hash: ObjectHash) -> String {
        format!("{}meta/{hash}.meta", self.prefix)
    }

    /// The groups' commits.
    pub fn offsets(&self, hash: ObjectHash) -> String {
        format!("{}off/{hash}.off", self.prefix)
    }

    /// What the names of all objects of a region's file begin with.
    pub fn file(&self, region: &RegionName, file: &str) -> String {
        format!("{}files/{region}/{file}/", self.prefix)
    }

    /// A backup's manifest; its presence makes the backup.
    pub fn backup(&self, id: &BackupId) -> String {
        format!("{}{id}/manifest", self.backups())
    }

    /// What the names of all backups' manifests begin with.
    pub fn backups(&self) -> String {
        format!("{}bkp/", self.prefix)
    }

    /// The backup whose manifest is called `key`; `None` for any other object.
    pub fn backup_of(&self, key: &str) -> Option<BackupId> {
        key.strip_prefix(&self.backups())?.strip_suffix("/manifest")?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Offset;

    #[test]
    fn names_are_in_the_order_of_the_offsets() {
        let (layout, hash) = (Layout::new("farshore/eu/"), ObjectHash::of(b""));
        let name = |start, end| {
            layout.segment(TopicId::ZERO, PartitionId(3), OffsetRange::new(Offset(start), Offset(end)), hash)
        };
        assert!(name(9, 10) < name(10, 1 << 41));
        assert_eq!(
            name(9, 10),
            "farshore/eu/seg/00000000-0000-0000-0000-000000000000/3/00000000000000000009-00000000000000000010-e3b0c44298fc1c14.seg"
        );
    }

    #[test]
    fn a_backup_is_found_by_its_manifest_only() {
        let layout = Layout::new("");
        let id: BackupId = "2026-11-21T10.00.00Z-default".parse().unwrap();
        assert_eq!(layout.backup_of(&layout.backup(&id)), Some(id));
        assert_eq!(layout.backup_of("bkp/a/other"), None);
        assert_eq!(layout.backup_of("bkp/a/b/manifest"), None);
        assert_eq!(layout.backup_of("seg/a/manifest"), None);
        assert!("../x".parse::<BackupId>().is_err() && "".parse::<BackupId>().is_err());
    }
}
