use super::Reading;
use crate::archive::READ_BYTES;
use crate::archive::failure::ArchiveFailure;
use crate::archive::objects::Objects;
use crate::archive::patience::patiently;
use crate::archive::pool::{Tracker, compute, finished};
use crate::archive::ports::{BackupSource, LogRead};
use bytes::Bytes;
use mirror_core::archive::{Defect, FinishedPartition, Layout, NewObject, PartitionWriter, WriterSettings};
use std::sync::Arc;
use tokio::task::JoinSet;

/// The backup of one partition: reads on while the segment before is written.
pub(super) struct PartitionBackup {
    pub(super) source: Arc<dyn BackupSource>,
    pub(super) objects: Objects,
    pub(super) tracker: Tracker,
    pub(super) reading: Reading,
}

impl PartitionBackup {
    pub(super) async fn run(
        self,
        layout: Layout,
        settings: WriterSettings,
    ) -> Result<FinishedPartition, ArchiveFailure> {
        let Reading { topic_id, topic, extent } = self.reading.clone();
        let mut writer = PartitionWriter::new(layout, settings, (topic_id, topic), extent.partition, extent.range);
        let mut upload = Upload { objects: self.objects.clone(), under_way: JoinSet::new() };
        while !writer.is_complete() {
            let ready;
            (writer, ready) = self.step(writer).await?;
            upload.put(ready).await?;
        }
        let finishing = compute(move || writer.finish()).await;
        let mut finished = finishing.map_err(|defect| self.unsound(defect))?;
        upload.put(std::mem::take(&mut finished.objects)).await?;
        upload.end().await?;
        Ok(finished)
    }

    /// Reads on, and says which objects are ready.
    async fn step(&self, mut writer: PartitionWriter) -> Result<(PartitionWriter, Vec<NewObject>), ArchiveFailure> {
        let (key, from) = ((self.reading.topic_id, self.reading.extent.partition), writer.tail());
        let ready = match patiently(|| self.source.read(key, from, READ_BYTES)).await? {
            LogRead::Batches(batches) => {
                let ready;
                (writer, ready) = self.take(writer, batches).await?;
                ready
            }
            LogRead::Dropped { log_start } => writer.skip_to(log_start).into_iter().collect(),
        };
        if writer.tail() > from { Ok((writer, ready)) } else { Err(self.stalled(&writer)) }
    }

    async fn take(
        &self,
        mut writer: PartitionWriter,
        batches: Bytes,
    ) -> Result<(PartitionWriter, Vec<NewObject>), ArchiveFailure> {
        let bytes = batches.len() as u64;
        let (writer, taken) = compute(move || {
            let taken = writer.push(&batches);
            (writer, taken)
        })
        .await;
        self.tracker.add_bytes(bytes);
        Ok((writer, taken.map_err(|defect| self.unsound(defect))?))
    }

    fn stalled(&self, writer: &PartitionWriter) -> ArchiveFailure {
        let Reading { topic, extent, .. } = self.reading.clone();
        ArchiveFailure::Stalled { topic, partition: extent.partition, from: writer.tail(), until: extent.range.end }
    }

    fn unsound(&self, defect: Defect) -> ArchiveFailure {
        let Reading { topic, extent, .. } = self.reading.clone();
        ArchiveFailure::Unsound { topic, partition: extent.partition, defect }
    }
}

/// Writes one object at a time beside what makes the next.
struct Upload {
    objects: Objects,
    under_way: JoinSet<Result<(), ArchiveFailure>>,
}

impl Upload {
    async fn put(&mut self, ready: Vec<NewObject>) -> Result<(), ArchiveFailure> {
        for object in ready {
            self.end().await?;
            let objects = self.objects.clone();
            self.under_way.spawn(async move { objects.put(object).await });
        }
        Ok(())
    }

    async fn end(&mut self) -> Result<(), ArchiveFailure> {
        self.under_way.join_next().await.map_or(Ok(()), finished)
    }
}
