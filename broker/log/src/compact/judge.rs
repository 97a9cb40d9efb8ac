//! What becomes of a batch. Pure: it is told of the batches of a log in order.

use super::offset_map::OffsetMap;
use crate::segment::Segment;
use model::{Offset, ProducerId, Timestamp, limits};
use record::{BatchView, Header, Record, RecordError};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// What a producer wrote last, as far as the log remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastBatch {
    /// Its epoch.
    pub(crate) epoch: i16,
    /// The last offset of its last batch of records; `None` when nothing but markers is known.
    pub(crate) offset: Option<Offset>,
}

/// What becomes of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It stays as it is.
    Kept,
    /// It stays with less, or with a horizon.
    Changed(Vec<u8>),
    /// It goes.
    Gone,
}

/// The transactions that were aborted, by producer.
#[derive(Default)]
pub(crate) struct Aborted(HashMap<ProducerId, Vec<(Offset, Offset)>>);

/// The transactions aborted in `segments`: those by whose markers the aborts are known.
pub(crate) fn aborted(segments: &[Arc<Segment>]) -> Aborted {
    let mut aborted = Aborted::default();
    let mut found = Vec::new();
    for segment in segments {
        segment.txns.collect(Offset::ZERO, Offset(i64::MAX), &mut found);
    }
    for transaction in found {
        aborted.0.entry(transaction.producer_id).or_default().push((transaction.first_offset, transaction.last_offset));
    }
    aborted
}

impl Aborted {
    /// Whether the batch belongs to one of them.
    pub(crate) fn covers(&self, header: &Header) -> bool {
        let within = |(first, last): &(Offset, Offset)| (*first..=*last).contains(&header.base_offset);
        header.attributes.is_transactional()
            && !header.attributes.is_control()
            && self.0.get(&header.producer_id).is_some_and(|ranges| ranges.iter().any(within))
    }
}

