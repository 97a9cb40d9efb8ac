//! Which groups are coordinated here: those whose partition of `__consumer_offsets` this broker leads, once it has read
//! all that earlier leaders wrote.
//!
//! ```text
//!   led, and everything before this leadership is committed --> read in pieces --> loaded under its leader epoch
//!   led no more, or under another epoch                     --> unloaded: members are sent to the new coordinator
//! ```

use super::State;
use crate::Broker;
use crate::control::OFFSETS_TOPIC;
use crate::replica::{Isolation, Partition, Standing};
use broker_core::group::offsets::Place;
use broker_core::group::{Moment, replay};
use broker_core::metadata::Partition as Placed;
use bytes::Bytes;
use model::{ByteCount, GroupId, LeaderEpoch, Offset, PartitionId, limits};
use record::{Batches, Header};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How much is read at once; a larger batch comes whole (KAFKA-7286).
const LOAD_BYTES: ByteCount = ByteCount::mib(1);
/// How often to look whether what was before a leadership is committed by now.
const LOOK: Duration = Duration::from_millis(250);

impl Broker {
    /// Keeps up with the leaderships this broker has in the topic, until it stops.
    pub(super) async fn follow_offsets_leaders(self) {
        let (mut stop, mut changes) = (self.0.stop.subscribe(), self.0.partitions.changes());
        let mut images = self.watch_image();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            changes.borrow_and_update();
            // Before the first image is real nothing is known of topics, or of who owns which groups.
            let is_real = images.borrow_and_update().council_index() > 0;
            self.unload_lost();
            for (number, partition, epoch) in self.loads_due().into_iter().filter(|_| is_real) {
                self.load(number, partition, epoch).await;
            }
            tokio::select! {
                _ = changes.changed() => {}
                changed = images.changed() => if changed.is_err() { return },
                _ = looks.tick() => {}
                () = crate::listener::stopped(&mut stop) => return,
            }
        }
    }

    pub(super) fn offsets_partitions(&self) -> Vec<Option<Arc<Partition>>> {
        let held = self.0.partitions.held();
        held.named(OFFSETS_TOPIC).map(|topic| topic.partitions.clone()).unwrap_or_default()
    }

    /// Whether groups that are to be coordinated here are still being read.
    pub(crate) fn is_loading_groups(&self) -> bool {
        let (partitions, image) = (self.offsets_partitions(), self.image());
        let Some(topic) = image.topic_named(OFFSETS_TOPIC) else { return true };
        let state = self.0.groups.state();
        let waits = |(number, placed): (PartitionId, &Placed)| {
            let number = number.0 as usize;
            match partitions.get(number).and_then(Option::as_ref) {
                None => placed.replicas.contains(&self.config().slot),
                Some(held) if matches!(held.standing(), Standing::Replica { .. }) => false,
                Some(held) => !state.is_loaded(number, held),
            }
        };
        topic.partitions().any(waits)
    }

    /// Waits until every group that is to be coordinated here is.
    pub(crate) async fn groups_loaded(&self) {
        let mut changes = self.0.groups.changes.subscribe();
        while self.is_loading_groups() {
            // Who leads what may change without a word.
            let _ = timeout(LOOK, changes.changed()).await;
        }
    }

    /// Whether another broker of the region coordinates the groups of partition `number` of the topic.
    pub(super) fn is_coordinated_elsewhere(&self, number: usize) -> bool {
        let partitions = self.offsets_partitions();
        match partitions.get(number).and_then(Option::as_ref) {
            Some(held) => matches!(held.standing(), Standing::Replica { .. }),
            None => !self.is_to_hold(number),
        }
    }

    /// Whether this broker is to hold a replica of partition `number` of the topic, as far as it knows.
    pub(super) fn is_to_hold(&self, number: usize) -> bool {
        let image = self.image();
        let placed = image.topic_named(OFFSETS_TOPIC).and_then(|topic| topic.partition(PartitionId(number as i32)));
        placed.is_none_or(|placed| placed.replicas.contains(&self.config().slot))
    }

    /// Lets go of the groups of partitions that are led no more, or under another epoch.
    fn unload_lost(&self) {
        let partitions = self.offsets_partitions();
        self.with_coordinator(|state, _| {
            let still = |number: usize, epoch: LeaderEpoch| {
                let partition = partitions.get(number).and_then(Option::as_ref);
                partition.is_some_and(|partition| partition.standing().owns_under(epoch))
            };
            let lost: Vec<usize> = state.loaded.iter().filter(|(n, e)| !still(**n, **e)).map(|(n, _)| *n).collect();
            lost.iter().flat_map(|number| state.unload(*number, partitions.len())).collect()
        });
    }

    /// The partitions that are led and not loaded under that leadership.
    fn loads_due(&self) -> Vec<(usize, Arc<Partition>, LeaderEpoch)> {
        let partitions = self.offsets_partitions();
        let state = self.0.groups.state();
        let led = partitions.into_iter().enumerate().filter_map(|(number, partition)| {
            let partition = partition.filter(|partition| partition.has_caught_up_with_its_epoch())?;
            let Standing::Owner { leader_epoch, .. } = partition.standing() else { return None };
            Some((number, partition, leader_epoch))
        });
        led.filter(|(number, _, epoch)| state.loaded.get(number) != Some(epoch)).collect()
    }

    async fn load(&self, number: usize, partition: Arc<Partition>, epoch: LeaderEpoch) {
        let broker = self.clone();
        let loaded = tokio::task::spawn_blocking(move || broker.replay_all(number, &partition, epoch)).await;
        match loaded {
            Ok(Ok(())) => self.forget_lost_groups(&self.image()),
            Ok(Err(error)) => tracing::error!(number, error, "{OFFSETS_TOPIC} cannot be read; its groups stay closed"),
            Err(error) => tracing::error!(number, %error, "{OFFSETS_TOPIC} cannot be read; its groups stay closed"),
        }
    }

    fn replay_all(&self, number: usize, partition: &Arc<Partition>, epoch: LeaderEpoch) -> Result<(), String> {
        let count = self.offsets_partitions().len();
        // What a load that failed has left behind.
        self.with_coordinator(|state, _| state.unload(number, count));
        let now = self.moment();
        let mut from = partition.marks().start;
        let mut sweep = Sweep::default();
        while from < partition.marks().high_watermark {
            let read = partition.read(from, Isolation::Uncommitted, LOAD_BYTES, true);
            let Some(slice) = read.map_err(|error| error.to_string())?.slice else { break };
            let bytes = slice.to_bytes().map_err(|error| error.to_string())?;
            self.0.groups.state().replay(now, PartitionId(number as i32), &bytes, &mut sweep)?;
            from = slice.next_offset;
        }
        // With the first heartbeat a group compares the topics with those it knew.
        self.show_topics(&self.image());
        {
            let mut state = self.0.groups.state();
            state.offsets.note_read(PartitionId(number as i32), from, sweep.swept);
            state.loaded.insert(number, epoch);
        }
        self.0.groups.sooner.notify_one();
        self.tell_of_commits();
        Ok(())
    }
}

