//! A full backup of one protection group's topics.

mod partition;

use super::contents::Contents;
use super::failure::ArchiveFailure;
use super::patience::patiently;
use super::pool::{self, Tracker};
use super::ports::{BackupSource, Extent};
use super::{Archive, ProgressListener};
use env::{ObjectError, PortFuture};
use mirror_core::archive::{
    BackupId, BackupKind, BackupManifest, FinishedPartition, ObjectHash, OffsetsObject, PartitionRef, TopicEntry,
    TopicsObject, WriterSettings,
};
use mirror_core::cursor::GroupCommit;
use model::{OwnershipEpoch, PartitionId, ProtectionGroup, RegionName, Timestamp, TopicId, TopicName, TopicSpec};
use partition::PartitionBackup;
use std::cmp::Reverse;
use std::sync::Arc;

/// What a backup shall hold.
#[derive(Clone, Debug, PartialEq)]
pub struct BackupRequest {
    /// Its name, unique for ever. Asking again under the same name goes on with the same backup.
    pub backup: BackupId,
    /// The protection group.
    pub group: ProtectionGroup,
    /// The region that owns it.
    pub region: RegionName,
    /// Its topics.
    pub topics: Vec<TopicSpec>,
    /// How many partitions are read at a time.
    pub parallel: usize,
    /// How the logs are cut up.
    pub settings: WriterSettings,
}

/// A backup that is complete: its manifest is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupReceipt {
    /// The manifest's object name.
    pub manifest: String,
    /// The manifest's hash.
    pub manifest_hash: ObjectHash,
    /// How many partitions it holds.
    pub partitions: u64,
    /// How many data records.
    pub records: u64,
    /// How many bytes of batches.
    pub bytes: u64,
    /// How many objects it is made of, those shared with other backups included.
    pub objects: u64,
    /// How many commits of consumer groups.
    pub commits: u64,
}

/// One partition to read, up to the cut.
#[derive(Clone, Debug)]
struct Reading {
    topic_id: TopicId,
    topic: TopicName,
    extent: Extent,
}

/// What was read before the data.
struct Begun {
    ownership: OwnershipEpoch,
    started_at: Timestamp,
    offsets: OffsetsObject,
    cut_at: Timestamp,
    readings: Vec<Reading>,
}

