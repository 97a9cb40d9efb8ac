//! Where the partitions of a group end here.

use crate::Broker;
use crate::replica::{Ear, Lost, Partition};
use model::{Offset, PartitionEnd, ProtectionGroup, SealedPartition};
use std::sync::Arc;

fn partitions(broker: &Broker, group: &ProtectionGroup) -> Vec<Arc<Partition>> {
    let held = broker.0.partitions.held();
    let topics = held.topics().filter(|topic| topic.is_live && topic.group.as_ref() == Some(group));
    topics.flat_map(|topic| topic.held()).cloned().collect()
}

fn end(partition: &Partition) -> PartitionEnd {
    PartitionEnd {
        topic: partition.topic_id,
        partition: partition.number(),
        tail: partition.marks().flushed,
        last_epoch: partition.last_epoch(),
    }
}

/// Where every partition of the group durably ends now.
pub(super) fn ends(broker: &Broker, group: &ProtectionGroup) -> Vec<PartitionEnd> {
    partitions(broker, group).iter().map(|partition| end(partition)).collect()
}

/// The same once everything that was written is on disk.
///
/// # Errors
/// [`Lost`] when it will not be.
pub(super) async fn flushed_ends(broker: &Broker, group: &ProtectionGroup) -> Result<Vec<PartitionEnd>, Lost> {
    let partitions = partitions(broker, group);
    for partition in &partitions {
        partition.flush_soon();
        partition.flushed(partition.marks().tail).await?;
    }
    Ok(partitions.iter().map(|partition| end(partition)).collect())
}

/// The same of a group that was opened, with the leader epochs it is led under.
///
/// # Errors
/// As [`flushed_ends`].
pub(super) async fn opened_ends(broker: &Broker, group: &ProtectionGroup) -> Result<Vec<PartitionEnd>, Lost> {
    flushed_ends(broker, group).await?;
    let led = |partition: &Arc<Partition>| PartitionEnd { last_epoch: partition.epoch(), ..end(partition) };
    Ok(partitions(broker, group).iter().map(led).collect())
}

/// Waits until this region durably holds everything below `wanted`.
pub(super) async fn caught_up(broker: &Broker, wanted: &[PartitionEnd]) {
    let mut changes = broker.0.partitions.changes();
    for end in wanted {
        let partition = loop {
            let held = broker.0.partitions.held();
            if let Some(partition) = held.partition(end.topic, end.partition) {
                break partition.clone();
            }
            // The topic may not have been made here yet.
            let _ = changes.changed().await;
        };
        wait_for(&partition, end.tail).await;
    }
}

async fn wait_for(partition: &Arc<Partition>, tail: Offset) {
    let mut ear = Ear::new();
    loop {
        ear.listen(partition);
        if partition.marks().flushed >= tail {
            return;
        }
        ear.heard().await;
    }
}

/// What sealed copies hold, and what they know of their sources.
pub(super) fn sealed(broker: &Broker, group: &ProtectionGroup) -> Vec<SealedPartition> {
    partitions(broker, group).iter().map(|partition| sealed_partition(partition)).collect()
}

fn sealed_partition(partition: &Partition) -> SealedPartition {
    let (end, source) = (end(partition), partition.source());
    SealedPartition {
        topic: end.topic,
        partition: end.partition,
        durable_end: end.tail,
        last_epoch: end.last_epoch,
        source_tail: source.map(|source| source.tail),
        source_watermark: source.map(|source| source.high_watermark),
        missing_bytes: source.map_or(0, |source| source.missing_bytes),
        oldest_missing: source.and_then(|source| source.oldest_missing),
        heard_at: source.map(|source| source.heard_at),
    }
}
