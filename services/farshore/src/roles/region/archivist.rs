//! Backup and restore between this region's broker and the object store.

use broker::{Broker, RegionShelf, ShelfError};
use bytes::Bytes;
use control_plane::ports::{
    ArchivedTopic, Archivist, BackupReceipt, BackupRequest, InspectError, PortError, Progress, RestoreReceipt,
    RestoreRequest, RestoredPartition,
};
use env::PortFuture;
use mirror::CopyKey;
use mirror::archive::{
    self, Archive, ArchiveFailure, BackupSource, Extent, LogRead, LogSpan, RegionError, RestoreTarget,
};
use mirror_core::archive::{BackupId, WriterSettings};
use model::{ByteCount, Commit, Offset, OffsetRange, OwnershipEpoch, ProtectionGroup, RegionName, TopicId};
use std::sync::Arc;

/// How many partitions a backup reads at a time.
const BACKUP_PARALLEL: usize = 4;

/// Moves data between a region and an archive.
pub(super) struct BrokerArchivist {
    shelf: Arc<Shelf>,
    archive: Archive,
    /// Where diverged tails are kept.
    tails: Option<Archive>,
    region: RegionName,
}

/// The region's logs, each at its leader; and the broker that speaks for the region.
struct Shelf {
    broker: Broker,
    region: RegionShelf,
}

impl BrokerArchivist {
    pub(super) fn new(broker: Broker, archive: Archive, tails: Option<Archive>, region: RegionName) -> Self {
        let shelf = Arc::new(Shelf { region: broker.region_shelf(), broker });
        Self { shelf, archive, tails, region }
    }
}

fn port(failure: ArchiveFailure) -> PortError {
    let mut text = failure.to_string();
    let mut cause = std::error::Error::source(&failure);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    PortError(text)
}

fn uninspected(failure: ArchiveFailure) -> InspectError {
    let may_be_later = failure.is_retryable();
    let PortError(text) = port(failure);
    if may_be_later { InspectError::NotNow(text) } else { InspectError::Damaged(text) }
}

fn backup_id(name: &str) -> Result<BackupId, PortError> {
    name.parse().map_err(|error| PortError(format!("{error}")))
}

fn told(progress: archive::Progress) -> Progress {
    Progress {
        bytes_done: progress.bytes_done,
        bytes_total: progress.bytes_total,
        partitions_done: progress.partitions_done,
        partitions_total: progress.partitions_total,
    }
}

impl Archivist for BrokerArchivist {
    fn kept_tails<'a>(
        &'a self,
        region: &'a RegionName,
        file: &'a str,
    ) -> PortFuture<'a, Result<Vec<String>, PortError>> {
        Box::pin(async move {
            let Some(tails) = &self.tails else { return Ok(vec![]) };
            let name = file.rsplit('/').next().unwrap_or(file);
            tails.kept_files(region, name).await.map_err(port)
        })
    }

    fn backup<'a>(
        &'a self,
        request: BackupRequest,
        progress: &'a (dyn Fn(Progress) + Send + Sync),
    ) -> PortFuture<'a, Result<BackupReceipt, PortError>> {
        Box::pin(async move {
            let request = archive::BackupRequest {
                backup: backup_id(&request.backup)?,
                group: request.group,
                region: self.region.clone(),
                topics: request.topics,
                parallel: BACKUP_PARALLEL,
                settings: WriterSettings::default(),
            };
            let tell = |at: archive::Progress| progress(told(at));
            let receipt = self.archive.backup(self.shelf.clone(), request, &tell).await.map_err(port)?;
            Ok(BackupReceipt {
                manifest: receipt.manifest,
                manifest_sha256: receipt.manifest_hash.to_string(),
                partitions: receipt.partitions,
                records: receipt.records,
                bytes: receipt.bytes,
                objects: receipt.objects,
                commits: receipt.commits,
            })
        })
    }

    fn inspect<'a>(&'a self, backup: &'a str) -> PortFuture<'a, Result<Vec<ArchivedTopic>, InspectError>> {
        Box::pin(async move {
            let id = backup_id(backup).map_err(|error| InspectError::Damaged(error.0))?;
            let inspection = self.archive.inspect(&id).await.map_err(uninspected)?;
            let topics = inspection.topics.into_iter().map(|archived| ArchivedTopic {
                topic: archived.topic,
                last_epoch: archived.last_epoch,
                bytes: archived.bytes,
            });
            Ok(topics.collect())
        })
    }

    fn restore<'a>(
        &'a self,
        request: RestoreRequest,
        progress: &'a (dyn Fn(Progress) + Send + Sync),
    ) -> PortFuture<'a, Result<RestoreReceipt, PortError>> {
        Box::pin(async move {
            let topics = request.topics.into_iter().map(|(name, id)| archive::RestoredTopic {
                archived: name.clone(),
                name,
                id,
            });
            let request = archive::RestoreRequest {
                backup: backup_id(&request.backup)?,
                topics: topics.collect(),
                with_offsets: request.with_offsets,
                parallel: request.parallel as usize,
            };
            let tell = |at: archive::Progress| progress(told(at));
            let receipt = self.archive.restore(self.shelf.clone(), request, &tell).await.map_err(port)?;
            let partitions = receipt.partitions.into_iter().map(|log| RestoredPartition {
                topic: log.topic,
                partition: log.partition,
                records: log.records,
                bytes: log.bytes,
                sha256: log.content_hash.to_string(),
            });
            let (partitions, at_once) = (partitions.collect(), receipt.at_once);
            Ok(RestoreReceipt { partitions, at_once, commits: receipt.commits })
        })
    }
}