impl Archive {
    /// Backs up what `source` owns. A backup that is there already is only looked at.
    ///
    /// # Errors
    /// [`ArchiveFailure`]; the manifest was not written then.
    pub fn backup<'a>(
        &'a self,
        source: Arc<dyn BackupSource>,
        request: BackupRequest,
        listener: ProgressListener<'a>,
    ) -> PortFuture<'a, Result<BackupReceipt, ArchiveFailure>> {
        Box::pin(async move {
            if let Some(receipt) = self.finished_backup(&request).await? {
                return Ok(receipt);
            }
            let begun = self.begin_backup(&*source, &request).await?;
            let partitions = self.read_partitions(&source, &request, begun.readings.clone(), listener).await?;
            let manifest = self.manifest(&request, begun, &partitions).await?;
            check_ownership(&*source, &request.group, manifest.ownership_epoch).await?;
            self.publish(&request, &manifest).await
        })
    }

    async fn finished_backup(&self, request: &BackupRequest) -> Result<Option<BackupReceipt>, ArchiveFailure> {
        let contents = match self.contents(&request.backup).await {
            Err(ArchiveFailure::UnknownBackup(_)) => return Ok(None),
            contents => contents?,
        };
        if contents.manifest.group != request.group {
            let (backup, group) = (request.backup.clone(), contents.manifest.group);
            return Err(ArchiveFailure::NameTaken { backup, group });
        }
        self.receipt(&contents).await.map(Some)
    }

    async fn receipt(&self, contents: &Contents) -> Result<BackupReceipt, ArchiveFailure> {
        let partitions = contents.partitions.values();
        let segments: usize = partitions.clone().map(|partition| partition.segments.len()).sum();
        let commits = self.commits(&contents.manifest).await?.len();
        Ok(BackupReceipt {
            manifest: contents.object.key.clone(),
            manifest_hash: contents.object.hash,
            partitions: contents.partitions.len() as u64,
            records: contents.manifest.records(),
            bytes: partitions.map(|partition| partition.batch_bytes).sum(),
            // The manifests of the partitions, topics, commits and the manifest itself.
            objects: (segments + contents.partitions.len() + 3) as u64,
            commits: commits as u64,
        })
    }

    async fn begin_backup(&self, source: &dyn BackupSource, request: &BackupRequest) -> Result<Begun, ArchiveFailure> {
        let started_at = self.clock.now();
        let ownership = patiently(|| source.ownership(&request.group)).await?;
        let commits = patiently(|| source.commits(&request.group)).await?;
        let commits = commits.into_iter().filter(|commit| commit.offset.is_some()).map(GroupCommit::from).collect();
        let offsets = OffsetsObject::new(self.clock.now(), commits);
        let mut readings = Vec::new();
        for topic in &request.topics {
            readings.extend(readings_of(source, topic).await?);
        }
        readings.sort_by_key(|reading| Reverse(reading.extent.bytes));
        Ok(Begun { ownership, started_at, offsets, cut_at: self.clock.now(), readings })
    }

    async fn read_partitions(
        &self,
        source: &Arc<dyn BackupSource>,
        request: &BackupRequest,
        readings: Vec<Reading>,
        listener: ProgressListener<'_>,
    ) -> Result<Vec<FinishedPartition>, ArchiveFailure> {
        let tracker = Tracker::new(readings.len(), readings.iter().map(|reading| reading.extent.bytes).sum());
        let mut readings = readings.into_iter();
        let work = |reading| {
            let (source, objects, tracker) = (source.clone(), self.objects.clone(), tracker.clone());
            PartitionBackup { source, objects, tracker, reading }.run(self.layout.clone(), request.settings)
        };
        pool::run(request.parallel, &tracker, listener, || readings.next(), work).await
    }

    /// Writes topics and commits, and says what the manifest will.
    async fn manifest(
        &self,
        request: &BackupRequest,
        begun: Begun,
        finished: &[FinishedPartition],
    ) -> Result<BackupManifest, ArchiveFailure> {
        let topics = TopicsObject::new(request.topics.iter().map(topic_entry).collect()).object(&self.layout);
        let offsets = begun.offsets.object(&self.layout);
        let mut partitions: Vec<_> = finished.iter().map(PartitionRef::from).collect();
        partitions.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        let manifest = BackupManifest {
            format: BackupManifest::FORMAT,
            id: request.backup.clone(),
            kind: BackupKind::Full,
            group: request.group.clone(),
            region: request.region.clone(),
            ownership_epoch: begun.ownership,
            started_at: begun.started_at,
            cut_at: begun.cut_at,
            ended_at: self.clock.now(),
            topics: topics.object.clone(),
            offsets: offsets.object.clone(),
            partitions,
        };
        self.objects.put(topics).await?;
        self.objects.put(offsets).await?;
        Ok(manifest)
    }

    async fn publish(
        &self,
        request: &BackupRequest,
        manifest: &BackupManifest,
    ) -> Result<BackupReceipt, ArchiveFailure> {
        match self.objects.put_new(&manifest.object(&self.layout)).await {
            // Ours, its answer lost, or that of somebody who was asked the same: either way it is this backup now.
            Ok(()) | Err(ObjectError::Exists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let receipt = self.finished_backup(request).await?;
        receipt.ok_or_else(|| ArchiveFailure::UnknownBackup(request.backup.clone()))
    }
}

async fn readings_of(source: &dyn BackupSource, topic: &TopicSpec) -> Result<Vec<Reading>, ArchiveFailure> {
    let extents = patiently(|| source.extents(topic.id)).await?;
    let reading = |partition| {
        let extent = extents.iter().find(|extent| extent.partition == partition).copied();
        let missing = || ArchiveFailure::MissingPartition { topic: topic.name.clone(), partition };
        extent.ok_or_else(missing).map(|extent| Reading { topic_id: topic.id, topic: topic.name.clone(), extent })
    };
    (0..topic.partitions).map(PartitionId).map(reading).collect()
}

async fn check_ownership(
    source: &dyn BackupSource,
    group: &ProtectionGroup,
    before: OwnershipEpoch,
) -> Result<(), ArchiveFailure> {
    let after = patiently(|| source.ownership(group)).await?;
    let changed = || ArchiveFailure::ChangedHands { group: group.clone(), before, after };
    if after == before { Ok(()) } else { Err(changed()) }
}

fn topic_entry(topic: &TopicSpec) -> TopicEntry {
    let TopicSpec { id, name, partitions, config, .. } = topic.clone();
    TopicEntry { topic: name, topic_id: id, partitions, config }
}
