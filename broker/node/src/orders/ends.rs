//! Where the partitions of a group end that this broker leads.

use crate::Broker;
use crate::replica::{Ear, Lost, Partition, Standing};
use model::{LeaderEpoch, Offset, PartitionEnd, ProtectionGroup, SealedPartition};
use std::sync::Arc;

fn led(broker: &Broker, group: &ProtectionGroup) -> Vec<Arc<Partition>> {
    let held = broker.0.partitions.held();
    let topics = held.topics().filter(|topic| topic.is_live && topic.group.as_ref() == Some(group));
    topics.flat_map(|topic| topic.held()).filter(|partition| partition.is_led_here()).cloned().collect()
}

fn end(partition: &Partition) -> PartitionEnd {
    PartitionEnd {
        topic: partition.topic_id,
        partition: partition.number(),
        tail: partition.marks().flushed,
        last_epoch: partition.last_epoch(),
    }
}

/// Where every partition of the group that is led here durably ends now.
pub(crate) fn ends(broker: &Broker, group: &ProtectionGroup) -> Vec<PartitionEnd> {
    led(broker, group).iter().map(|partition| kept_end(partition)).collect()
}

/// The same once everything that was written is on the disks of the whole in-sync set.
///
/// # Errors
/// [`Lost`] when it will not be.
pub(crate) async fn flushed_ends(broker: &Broker, group: &ProtectionGroup) -> Result<Vec<PartitionEnd>, Lost> {
    let partitions = led(broker, group);
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
pub(crate) async fn opened_ends(broker: &Broker, group: &ProtectionGroup) -> Result<Vec<PartitionEnd>, Lost> {
    flushed_ends(broker, group).await?;
    let begun = |partition: &Arc<Partition>| PartitionEnd { last_epoch: partition.epoch(), ..end(partition) };
    Ok(led(broker, group).iter().map(begun).collect())
}

/// Waits until what is led here of `wanted` is held as far as that. What is led elsewhere is not waited for.
pub(crate) async fn caught_up(broker: &Broker, wanted: &[PartitionEnd]) {
    for end in wanted {
        let held = broker.0.partitions.held();
        if let Some(partition) = held.partition(end.topic, end.partition) {
            wait_for(partition, end.tail).await;
        }
    }
}

async fn wait_for(partition: &Arc<Partition>, tail: Offset) {
    let mut ear = Ear::new();
    loop {
        ear.listen(partition);
        if !partition.is_led_here() || kept(partition) >= tail {
            return;
        }
        ear.heard().await;
    }
}

/// Up to where the whole in-sync set has a partition that is led here on its disks.
fn kept(partition: &Partition) -> Offset {
    let marks = partition.marks();
    match partition.standing() {
        Standing::Copy { .. } => marks.copy_watermark,
        Standing::Owner { .. } => marks.high_watermark.max(marks.start),
        Standing::Idle | Standing::Replica { .. } => marks.flushed,
    }
}

fn kept_end(partition: &Partition) -> PartitionEnd {
    let tail = kept(partition);
    let below = partition.epochs().into_iter().rfind(|epoch| epoch.start < tail);
    PartitionEnd { tail, last_epoch: below.map_or(LeaderEpoch::NONE, |epoch| epoch.epoch), ..end(partition) }
}

/// What sealed copies hold, and what they know of their sources.
pub(crate) fn sealed(broker: &Broker, group: &ProtectionGroup) -> Vec<SealedPartition> {
    led(broker, group).iter().map(|partition| sealed_partition(partition)).collect()
}

fn sealed_partition(partition: &Partition) -> SealedPartition {
    let (end, source) = (kept_end(partition), partition.source());
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
