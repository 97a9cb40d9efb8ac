//! Writing to `__consumer_offsets`.

use super::State;
use crate::Broker;
use crate::control::OFFSETS_TOPIC;
use crate::replica::Partition;
use broker_core::group::offsets::Place as At;
use broker_core::group::record::{CommitKey, OffsetRecord, offset_key, offset_value};
use bytes::Bytes;
use model::{GroupId, LeaderEpoch, Offset, PartitionId, limits};
use record::{BatchBuilder, CheckedBatch, ProduceRules};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A commit, or the deletion of one, that is in the log and counts once it is committed there.
pub(super) struct Written {
    /// Its record's.
    offset: Offset,
    key: CommitKey,
    committed: Option<OffsetRecord>,
}

/// The topic could not be written; the client tries again.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{OFFSETS_TOPIC} cannot be written: {0}")]
pub(crate) struct NotWritten(String);

/// The end of something in the log, and the leadership it was taken under.
#[derive(Clone)]
pub(super) struct Place {
    number: usize,
    partition: Arc<Partition>,
    epoch: LeaderEpoch,
    next: Offset,
}

impl Place {
    /// Whether everything up to here is committed, as far as one can see at once.
    pub(super) fn is_committed(&self) -> bool {
        self.partition.marks().high_watermark >= self.next
    }
}

/// Why there is no partition to write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoPartition {
    /// It is not made here yet.
    #[error("its partition is not made here yet")]
    Unmade,
    /// Other brokers of the region hold it.
    #[error("its partition is on other brokers")]
    Elsewhere,
}

impl From<NoPartition> for NotWritten {
    fn from(reason: NoPartition) -> Self {
        Self(reason.to_string())
    }
}

/// One record of the topic.
pub(super) type Record = (Bytes, Option<Bytes>);

/// A commit, or the deletion of one.
pub(super) type Entry = (CommitKey, Option<OffsetRecord>);

impl Broker {
    /// The partition that holds everything of `group`.
    pub(super) fn partition_of(&self, group: &GroupId) -> Result<(usize, Arc<Partition>), NoPartition> {
        let held = self.0.partitions.held();
        let topic = held.named(OFFSETS_TOPIC).ok_or(NoPartition::Unmade)?;
        let number = group.offsets_partition(topic.partitions.len());
        match topic.partitions.get(number).and_then(Option::as_ref) {
            Some(partition) => Ok((number, partition.clone())),
            None if self.is_to_hold(number) => Err(NoPartition::Unmade),
            None => Err(NoPartition::Elsewhere),
        }
    }

    /// Appends records of a group behind everything that was appended before. Without records, that is what counts.
    ///
    /// # Errors
    /// [`NotWritten`]: nothing is appended.
    pub(super) fn append_group_records(
        &self,
        state: &mut State,
        group: &GroupId,
        records: &[Record],
    ) -> Result<Option<Place>, NotWritten> {
        let (number, partition) = self.partition_of(group)?;
        if records.is_empty() {
            return Ok(state.ends.get(&number).cloned());
        }
        let batch = self.batch(records)?;
        state.append(number, &partition, &batch, Vec::new()).map(Some)
    }

    /// Writes commits and waits until they are committed; they count in the order of the log. `is_allowed` is asked at
    /// the moment of the write.
    ///
    /// # Errors
    /// [`NotWritten`]: some may count, now or later.
    pub(super) async fn write_entries(
        &self,
        entries: Vec<Entry>,
        is_allowed: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), NotWritten> {
        let mut parts: BTreeMap<usize, (Arc<Partition>, Vec<Entry>)> = BTreeMap::new();
        for entry in entries {
            let (number, partition) = self.partition_of(&entry.0.group)?;
            parts.entry(number).or_insert_with(|| (partition, Vec::new())).1.push(entry);
        }
        for (number, (partition, entries)) in parts {
            let records: Vec<Record> = entries.iter().map(record).collect();
            self.write(number, &partition, &records, entries, is_allowed).await?;
        }
        Ok(())
    }

