//! Topics that every region takes writes for, as links, the control plane and people see them.

use crate::Broker;
use crate::control::CONFLICTS_TOPIC;
use crate::listener::stopped;
use crate::replica::{self, Acks, Isolation, Partition, Standing};
use mirror_core::active::{Carried, ConflictRecord, ConflictVersion, Dot, Payload, Row, Vector};
use model::{ByteCount, Offset, PartitionId, TopicId, TopicName, TopicPartition, limits};
use record::{BatchBuilder, Batches, CheckedBatch, ProduceRules};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How many conflicts are written in one batch.
const TOLD_AT_ONCE: usize = 64;
/// About how many bytes of them.
const TOLD_BYTES: usize = 1 << 20;
/// How soon what could not be written is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How long a choice of a person may take to become durable.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);
/// About how many bytes of conflicts are shown at once.
const PAGE_BYTES: usize = 4 << 20;
/// How much of the conflict topic is read at once.
const READ_BYTES: ByteCount = ByteCount::mib(1);

/// A partition that every region takes writes for, as this one sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivePartition {
    /// Which.
    pub partition: TopicPartition,
    /// Its topic's id.
    pub topic_id: TopicId,
    /// What was received of each region, this one included, by incarnation.
    pub received: Vector,
    /// How many records links brought since the broker started.
    pub records: u64,
    /// How many bytes of batches links brought.
    pub bytes: u64,
    /// How many of them were taken: the others had come over another link.
    pub bytes_taken: u64,
    /// How many records were repeated, so that the standing one is the last of its key.
    pub repeats: u64,
    /// How many records had to be looked at once more when it was opened: those above the settled mark.
    pub replayed: u64,
}

/// Why nothing of what a link brought was taken, or not all. The next ask says what is here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TakeFailure(String);

/// Versions of a key that wait for a person; the standing one is the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispute {
    /// The partition.
    pub partition: TopicPartition,
    /// The key, as it is.
    pub key_bytes: Vec<u8>,
    /// The key, to be read.
    pub key: Payload,
    /// The versions.
    pub versions: Vec<ConflictVersion>,
}

/// Some conflicts, in the order they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConflictsPage {
    /// The conflicts.
    pub conflicts: Vec<ConflictRecord>,
    /// Where to go on; `None` at the end.
    pub next: Option<Offset>,
}

/// Why conflicts are not listed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{CONFLICTS_TOPIC} cannot be read: {0}")]
pub struct ConflictsError(String);

/// A choice that was written, as the record it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Its offset in this region.
    pub offset: Offset,
}

/// Why a dispute was not settled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettleFailure {
    /// There is no such partition.
    #[error("no partition {0} of an active-active group is led here")]
    Unknown(TopicPartition),
    /// What is in dispute is not what was asked about.
    #[error("{0}")]
    Choice(String),
    /// It could not be written now, or it is not known whether it was.
    #[error("{0}")]
    Unavailable(String),
}

impl Broker {
    fn active(&self) -> Vec<Arc<Partition>> {
        let held = self.0.partitions.held();
        let led = |partition: &&Arc<Partition>| {
            partition.is_active() && matches!(partition.standing(), Standing::Owner { .. })
        };
        held.partitions().filter(led).cloned().collect()
    }

    fn active_partition(&self, topic: TopicId, partition: PartitionId) -> Option<Arc<Partition>> {
        self.0.partitions.held().partition(topic, partition).filter(|partition| partition.is_active()).cloned()
    }

    /// The partitions of active-active groups that this broker leads.
    pub fn active_partitions(&self) -> Vec<ActivePartition> {
        let shown = |partition: &Arc<Partition>| {
            let (received, brought, replayed) = (partition.received()?, partition.brought()?, partition.replayed()?);
            Some(ActivePartition {
                partition: partition.name.clone(),
                topic_id: partition.topic_id,
                received,
                records: brought.records,
                bytes: brought.bytes,
                bytes_taken: brought.bytes_taken,
                repeats: brought.repeats,
                replayed,
            })
        };
        let mut all: Vec<_> = self.active().iter().filter_map(shown).collect();
        all.sort_by(|one, other| one.partition.cmp(&other.partition));
        all
    }

    /// What each partition of active-active groups that this broker leads has received of each region.
    pub fn all_active_received(&self) -> Vec<((TopicId, PartitionId), Vector)> {
        let received = |partition: &Arc<Partition>| Some((partition.place(), partition.received()?));
        self.active().iter().filter_map(received).collect()
    }

    /// What the partition has received of each region; `None` where it is not led here for an active-active group.
    pub fn active_received(&self, topic: TopicId, partition: PartitionId) -> Option<Vector> {
        self.active_partition(topic, partition)?.received()
    }

