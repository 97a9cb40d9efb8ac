//! Writing to and reading from `__consumer_offsets`.

use super::State;
use crate::Broker;
use crate::control::OFFSETS_TOPIC;
use crate::replica::{Isolation, Partition};
use broker_core::group::record::{CommitKey, OffsetRecord, offset_key, offset_value};
use broker_core::group::{Moment, replay};
use bytes::Bytes;
use model::{ByteCount, GroupId, LeaderEpoch, Offset, limits};
use record::{BatchBuilder, Batches, CheckedBatch, ProduceRules};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// How much is read at once when the topic is loaded.
const LOAD_BYTES: ByteCount = ByteCount::mib(1);

/// A commit, or the deletion of one, that is in the log and counts once it is committed there.
pub(super) struct Written {
    /// Behind it in the log.
    next: Offset,
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

/// One record of the topic.
pub(super) type Record = (Bytes, Option<Bytes>);

/// A commit, or the deletion of one.
pub(super) type Entry = (CommitKey, Option<OffsetRecord>);

impl Broker {
    /// The partition that holds everything of `group`, as Kafka's tools reckon it: Java's hash of the name.
    fn partition_of(&self, group: &GroupId) -> Result<(usize, Arc<Partition>), NotWritten> {
        let held = self.0.partitions.held();
        let topic = held.named(OFFSETS_TOPIC).ok_or_else(|| NotWritten("it is not made yet".into()))?;
        let hash =
            group.as_str().encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
        let number = (hash & i32::MAX) as usize % topic.partitions.len().max(1);
        let partition = topic.partitions.get(number).and_then(Option::as_ref);
        Ok((number, partition.ok_or_else(|| NotWritten("its partition is not here".into()))?.clone()))
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
        while let Some(written) = state.queue(number).pop_front_if(|written| written.next <= watermark) {
            state.offsets.apply(written.key, written.committed);
        }
        let version = state.offsets.version();
        drop(state);
        self.0.groups.changes.send_if_modified(|known| std::mem::replace(known, version) != version);
    }

    /// Reads the whole topic once its partitions are led.
    pub(super) async fn load_groups(self) {
        let (mut stop, mut changes) = (self.0.stop.subscribe(), self.0.partitions.changes());
        loop {
            changes.borrow_and_update();
            if let Some(partitions) = self.led_offsets_partitions() {
                let broker = self.clone();
                let loaded = tokio::task::spawn_blocking(move || broker.replay_all(&partitions)).await;
                match loaded {
                    Ok(Ok(())) => {
                        self.forget_lost_groups(&self.image());
                        return;
                    }
                    Ok(Err(error)) => tracing::error!(error, "{OFFSETS_TOPIC} cannot be read; groups stay closed"),
                    Err(error) => tracing::error!(%error, "{OFFSETS_TOPIC} cannot be read; groups stay closed"),
                }
            }
            tokio::select! {
                _ = changes.changed() => {}
                () = crate::listener::stopped(&mut stop) => return,
            }
        }
    }

    fn led_offsets_partitions(&self) -> Option<Vec<Arc<Partition>>> {
        let held = self.0.partitions.held();
        let topic = held.named(OFFSETS_TOPIC)?;
        let partitions: Vec<_> = topic.held().cloned().collect();
        let all_led = partitions.len() == topic.partitions.len()
            && partitions.iter().all(|partition| partition.has_caught_up_with_its_epoch());
        all_led.then_some(partitions)
    }

    fn replay_all(&self, partitions: &[Arc<Partition>]) -> Result<(), String> {
        let now = self.moment();
        for partition in partitions {
            let mut from = partition.marks().start;
            while from < partition.marks().high_watermark {
                let read = partition.read(from, Isolation::Uncommitted, LOAD_BYTES, true);
                let slice = read.map_err(|error| error.to_string())?.slice;
                let Some(slice) = slice else { break };
                let bytes = slice.to_bytes().map_err(|error| error.to_string())?;
                self.0.groups.state().replay(now, &bytes)?;
                from = slice.next_offset;
            }
        }
        // With the first heartbeat a group compares the topics with those it knew.
        self.show_topics(&self.image());
        self.0.groups.state().is_loaded = true;
        self.0.groups.sooner.notify_one();
        Ok(())
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
        let taken = partition.append_own(batch).map_err(|error| NotWritten(error.to_string()))?;
        let next = taken.appended.next_offset;
        let place = Place { number, partition: partition.clone(), epoch: taken.epoch, next };
        self.ends.insert(number, place.clone());
        let queue = self.queue(number);
        queue.extend(entries.into_iter().map(|(key, committed)| Written { next, key, committed }));
        Ok(place)
    }

    fn queue(&mut self, partition: usize) -> &mut VecDeque<Written> {
        if self.written.len() <= partition {
            self.written.resize_with(partition + 1, VecDeque::new);
        }
        &mut self.written[partition]
    }

    fn replay(&mut self, now: Moment, bytes: &[u8]) -> Result<(), String> {
        for batch in Batches::new(bytes) {
            let batch = batch.map_err(|error| error.to_string())?;
            if batch.header().attributes.is_control() {
                continue;
            }
            for record in batch.records(limits::DECOMPRESSED_BYTES_MAX).map_err(|error| error.to_string())? {
                let record = record.map_err(|error| error.to_string())?;
                let Some(key) = record.key.map(Bytes::from) else { continue };
                let value = record.value.map(Bytes::from);
                if let Err(error) = replay(&mut self.coordinator, &mut self.offsets, now, &key, value.as_ref()) {
                    tracing::warn!(offset = %record.offset, %error, "a record of {OFFSETS_TOPIC} is passed over");
                }
            }
        }
        Ok(())
    }
}