fn shelf(error: ShelfError) -> RegionError {
    match error {
        ShelfError::NotReady(reason) => RegionError::NotReady(reason),
        ShelfError::Unknown { .. } => RegionError::NotReady(error.to_string()),
        ShelfError::Dropped { .. } | ShelfError::Failed(_) => RegionError::Refused(error.to_string()),
    }
}

impl BackupSource for Shelf {
    fn ownership<'a>(&'a self, group: &'a ProtectionGroup) -> PortFuture<'a, Result<OwnershipEpoch, RegionError>> {
        let serves = self.broker.serves(group);
        Box::pin(async move {
            serves.ok_or_else(|| RegionError::NotReady(format!("this region does not serve {group} now")))
        })
    }

    fn commits<'a>(&'a self, group: &'a ProtectionGroup) -> PortFuture<'a, Result<Vec<Commit>, RegionError>> {
        Box::pin(async move { self.region.commits(group).await.map_err(shelf) })
    }

    fn extents(&self, topic: TopicId) -> PortFuture<'_, Result<Vec<Extent>, RegionError>> {
        Box::pin(async move {
            let extents = self.region.extents(topic).await.map_err(shelf)?.into_iter();
            Ok(extents.map(|(partition, range, size)| Extent { partition, range, bytes: size.0 }).collect())
        })
    }

    fn read(
        &self,
        (topic, partition): CopyKey,
        from: Offset,
        bytes_max: u32,
    ) -> PortFuture<'_, Result<LogRead, RegionError>> {
        Box::pin(async move {
            let max = ByteCount(bytes_max.into());
            match self.region.read(topic, partition, from, max, true).await {
                Ok(batches) => Ok(LogRead::Batches(batches)),
                Err(ShelfError::Dropped { start, .. }) => Ok(LogRead::Dropped { log_start: start }),
                Err(error) => Err(shelf(error)),
            }
        })
    }
}

impl RestoreTarget for Shelf {
    fn span(&self, (topic, partition): CopyKey) -> PortFuture<'_, Result<LogSpan, RegionError>> {
        Box::pin(async move {
            let span = self.region.span(topic, partition).await.map_err(shelf)?;
            Ok(LogSpan { start: span.start, tail: span.end })
        })
    }

    fn begin(&self, (topic, partition): CopyKey, at: Offset) -> PortFuture<'_, Result<(), RegionError>> {
        Box::pin(async move { self.region.begin(topic, partition, at).await.map_err(shelf) })
    }

    fn append(
        &self,
        (topic, partition): CopyKey,
        at: Offset,
        batches: Bytes,
    ) -> PortFuture<'_, Result<(), RegionError>> {
        Box::pin(async move { self.region.append(topic, partition, at, batches).await.map_err(shelf) })
    }

    fn read(
        &self,
        (topic, partition): CopyKey,
        from: Offset,
        bytes_max: u32,
    ) -> PortFuture<'_, Result<Bytes, RegionError>> {
        Box::pin(async move {
            self.region.read(topic, partition, from, ByteCount(bytes_max.into()), false).await.map_err(shelf)
        })
    }

    fn finish(&self, (topic, partition): CopyKey, range: OffsetRange) -> PortFuture<'_, Result<(), RegionError>> {
        Box::pin(async move { self.region.finish(topic, partition, range.start).await.map_err(shelf) })
    }

    fn apply_commits<'a>(
        &'a self,
        _: &'a ProtectionGroup,
        commits: Vec<Commit>,
    ) -> PortFuture<'a, Result<(), RegionError>> {
        Box::pin(async move { self.region.restore_commits(commits).await.map(drop).map_err(shelf) })
    }
}