    /// Takes what a link has brought, in order.
    ///
    /// # Errors
    /// [`TakeFailure`]: the rest of it was not taken.
    pub async fn take_active(
        &self,
        (topic, partition): (TopicId, PartitionId),
        brought: Vec<Carried>,
        rows: Vec<Row>,
    ) -> Result<(), TakeFailure> {
        let failed = |error: &dyn std::error::Error| TakeFailure(error.to_string());
        let found = self.active_partition(topic, partition);
        let found =
            found.ok_or_else(|| TakeFailure(format!("no partition {partition} of topic {topic} is led here")))?;
        let taken = tokio::task::spawn_blocking(move || found.take(&brought, &rows)).await;
        taken.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
    }

    /// Writes what is found in conflict to the conflict topic, until the broker stops.
    pub(crate) async fn tell_conflicts(self) {
        let mut stop = self.0.stop.subscribe();
        loop {
            tokio::select! {
                told = self.tell_all() => if let Err(error) = told {
                    tracing::debug!(%error, "conflicts wait to be told");
                },
                () = stopped(&mut stop) => return,
            }
            tokio::select! {
                // What could not be told is tried again without news.
                _ = timeout(RETRY, self.0.storage.conflict_news.notified()) => {}
                () = stopped(&mut stop) => return,
            }
        }
    }

    async fn tell_all(&self) -> Result<(), ConflictsError> {
        for partition in self.active() {
            self.tell_of(&partition).await?;
            let noting = tokio::task::spawn_blocking(move || partition.note_settled()).await;
            if let Err(error) = noting.map_err(|error| failed(&error))? {
                tracing::warn!(%error, "the mark of what is settled is not kept; the next start takes longer");
            }
        }
        Ok(())
    }

    async fn tell_of(&self, partition: &Arc<Partition>) -> Result<(), ConflictsError> {
        if partition.has_found_again() {
            let log = self.conflict_log()?;
            let known = tokio::task::spawn_blocking(move || told_before(&log)).await;
            partition.leave_out(&known.map_err(|error| failed(&error))??);
        }
        loop {
            let reading = partition.clone();
            let untold = tokio::task::spawn_blocking(move || reading.untold(TOLD_AT_ONCE)).await;
            let untold = untold.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
            if untold.is_empty() {
                return Ok(());
            }
            let written = self.write_conflicts(&untold).await?;
            partition.told(written);
        }
    }

    /// Writes as many of them as go into one batch; how many that are.
    async fn write_conflicts(&self, conflicts: &[ConflictRecord]) -> Result<usize, ConflictsError> {
        let (topic, now) = (self.conflict_log()?, self.0.clock.now());
        let mut builder = BatchBuilder::new();
        for conflict in conflicts {
            if builder.count() > 0 && builder.plain_bytes() >= TOLD_BYTES {
                break;
            }
            let key = conflict.conflict_key().to_string();
            let value = serde_json::to_vec(conflict).map_err(|error| failed(&error))?;
            builder.push(now, Some(key.as_bytes()), Some(&value), &[]);
        }
        let written = builder.count() as usize;
        let rules = ProduceRules { batch_bytes_max: limits::BATCH_BYTES_LIMIT, ..ProduceRules::default() };
        let batch = CheckedBatch::check(builder.build().into(), &rules).map_err(|error| failed(&error))?;
        let taken = topic.append_own(&batch).map_err(|error| failed(&error))?;
        topic.committed(taken.epoch, taken.appended.next_offset).await.map_err(|error| failed(&error))?;
        Ok(written)
    }

    fn conflict_log(&self) -> Result<Arc<Partition>, ConflictsError> {
        let held = self.0.partitions.held();
        let found = held.named(CONFLICTS_TOPIC).and_then(|topic| topic.partition(PartitionId(0)));
        found.cloned().ok_or_else(|| ConflictsError("it is not made yet".to_owned()))
    }

    /// What this region found in conflict, from `from` on in its conflict topic: the last word on each conflict, about
    /// `max` of them.
    ///
    /// # Errors
    /// [`ConflictsError`] when it cannot be read.
    pub async fn conflicts(&self, from: Offset, max: usize) -> Result<ConflictsPage, ConflictsError> {
        if self.0.partitions.held().named(CONFLICTS_TOPIC).is_none() {
            return Ok(ConflictsPage::default());
        }
        let log = self.conflict_log()?;
        tokio::task::spawn_blocking(move || page(&log, from, max)).await.map_err(|error| failed(&error))?
    }