pub(super) struct Judge<'a> {
    keys: &'a OffsetMap,
    aborted: Aborted,
    producers: &'a HashMap<ProducerId, LastBatch>,
    /// Who has a batch in the log of a transaction whose marker is still to come.
    in_transaction: HashSet<ProducerId>,
    now: Timestamp,
    horizon: Timestamp,
    /// Behind the last tombstone or marker that went because its horizon has come.
    forgotten: Option<Offset>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(
        keys: &'a OffsetMap,
        aborted: Aborted,
        producers: &'a HashMap<ProducerId, LastBatch>,
        now: Timestamp,
        delete_retention: Duration,
    ) -> Self {
        let horizon = now.plus(delete_retention);
        Self { keys, aborted, producers, in_transaction: HashSet::new(), now, horizon, forgotten: None }
    }

    /// Behind the last tombstone or marker that went and that nothing newer stands for.
    pub(super) fn forgotten(&self) -> Option<Offset> {
        self.forgotten
    }

    fn forget(&mut self, offset: Offset) {
        self.forgotten = self.forgotten.max(Some(offset.plus(1)));
    }

    /// What becomes of the next batch; one that `ends` the segments may not go. One whose keys were not noted yet stays as
    /// it is: what its tombstones delete is still there, so that neither may they go, nor does their time begin.
    pub(super) fn judge(&mut self, batch: &BatchView<'_>, ends: bool) -> Result<Fate, RecordError> {
        if batch.base_offset >= self.keys.end {
            return Ok(Fate::Kept);
        }
        if !batch.attributes.is_control() {
            return self.judge_records(batch, ends);
        }
        // Who begins a lineage stays for ever: where it lies is where the lineage does.
        if !batch.is_idempotent() {
            return Ok(Fate::Kept);
        }
        self.judge_marker(batch, ends)
    }

    fn judge_marker(&mut self, batch: &BatchView<'_>, ends: bool) -> Result<Fate, RecordError> {
        let is_needed = self.in_transaction.remove(&batch.producer_id);
        if is_needed || ends || self.is_last_of_producer(batch) {
            return Ok(Fate::Kept);
        }
        match batch.delete_horizon() {
            Some(horizon) if horizon <= self.now => {
                self.forget(batch.last_offset());
                Ok(Fate::Gone)
            }
            Some(_) => Ok(Fate::Kept),
            None => {
                let records = batch.records(limits::DECOMPRESSED_BYTES_MAX)?.collect::<Result<Vec<_>, _>>()?;
                Ok(Fate::Changed(batch.with_records(&records, Some(self.horizon))?))
            }
        }
    }

    fn judge_records(&mut self, batch: &BatchView<'_>, ends: bool) -> Result<Fate, RecordError> {
        if batch.attributes.is_transactional() {
            self.in_transaction.insert(batch.producer_id);
        }
        let kept = if self.aborted.covers(batch) { Vec::new() } else { self.kept_records(batch)? };
        if kept.is_empty() {
            return Ok(self.without_records(batch, ends));
        }
        let is_given_horizon = batch.delete_horizon().is_none() && kept.iter().any(|record| record.value.is_none());
        if kept.len() == batch.count as usize && !is_given_horizon {
            return Ok(Fate::Kept);
        }
        Ok(Fate::Changed(batch.with_records(&kept, is_given_horizon.then_some(self.horizon))?))
    }

    fn without_records(&self, batch: &BatchView<'_>, ends: bool) -> Fate {
        match ends || self.is_last_of_producer(batch) {
            true if batch.count == 0 => Fate::Kept,
            true => Fate::Changed(batch.emptied()),
            false => Fate::Gone,
        }
    }

    fn kept_records(&mut self, batch: &BatchView<'_>) -> Result<Vec<Record>, RecordError> {
        let tombstones_stay = batch.delete_horizon().is_none_or(|horizon| self.now < horizon);
        let mut kept = Vec::new();
        for record in batch.records(limits::DECOMPRESSED_BYTES_MAX)? {
            let record = record?;
            // A record without a key came before the topic was compacted, and can be told from no other.
            let is_latest = record.key.as_deref().is_some_and(|key| self.keys.is_latest(key, record.offset));
            match is_latest {
                true if record.value.is_some() || tombstones_stay => kept.push(record),
                true => self.forget(record.offset),
                false => {}
            }
        }
        Ok(kept)
    }

    /// Without it, what the producer wrote last would be forgotten when the log is read anew.
    fn is_last_of_producer(&self, batch: &Header) -> bool {
        self.producers.get(&batch.producer_id).is_some_and(|last| match last.offset {
            Some(offset) => batch.last_offset() == offset,
            None => batch.attributes.is_control() && batch.producer_epoch == last.epoch,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ByteCount;
    use record::{BatchBuilder, end_txn_marker, leader_change, set_base_offset};

    const NOW: Timestamp = Timestamp(1_000_000);
    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn batch(offset: i64, records: &[(&str, Option<&str>)]) -> BatchBuilder {
        let builder = BatchBuilder::new().base_offset(Offset(offset));
        records
            .iter()
            .fold(builder, |b, (key, value)| b.record(offset, Some(key.as_bytes()), value.map(str::as_bytes), &[]))
    }

    struct World {
        keys: OffsetMap,
        producers: HashMap<ProducerId, LastBatch>,
    }

    impl World {
        fn of(keys: &[(&str, i64)]) -> Self {
            let mut map = OffsetMap::within(ByteCount::mib(1), Offset(0));
            keys.iter().for_each(|(key, offset)| map.note(key.as_bytes(), Offset(*offset)));
            map.end = Offset(100);
            Self { keys: map, producers: HashMap::new() }
        }

        fn judge(&self, now: Timestamp) -> Judge<'_> {
            Judge::new(&self.keys, Aborted::default(), &self.producers, now, DAY)
        }

        fn fate(&self, bytes: &[u8]) -> Fate {
            self.judge(NOW).judge(&BatchView::parse(bytes).unwrap(), false).unwrap()
        }
    }

    fn keys(bytes: &[u8]) -> Vec<String> {
        let records = BatchView::parse(bytes).unwrap().records(limits::DECOMPRESSED_BYTES_MAX).unwrap();
        records.map(|record| String::from_utf8(record.unwrap().key.unwrap()).unwrap()).collect()
    }

    fn changed(fate: Fate) -> Vec<u8> {
        let Fate::Changed(bytes) = fate else { panic!("{fate:?}") };
        BatchView::parse(&bytes).unwrap().verify().unwrap();
        bytes
    }

    #[test]
    fn the_last_record_of_each_key_stays() {
        let world = World::of(&[("a", 9), ("b", 1)]);
        let bytes = batch(0, &[("a", Some("1")), ("b", Some("2")), ("c", Some("3"))]).build();
        assert_eq!(keys(&changed(world.fate(&bytes))), ["b", "c"]);
        assert_eq!(world.fate(&batch(1, &[("b", Some("2"))]).build()), Fate::Kept);
        assert_eq!(world.fate(&batch(0, &[("a", Some("2"))]).build()), Fate::Gone);
        let keyless = BatchBuilder::new().record(1, None, Some(b"v"), &[]).build();
        assert_eq!(world.fate(&keyless), Fate::Gone);
    }

    #[test]
    fn a_tombstone_gets_a_horizon_and_goes_behind_it() {
        let world = World::of(&[]);
        let marked = changed(world.fate(&batch(0, &[("a", None), ("b", Some("2"))]).build()));
        let view = BatchView::parse(&marked).unwrap();
        let horizon = view.delete_horizon().unwrap();
        assert_eq!((horizon, keys(&marked)), (NOW.plus(DAY), vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(
            world
                .judge(horizon.plus(Duration::from_millis(0)))
                .judge(&view, false)
                .map(changed)
                .map(|b| keys(&b))
                .unwrap(),
            ["b"]
        );
        let mut early = world.judge(Timestamp(horizon.0 - 1));
        assert_eq!((early.judge(&view, false).unwrap(), early.forgotten()), (Fate::Kept, None));
        let mut late = world.judge(horizon);
        late.judge(&view, false).unwrap();
        assert_eq!(late.forgotten(), Some(Offset(1)), "nothing tells of the deletion any more");
    }

    #[test]
    fn a_tombstone_whose_key_was_not_noted_yet_stays_as_it_is() {
        let mut world = World::of(&[]);
        let bytes = batch(50, &[("a", None)]).build();
        let marked = changed(world.fate(&bytes));
        world.keys.end = Offset(50);
        assert_eq!(world.fate(&bytes), Fate::Kept, "its time has not begun");
        let mut late = world.judge(NOW.plus(DAY));
        assert_eq!(late.judge(&BatchView::parse(&marked).unwrap(), false).unwrap(), Fate::Kept);
        assert_eq!(late.forgotten(), None);
    }

    #[test]
    fn a_tombstone_that_something_newer_stands_for_is_not_forgotten() {
        let world = World::of(&[("a", 9)]);
        let marked = changed(World::of(&[]).fate(&batch(0, &[("a", None)]).build()));
        let mut judge = world.judge(NOW.plus(DAY));
        assert_eq!(judge.judge(&BatchView::parse(&marked).unwrap(), false).unwrap(), Fate::Gone);
        assert_eq!(judge.forgotten(), None);
    }

    #[test]
    fn the_last_batch_of_a_producer_and_of_the_segments_stays_without_its_records() {
        let mut world = World::of(&[("a", 99)]);
        let bytes = batch(5, &[("a", Some("1")), ("a", Some("2"))]).producer(ProducerId(7), 0, 3).build();
        assert_eq!(world.fate(&bytes), Fate::Gone);
        world.producers.insert(ProducerId(7), LastBatch { epoch: 0, offset: Some(Offset(6)) });
        let empty = changed(world.fate(&bytes));
        assert_eq!(keys(&empty), [""; 0]);
        assert_eq!(world.fate(&empty), Fate::Kept, "it is empty already");
        world.producers.clear();
        assert_eq!(world.fate(&empty), Fate::Gone);
        let ends = world.judge(NOW).judge(&BatchView::parse(&bytes).unwrap(), true).unwrap();
        assert_eq!(changed(ends), empty);
    }

    #[test]
    fn a_marker_stays_while_its_transaction_has_a_batch_and_then_for_the_delete_retention() {
        let world = World::of(&[("a", 99)]);
        let data = batch(5, &[("a", Some("1"))]).producer(ProducerId(7), 0, 3).transactional().build();
        let mut marker = end_txn_marker(true, ProducerId(7), 0, 1, Timestamp(5));
        set_base_offset(&mut marker, Offset(6));
        let (data, marker) = (BatchView::parse(&data).unwrap(), BatchView::parse(&marker).unwrap());
        let mut judge = world.judge(NOW);
        assert_eq!(judge.judge(&data, false).unwrap(), Fate::Gone);
        assert_eq!(judge.judge(&marker, false).unwrap(), Fate::Kept, "its batch was there a moment ago");
        let marked = changed(world.judge(NOW).judge(&marker, false).unwrap());
        let marked = BatchView::parse(&marked).unwrap();
        assert_eq!(record::ControlRecord::of(&marked), record::ControlRecord::of(&marker));
        assert_eq!(world.judge(NOW).judge(&marked, false).unwrap(), Fate::Kept);
        assert_eq!(world.judge(NOW.plus(DAY)).judge(&marked, false).unwrap(), Fate::Gone);
        assert_eq!(world.judge(NOW.plus(DAY)).judge(&marked, true).unwrap(), Fate::Kept);
    }

    #[test]
    fn records_of_aborted_transactions_go_whatever_their_keys() {
        let world = World::of(&[]);
        let aborted = || Aborted(HashMap::from([(ProducerId(7), vec![(Offset(5), Offset(8))])]));
        let at = |offset, producer| {
            batch(offset, &[("a", Some("1"))]).producer(ProducerId(producer), 0, 3).transactional().build()
        };
        let fate = |bytes: &[u8]| {
            let mut judge = Judge::new(&world.keys, aborted(), &world.producers, NOW, DAY);
            judge.judge(&BatchView::parse(bytes).unwrap(), false).unwrap()
        };
        assert_eq!(fate(&at(5, 7)), Fate::Gone);
        assert_eq!([fate(&at(9, 7)), fate(&at(4, 7)), fate(&at(5, 6))], [Fate::Kept, Fate::Kept, Fate::Kept]);
    }

    #[test]
    fn what_begins_a_lineage_stays() {
        let change = leader_change(Offset(7), model::LeaderEpoch(3), 1, Timestamp(0));
        assert_eq!(World::of(&[]).fate(&change), Fate::Kept);
    }
}