    async fn write(
        &self,
        number: usize,
        partition: &Arc<Partition>,
        records: &[Record],
        entries: Vec<Entry>,
        is_allowed: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), NotWritten> {
        let batch = self.batch(records)?;
        let place = {
            // Appending and queueing under one lock keeps the queue in the order of the log.
            let mut state = self.0.groups.state();
            if !is_allowed() {
                return Err(NotWritten("the grant they were taken under is over".into()));
            }
            state.append(number, partition, &batch, entries)?
        };
        self.until_committed(&place).await
    }

    /// Waits until what is at `place` is committed, and lets it count.
    ///
    /// # Errors
    /// [`NotWritten`]: it may be committed later, or never.
    pub(super) async fn until_committed(&self, place: &Place) -> Result<(), NotWritten> {
        let committed = place.partition.committed(place.epoch, place.next).await;
        committed.map_err(|error| NotWritten(error.to_string()))?;
        self.count_committed(place.number, &place.partition);
        Ok(())
    }

    fn batch(&self, records: &[Record]) -> Result<CheckedBatch, NotWritten> {
        let now = self.0.clock.now();
        let mut builder = BatchBuilder::new();
        for (key, value) in records {
            builder.push(now, Some(key), value.as_deref(), &[]);
        }
        let rules = ProduceRules { batch_bytes_max: limits::BATCH_BYTES_LIMIT, ..ProduceRules::default() };
        CheckedBatch::check(builder.build().into(), &rules).map_err(|error| NotWritten(error.to_string()))
    }

    /// Lets everything count that is committed by now.
    fn count_committed(&self, number: usize, partition: &Partition) {
        let watermark = partition.marks().high_watermark;
        let mut state = self.0.groups.state();
        while let Some(written) = state.queue(number).pop_front_if(|written| written.offset < watermark) {
            let at = At { partition: PartitionId(number as i32), offset: written.offset };
            state.offsets.apply(at, written.key, written.committed);
        }
        drop(state);
        self.tell_of_commits();
    }

    /// Wakes those who follow the commits, if there are new ones.
    pub(super) fn tell_of_commits(&self) {
        let version = self.0.groups.state().offsets.version();
        self.0.groups.changes.send_if_modified(|known| std::mem::replace(known, version) != version);
    }
}

fn record((key, committed): &Entry) -> Record {
    (offset_key(key), committed.as_ref().map(offset_value))
}

impl State {
    fn append(
        &mut self,
        number: usize,
        partition: &Arc<Partition>,
        batch: &CheckedBatch,
        entries: Vec<Entry>,
    ) -> Result<Place, NotWritten> {
        let loaded = self.loaded.get(&number).copied();
        // What was decided by what an earlier leader wrote is not written under a later leadership.
        if !loaded.is_some_and(|epoch| partition.standing().owns_under(epoch)) {
            return Err(NotWritten("its partition is not read under this leadership".into()));
        }
        let taken = partition.append_own(batch).map_err(|error| NotWritten(error.to_string()))?;
        if loaded != Some(taken.epoch) {
            self.loaded.remove(&number);
            return Err(NotWritten("its partition got another leadership".into()));
        }
        let next = taken.appended.next_offset;
        let place = Place { number, partition: partition.clone(), epoch: taken.epoch, next };
        self.ends.insert(number, place.clone());
        // One record for each entry; a batch without entries is of something else.
        let first = next.plus(-(entries.len() as i64));
        let written = (0..).zip(entries).map(|(n, (key, committed))| Written { offset: first.plus(n), key, committed });
        self.queue(number).extend(written);
        Ok(place)
    }

    pub(super) fn queue(&mut self, partition: usize) -> &mut VecDeque<Written> {
        if self.written.len() <= partition {
            self.written.resize_with(partition + 1, VecDeque::new);
        }
        &mut self.written[partition]
    }
}