    /// What waits for a person in this region.
    ///
    /// # Errors
    /// [`ConflictsError`] when the records cannot be read.
    pub async fn disputes(&self) -> Result<Vec<Dispute>, ConflictsError> {
        let partitions = self.active();
        let look = move || {
            let mut found = Vec::new();
            for partition in partitions {
                let disputed = partition.disputed().map_err(|error| failed(&error))?;
                found.extend(disputed.into_iter().map(|replica::Disputed { key, versions }| Dispute {
                    partition: partition.name.clone(),
                    key_bytes: key.to_vec(),
                    key: Payload::of(Some(&key)),
                    versions,
                }));
            }
            Ok(found)
        };
        tokio::task::spawn_blocking(look).await.map_err(|error| failed(&error))?
    }

    /// Settles a dispute: the choice is written again, as a client's record that has seen all of `known`.
    ///
    /// # Errors
    /// [`SettleFailure`]: nothing was written, or it is not known.
    pub async fn settle_dispute(
        &self,
        (topic, partition): (&TopicName, PartitionId),
        key: Vec<u8>,
        choice: Dot,
        known: Vec<Dot>,
    ) -> Result<Settled, SettleFailure> {
        let unavailable = |error: &dyn std::error::Error| SettleFailure::Unavailable(error.to_string());
        let name = TopicPartition { topic: topic.clone(), partition };
        let found = self.active().into_iter().find(|held| held.name == name);
        let found = found.ok_or(SettleFailure::Unknown(name))?;
        let settling = found.clone();
        let taken = tokio::task::spawn_blocking(move || settling.settle_dispute(&key, choice, &known)).await;
        let taken = taken.map_err(|error| unavailable(&error))?.map_err(|error| match error {
            replica::SettleError::Choice(error) => SettleFailure::Choice(error.to_string()),
            replica::SettleError::Take(error) => unavailable(&error),
        })?;
        let committed = found.acknowledged(taken.epoch, taken.appended.next_offset, Acks::All);
        timeout(SETTLE_TIMEOUT, committed)
            .await
            .map_err(|late| unavailable(&late))?
            .map_err(|lost| unavailable(&lost))?;
        Ok(Settled { offset: taken.appended.first_offset })
    }
}

fn failed(error: &dyn std::error::Error) -> ConflictsError {
    ConflictsError(error.to_string())
}

/// The keys of all conflicts that were told.
fn told_before(log: &Partition) -> Result<HashSet<Vec<u8>>, ConflictsError> {
    if !log.has_caught_up_with_its_epoch() {
        return Err(ConflictsError("it is not led yet".to_owned()));
    }
    let (mut keys, mut at) = (HashSet::new(), log.marks().start);
    while at < log.marks().high_watermark {
        let readable = log.read(at, Isolation::Uncommitted, READ_BYTES, true).map_err(|error| failed(&error))?;
        let Some(slice) = readable.slice else { break };
        for batch in Batches::new(&slice.to_bytes().map_err(|error| failed(&error))?) {
            let batch = batch.map_err(|error| failed(&error))?;
            for record in batch.records(limits::DECOMPRESSED_BYTES_MAX).map_err(|error| failed(&error))? {
                keys.extend(record.map_err(|error| failed(&error))?.key);
            }
        }
        at = slice.next_offset;
    }
    Ok(keys)
}

/// Reads on from `from` until there are `max` conflicts or the end.
fn page(log: &Partition, from: Offset, max: usize) -> Result<ConflictsPage, ConflictsError> {
    let (mut found, mut bytes, mut at) = (BTreeMap::new(), 0, from.max(log.marks().start));
    loop {
        let readable = log.read(at, Isolation::Uncommitted, READ_BYTES, true).map_err(|error| failed(&error))?;
        let Some(slice) = readable.slice else { break };
        for batch in Batches::new(&slice.to_bytes().map_err(|error| failed(&error))?) {
            let batch = batch.map_err(|error| failed(&error))?;
            for record in batch.records(limits::DECOMPRESSED_BYTES_MAX).map_err(|error| failed(&error))? {
                let record = record.map_err(|error| failed(&error))?;
                let value = record.value.filter(|_| record.offset >= from);
                bytes += value.as_ref().map_or(0, Vec::len);
                let conflict = value.and_then(|value| serde_json::from_slice::<ConflictRecord>(&value).ok());
                found.extend(conflict.map(|conflict| (record.key.unwrap_or_default(), (record.offset, conflict))));
            }
        }
        at = slice.next_offset;
        if found.len() >= max || bytes >= PAGE_BYTES {
            let next = Some(at).filter(|at| *at < log.marks().high_watermark);
            return Ok(ConflictsPage { conflicts: in_order(found), next });
        }
    }
    Ok(ConflictsPage { conflicts: in_order(found), next: None })
}

fn in_order(found: BTreeMap<Vec<u8>, (Offset, ConflictRecord)>) -> Vec<ConflictRecord> {
    let mut all: Vec<_> = found.into_values().collect();
    all.sort_by_key(|(offset, _)| *offset);
    all.into_iter().map(|(_, conflict)| conflict).collect()
}
