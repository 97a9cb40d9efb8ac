//! What a backup holds, read from its objects and believed only where the hashes agree.

use super::Archive;
use super::failure::ArchiveFailure;
use env::ObjectError;
use mirror_core::archive::{
    BackupId, BackupManifest, Defect, ObjectRef, OffsetsObject, PartitionManifest, TopicEntry, TopicsObject,
};
use mirror_core::cursor::GroupCommit;
use model::{LeaderEpoch, ProtectionGroup, RegionName, Timestamp, TopicId, TopicName, TopicSpec, TopicState};
use std::collections::BTreeMap;

/// One topic of a backup, for a restore to be planned by.
#[derive(Clone, Debug, PartialEq)]
pub struct ArchivedTopic {
    /// The topic as it was.
    pub topic: TopicSpec,
    /// The greatest leader epoch any of its batches carries: a restored topic's own begin above it.
    pub last_epoch: LeaderEpoch,
    /// Its data records.
    pub records: u64,
    /// Bytes of its batches.
    pub bytes: u64,
}

/// What a backup holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
    /// Its name.
    pub backup: BackupId,
    /// The protection group it is of.
    pub group: ProtectionGroup,
    /// The region it was read from.
    pub region: RegionName,
    /// When the ends of its partitions were taken.
    pub cut_at: Timestamp,
    /// Its topics.
    pub topics: Vec<ArchivedTopic>,
    /// Whether nothing is missing: the source dropped nothing while it was read.
    pub is_complete: bool,
}

/// The manifests of a backup, each with the hash it must have.
pub(super) struct Contents {
    pub(super) object: ObjectRef,
    pub(super) manifest: BackupManifest,
    pub(super) topics: Vec<TopicEntry>,
    /// By the names of their objects.
    pub(super) partitions: BTreeMap<String, PartitionManifest>,
}

impl Contents {
    /// The id of a topic when it was backed up.
    pub(super) fn topic_id(&self, name: &TopicName) -> Option<TopicId> {
        self.topics.iter().find(|topic| topic.topic == *name).map(|topic| topic.topic_id)
    }
}

impl Archive {
    /// What a backup holds, its manifests verified.
    ///
    /// # Errors
    /// [`ArchiveFailure`] when there is no such backup or one of its manifests is missing or damaged.
    pub async fn inspect(&self, backup: &BackupId) -> Result<Inspection, ArchiveFailure> {
        let Contents { manifest, topics, partitions, .. } = self.contents(backup).await?;
        let topics = topics.into_iter().map(|topic| archived(topic, &manifest.group, partitions.values()));
        Ok(Inspection {
            backup: backup.clone(),
            topics: topics.collect(),
            is_complete: manifest.is_complete(),
            group: manifest.group,
            region: manifest.region,
            cut_at: manifest.cut_at,
        })
    }

    /// The names of all backups.
    ///
    /// # Errors
    /// [`ArchiveFailure::Store`].
    pub async fn backups(&self) -> Result<Vec<BackupId>, ArchiveFailure> {
        let listed = self.objects.list(&self.layout.backups()).await?;
        Ok(listed.iter().filter_map(|object| self.layout.backup_of(&object.key)).collect())
    }

    pub(super) async fn contents(&self, backup: &BackupId) -> Result<Contents, ArchiveFailure> {
        let key = self.layout.backup(backup);
        let body = self.objects.read_small(&key).await.map_err(|failure| match failure {
            ArchiveFailure::Store(ObjectError::NotFound { .. }) => ArchiveFailure::UnknownBackup(backup.clone()),
            other => other,
        })?;
        let manifest = BackupManifest::decode(&key, &body)?;
        if manifest.id != *backup {
            let (expected, found) = (backup.to_string(), manifest.id.to_string());
            return Err(Defect::Mismatch { what: "the backup's name", expected, found }.of(&key).into());
        }
        let topics = self.objects.read_checked(&manifest.topics).await?;
        let topics = TopicsObject::decode(&manifest.topics.key, &topics)?.topics;
        let partitions = self.partition_manifests(&manifest).await?;
        Ok(Contents { object: ObjectRef::of(key, &body), manifest, topics, partitions })
    }

    async fn partition_manifests(
        &self,
        manifest: &BackupManifest,
    ) -> Result<BTreeMap<String, PartitionManifest>, ArchiveFailure> {
        let mut partitions = BTreeMap::new();
        for listed in &manifest.partitions {
            let key = &listed.manifest.key;
            let body = self.objects.read_checked(&listed.manifest).await?;
            partitions.insert(key.clone(), PartitionManifest::decode(key, &body)?);
        }
        Ok(partitions)
    }

    pub(super) async fn commits(&self, manifest: &BackupManifest) -> Result<Vec<GroupCommit>, ArchiveFailure> {
        let body = self.objects.read_checked(&manifest.offsets).await?;
        Ok(OffsetsObject::decode(&manifest.offsets.key, &body)?.commits)
    }
}

fn archived<'a>(
    entry: TopicEntry,
    group: &ProtectionGroup,
    partitions: impl Iterator<Item = &'a PartitionManifest>,
) -> ArchivedTopic {
    let own: Vec<_> = partitions.filter(|partition| partition.topic_id == entry.topic_id).collect();
    let TopicEntry { topic, topic_id, partitions, config } = entry;
    let state = TopicState::Live;
    ArchivedTopic {
        last_epoch: own.iter().map(|partition| partition.last_epoch()).max().unwrap_or(LeaderEpoch::NONE),
        records: own.iter().map(|partition| partition.records).sum(),
        bytes: own.iter().map(|partition| partition.batch_bytes).sum(),
        topic: TopicSpec {
            id: topic_id,
            name: topic,
            partitions,
            config,
            group: group.clone(),
            state,
            epochs_above: None,
        },
    }
}
