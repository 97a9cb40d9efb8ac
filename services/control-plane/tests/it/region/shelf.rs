//! An archive in memory.

use super::{Book, World};
use control_plane::ports::{
    ArchivedTopic, Archivist, BackupReceipt, BackupRequest, InspectError, PortError, Progress, RestoreReceipt,
    RestoreRequest, RestoredPartition,
};
use env::PortFuture;
use model::{LeaderEpoch, Offset, PartitionEnd, PartitionId, RegionName, TopicSpec};
use std::sync::{Arc, Mutex};

/// An archive in memory.
pub(crate) struct Shelf {
    pub(crate) book: Arc<Book>,
    pub(crate) world: Arc<World>,
    /// What restores fail with.
    pub(crate) damage: Arc<Mutex<Option<String>>>,
    /// Held while backups are to stay at work.
    pub(crate) hold: Arc<tokio::sync::RwLock<()>>,
}

impl Shelf {
    async fn put(&self, request: BackupRequest, progress: &(dyn Fn(Progress) + Send + Sync)) -> BackupReceipt {
        let bytes_total = request.topics.len() as u64 * 1000;
        progress(Progress { bytes_done: 1, bytes_total, partitions_done: 0, partitions_total: 1 });
        let _go_on = self.hold.read().await;
        let archived = |topic: TopicSpec| ArchivedTopic { topic, last_epoch: LeaderEpoch(4096 + 1), bytes: 1000 };
        let topics: Vec<_> = request.topics.into_iter().map(archived).collect();
        let partitions = topics.iter().map(|archived| archived.topic.partitions as u64).sum();
        self.world.backups.lock().unwrap().insert(request.backup.clone(), topics);
        BackupReceipt {
            manifest: format!("backups/{}", request.backup),
            manifest_sha256: "00".into(),
            partitions,
            records: partitions * 100,
            bytes: partitions * 1000,
            objects: 1,
            commits: 0,
        }
    }

    fn take(&self, request: &RestoreRequest) -> Result<RestoreReceipt, PortError> {
        if let Some(damage) = self.damage.lock().unwrap().clone() {
            return Err(PortError(damage));
        }
        let mut pages = self.book.pages();
        let mut partitions = vec![];
        for (name, id) in &request.topics {
            let topics = pages.topics();
            let topic = topics.iter().find(|topic| topic.id == *id).expect("the topic was made before");
            for n in (0..topic.partitions).map(PartitionId) {
                let (topic, last_epoch) = (*id, LeaderEpoch(4096 + 1));
                pages.ends.insert((*id, n), PartitionEnd { topic, partition: n, tail: Offset(100), last_epoch });
                let (topic, sha256) = (name.clone(), "00".to_owned());
                partitions.push(RestoredPartition { topic, partition: n, records: 100, bytes: 1000, sha256 });
            }
        }
        Ok(RestoreReceipt { at_once: 1, partitions, commits: u64::from(request.with_offsets) })
    }
}

impl Archivist for Shelf {
    fn kept_tails<'a>(
        &'a self,
        region: &'a RegionName,
        file: &'a str,
    ) -> PortFuture<'a, Result<Vec<String>, PortError>> {
        Box::pin(async move { Ok(vec![format!("{region}/{file}")]) })
    }

    fn backup<'a>(
        &'a self,
        request: BackupRequest,
        progress: &'a (dyn Fn(Progress) + Send + Sync),
    ) -> PortFuture<'a, Result<BackupReceipt, PortError>> {
        Box::pin(async move { Ok(self.put(request, progress).await) })
    }

    fn inspect<'a>(&'a self, backup: &'a str) -> PortFuture<'a, Result<Vec<ArchivedTopic>, InspectError>> {
        let found = self.world.backups.lock().unwrap().get(backup).cloned();
        Box::pin(async move { found.ok_or_else(|| InspectError::Damaged(format!("there is no manifest of {backup}"))) })
    }

    fn restore<'a>(
        &'a self,
        request: RestoreRequest,
        _: &'a (dyn Fn(Progress) + Send + Sync),
    ) -> PortFuture<'a, Result<RestoreReceipt, PortError>> {
        Box::pin(async move { self.take(&request) })
    }
}