/// Finds where compaction has dropped records.
#[derive(Default)]
struct Sweep {
    next: Offset,
    /// Nothing was dropped from here on.
    swept: Offset,
}

impl Sweep {
    fn note(&mut self, batch: &Header) {
        if batch.base_offset > self.next {
            self.swept = batch.base_offset;
        }
        if batch.count <= batch.last_offset_delta {
            self.swept = batch.next_offset();
        }
        self.next = batch.next_offset();
    }
}

impl State {
    /// Whether everything of the partition has been read under the leadership it has now.
    pub(super) fn is_loaded(&self, number: usize, partition: &Partition) -> bool {
        self.loaded.get(&number).is_some_and(|epoch| partition.standing().owns_under(*epoch))
    }

    fn unload(&mut self, number: usize, count: usize) -> Vec<broker_core::group::Effect> {
        self.loaded.remove(&number);
        self.ends.remove(&number);
        self.queue(number).clear();
        let moved = |group: &GroupId| group.offsets_partition(count) == number;
        self.offsets.unload(PartitionId(number as i32));
        self.coordinator.unload(moved)
    }

    fn replay(&mut self, now: Moment, partition: PartitionId, bytes: &[u8], sweep: &mut Sweep) -> Result<(), String> {
        for batch in Batches::new(bytes) {
            let batch = batch.map_err(|error| error.to_string())?;
            sweep.note(batch.header());
            if batch.header().attributes.is_control() {
                continue;
            }
            for record in batch.records(limits::DECOMPRESSED_BYTES_MAX).map_err(|error| error.to_string())? {
                let record = record.map_err(|error| error.to_string())?;
                let Some(key) = record.key.map(Bytes::from) else { continue };
                let value = record.value.map(Bytes::from);
                let (coordinator, offsets) = (&mut self.coordinator, &mut self.offsets);
                let place = Place { partition, offset: record.offset };
                if let Err(error) = replay(coordinator, offsets, now, place, &key, value.as_ref()) {
                    tracing::warn!(offset = %record.offset, %error, "a record of {OFFSETS_TOPIC} is passed over");
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::BatchBuilder;

    fn batch(base: i64, records: usize) -> Header {
        let mut builder = BatchBuilder::new();
        (0..records).for_each(|_| builder.push(model::Timestamp(1), Some(b"k"), None, &[]));
        Header { base_offset: Offset(base), ..Header::parse(&builder.build()).unwrap() }
    }

    #[test]
    fn what_compaction_has_dropped_is_seen_in_the_offsets() {
        let mut sweep = Sweep::default();
        let mut after = |batch: Header| {
            sweep.note(&batch);
            sweep.swept.0
        };
        assert_eq!(after(batch(0, 3)), 0);
        assert_eq!(after(batch(3, 1)), 0);
        assert_eq!(after(batch(7, 2)), 7, "batches are gone");
        assert_eq!(after(Header { count: 1, ..batch(9, 4) }), 13, "records of a batch are gone");
        assert_eq!(after(batch(13, 2)), 13);
    }
}
