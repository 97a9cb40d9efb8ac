//! A copy against a model of both clusters: answers get lost, requests arrive late, the process is killed anywhere and its
//! disk keeps only what was flushed.

use super::*;
use crate::attached::carry::{Aborted, carry};
use crate::attached::journal;
use model::{LeaderEpoch, Timestamp};
use proptest::prelude::*;
use record::{BatchBuilder, BatchView, Batches, end_txn_marker};
use uuid::Uuid;

/// The values of the source's committed records, by offset.
type Truth = Vec<(i64, u64)>;

#[derive(Clone, Debug)]
enum Piece {
    Plain(u8),
    Holes(u8, u8),
    Committed(u8),
    Aborted(u8),
    Emptied(u8),
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let piece = prop_oneof![
        (1u8..5).prop_map(Piece::Plain),
        (2u8..7, any::<u8>()).prop_map(|(count, holes)| Piece::Holes(count, holes)),
        (1u8..4).prop_map(Piece::Committed),
        (1u8..4).prop_map(Piece::Aborted),
        (1u8..4).prop_map(Piece::Emptied),
    ];
    prop::collection::vec(piece, 1..24)
}

#[derive(Default)]
struct Source {
    batches: Vec<Vec<u8>>,
    /// With the offset of the marker.
    aborted: Vec<(Aborted, i64)>,
    truth: Truth,
    tail: i64,
}

impl Source {
    fn of(pieces: &[Piece]) -> Self {
        let mut source = Self::default();
        pieces.iter().for_each(|piece| source.append(piece));
        source
    }

    fn append(&mut self, piece: &Piece) {
        let base = self.tail;
        match *piece {
            Piece::Plain(count) => self.batch(count, None, |_| true, true),
            Piece::Holes(count, holes) => self.batch(count, None, |at| at == 0 || holes >> at & 1 == 0, true),
            Piece::Emptied(count) => self.batch(count, None, |_| false, true),
            Piece::Committed(count) => {
                self.batch(count, Some(1), |_| true, true);
                self.marker(true);
            }
            Piece::Aborted(count) => {
                let aborted = Aborted { producer: ProducerId(1), first: Offset(base) };
                self.aborted.push((aborted, base + i64::from(count)));
                self.batch(count, Some(1), |_| true, false);
                self.marker(false);
            }
        }
    }

    fn batch(&mut self, count: u8, producer: Option<i64>, is_kept: impl Fn(u8) -> bool, is_true: bool) {
        let base = self.tail;
        let mut builder = BatchBuilder::new().base_offset(Offset(base)).leader_epoch(LeaderEpoch(1));
        if let Some(producer) = producer {
            builder = builder.producer(ProducerId(producer), 0, 0).transactional();
        }
        for at in 0..count {
            let value = (base + i64::from(at)) as u64;
            builder.push(Timestamp(1), None, Some(&value.to_be_bytes()), &[]);
            if is_kept(at) && is_true {
                self.truth.push((value as i64, value));
            }
        }
        let whole = builder.build();
        let view = BatchView::parse(&whole).unwrap();
        let records = view.records(model::limits::DECOMPRESSED_BYTES_MAX).unwrap().map(Result::unwrap);
        let kept: Vec<_> = records.filter(|record| is_kept(record.offset.since(Offset(base)) as u8)).collect();
        self.batches.push(view.with_records(&kept, None).unwrap());
        self.tail += i64::from(count);
    }

    fn marker(&mut self, commits: bool) {
        let mut marker = end_txn_marker(commits, ProducerId(1), 0, 0, Timestamp(1));
        record::set_base_offset(&mut marker, Offset(self.tail));
        self.batches.push(marker);
        self.tail += 1;
    }

    /// Up to `batches_max` batches from the one on that holds `from`, and which transactions among them are aborted.
    fn fetch(&self, from: Offset, batches_max: usize) -> (Vec<u8>, Vec<Aborted>) {
        let end = |batch: &&Vec<u8>| BatchView::parse(batch).unwrap().next_offset();
        let found = self.batches.iter().skip_while(|batch| end(batch) <= from).take(batches_max);
        let open = self.aborted.iter().filter(|(_, marker)| *marker >= from.0);
        (found.flatten().copied().collect(), open.map(|(aborted, _)| *aborted).collect())
    }
}

/// A log that takes batches of an idempotent producer, as a leader does.
#[derive(Default)]
struct Target {
    log: Vec<(i64, Vec<u8>)>,
    tail: i64,
    /// Sequence, count and base of the last five batches of each producer.
    known: Vec<(Identity, i32, i32, i64)>,
    late: Vec<Vec<u8>>,
}

impl Target {
    fn append(&mut self, batch: &[u8]) -> Option<i64> {
        let header = *BatchView::parse(batch).unwrap().header();
        let identity = Identity { producer: header.producer_id, epoch: header.producer_epoch };
        let of_it = || self.known.iter().rev().filter(|known| known.0 == identity);
        if let Some(known) = of_it().take(5).find(|known| (known.1, known.2) == (header.base_sequence, header.count)) {
            return Some(known.3);
        }
        let expected = of_it().next().map_or(0, |known| known.1 + known.2);
        if header.base_sequence != expected {
            return None;
        }
        let base = self.put(batch, header.count);
        self.known.push((identity, header.base_sequence, header.count, base));
        Some(base)
    }

    fn put(&mut self, batch: &[u8], count: i32) -> i64 {
        let mut stored = batch.to_vec();
        record::set_base_offset(&mut stored, Offset(self.tail));
        self.log.push((self.tail, stored));
        self.tail += i64::from(count);
        self.tail - i64::from(count)
    }

    /// Somebody else writes.
    fn append_foreign(&mut self) {
        let batch = BatchBuilder::new().record(1, None, Some(&u64::MAX.to_be_bytes()), &[]).build();
        self.put(&batch, 1);
    }

    /// What the records of the source became: value and offset.
    fn records(&self) -> Vec<(u64, i64)> {
        let mut records = Vec::new();
        for (_, batch) in &self.log {
            let view = BatchView::parse(batch).unwrap();
            for record in view.records(model::limits::DECOMPRESSED_BYTES_MAX).unwrap().map(Result::unwrap) {
                let value = u64::from_be_bytes(record.value.unwrap().try_into().unwrap());
                records.push((value, record.offset.0));
            }
        }
        records.into_iter().filter(|(value, _)| *value != u64::MAX).collect()
    }
}

/// What chance decides; all zeros when it is used up: then nothing fails any more.
struct Chance(std::vec::IntoIter<u8>);

impl Chance {
    fn next(&mut self) -> u8 {
        self.0.next().unwrap_or(0)
    }
}

/// The process was killed.
struct Killed;

struct World {
    source: Source,
    target: Target,
    disk: Vec<u8>,
    flushed: usize,
    chance: Chance,
}

impl World {
    fn note(&mut self, copy: &mut Copy, entry: &Entry) -> Result<(), Killed> {
        copy.apply(entry).unwrap();
        self.disk.extend(entry.encode());
        self.perhaps_die()
    }

    fn flush(&mut self) -> Result<(), Killed> {
        self.perhaps_die()?;
        self.flushed = self.disk.len();
        self.perhaps_die()
    }

    fn perhaps_die(&mut self) -> Result<(), Killed> {
        if self.chance.next() % 16 != 1 {
            return Ok(());
        }
        let unsure = self.disk.len() - self.flushed;
        self.disk.truncate(self.flushed + usize::from(self.chance.next()) % (unsure + 1));
        Err(Killed)
    }

    /// Sends a batch; `None` when no answer comes, whatever became of it.
    fn send(&mut self, batch: Vec<u8>) -> Result<Option<i64>, Killed> {
        self.perhaps_die()?;
        let answer = match self.chance.next() % 8 {
            1 => self.target.append(&batch).and(None),
            2 => {
                self.target.late.push(batch);
                None
            }
            _ => self.target.append(&batch),
        };
        if self.chance.next() % 8 == 1 {
            self.target.append_foreign();
        }
        if self.chance.next() % 4 == 1
            && let Some(late) = self.target.late.pop()
        {
            self.target.append(&late);
        }
        self.perhaps_die()?;
        Ok(answer)
    }

    /// One life of the process, until all is copied.
    fn live(&mut self) -> Result<(), Killed> {
        let (entries, sound) = journal::read(&self.disk);
        self.disk.truncate(sound);
        self.flushed = self.flushed.min(sound);
        let begin = Begin {
            source_topic: TopicId(Uuid::from_u128(1)),
            target_topic: TopicId(Uuid::from_u128(2)),
            source: Offset(0),
            target: Offset(0),
        };
        let copy = Copy::replay(entries).unwrap();
        if copy.is_none() {
            self.disk.extend(Entry::Begin(begin).encode());
        }
        // What was read may not have been flushed yet, and is relied upon from now on.
        self.flush()?;
        let mut copy = copy.unwrap_or_else(|| Copy::new(begin));
        if copy.identity().is_none() {
            let identity = Identity { producer: ProducerId(70), epoch: 0 };
            self.note(&mut copy, &Entry::Identity { identity, sequence: 0 })?;
        }
        while copy.position().0 < self.source.tail {
            self.settle(&mut copy)?;
            self.carry(&mut copy)?;
            if self.chance.next() % 32 == 1 {
                self.rewrite(&copy)?;
            }
        }
        self.check(&copy);
        Ok(())
    }

    /// Finds out what has landed, and sends the rest of what was planned again.
    fn settle(&mut self, copy: &mut Copy) -> Result<(), Killed> {
        let mut from = copy.position();
        while !copy.planned().is_empty() {
            for (base, batch) in self.target.log.clone() {
                let header = *BatchView::parse(&batch).unwrap().header();
                if base >= copy.map().target_end().0
                    && let Some(landed) = copy.recognise(&header).unwrap()
                {
                    self.note(copy, &landed)?;
                }
            }
            let Some(planned) = copy.planned().front().cloned() else { break };
            let batches = 1 + usize::from(self.chance.next() % 8);
            from.advance(copy.position());
            let (bytes, aborted) = self.source.fetch(from, batches);
            let load = carry(&bytes, from, &aborted).unwrap();
            let Some(parcel) = load.parcels.into_iter().next() else {
                assert!(load.end > from && load.end < planned.end, "what was planned is no longer there");
                from = load.end;
                continue;
            };
            assert!(parcel.is(&planned));
            let batch = parcel.batch(copy.identity().unwrap(), planned.sequence);
            if let Some(base) = self.send(batch)? {
                self.note(copy, &Entry::Landed { base: Offset(base) })?;
            }
        }
        Ok(())
    }

    fn carry(&mut self, copy: &mut Copy) -> Result<(), Killed> {
        let from = copy.planned_end();
        let (bytes, aborted) = self.source.fetch(from, 1 + usize::from(self.chance.next() % 6));
        let load = carry(&bytes, from, &aborted).unwrap();
        if load.parcels.is_empty() {
            return self.note(copy, &Entry::Passed { end: load.end });
        }
        let mut batches = Vec::new();
        for parcel in load.parcels {
            let plan = copy.plan(parcel.runs.clone(), parcel.end);
            self.note(copy, &plan)?;
            let sequence = copy.planned().back().unwrap().sequence;
            batches.push(parcel.batch(copy.identity().unwrap(), sequence));
        }
        self.flush()?;
        for batch in batches {
            let Some(base) = self.send(batch)? else { return Ok(()) };
            self.note(copy, &Entry::Landed { base: Offset(base) })?;
        }
        Ok(())
    }

    /// Writes the journal anew.
    fn rewrite(&mut self, copy: &Copy) -> Result<(), Killed> {
        let snapshot = copy.snapshot();
        assert_eq!(Copy::replay(snapshot.clone()).unwrap().as_ref(), Some(copy));
        self.disk = snapshot.iter().flat_map(Entry::encode).collect();
        self.flushed = self.disk.len();
        self.perhaps_die()
    }

    fn check(&self, copy: &Copy) {
        let records = self.target.records();
        let (found, truth): (Vec<u64>, Vec<u64>) =
            (records.iter().map(|r| r.0).collect(), self.source.truth.iter().map(|r| r.1).collect());
        assert_eq!(found, truth);
        let place: std::collections::BTreeMap<i64, i64> = records.iter().map(|(v, at)| (*v as i64, *at)).collect();
        for source in 0..=self.source.tail {
            assert_eq!(copy.map().at(Offset(source)).map(|at| at.0), place.get(&source).copied());
            let told = copy.translate(Offset(source));
            assert!(told.is_exact);
            let behind = place.range(..source).next_back().map_or(0, |(_, at)| at + 1);
            let next = place.range(source..).next().map_or(i64::MAX, |(_, at)| *at);
            assert!((behind..=next).contains(&told.offset.0), "{source} -> {told:?}, not in {behind}..={next}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 2000, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_every_committed_record_is_copied_once_in_order(
        pieces in pieces(),
        chance in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let mut world = World {
            source: Source::of(&pieces),
            target: Target::default(),
            disk: Vec::new(),
            flushed: 0,
            chance: Chance(chance.into_iter()),
        };
        // Once chance is used up nobody is killed any more.
        while world.live().is_err() {}
    }
}

fn planned_copy() -> Copy {
    let topic = TopicId(Uuid::from_u128(1));
    let mut copy = Copy::new(Begin { source_topic: topic, target_topic: topic, source: Offset(0), target: Offset(0) });
    let identity = Identity { producer: ProducerId(70), epoch: 0 };
    copy.apply(&Entry::Identity { identity, sequence: 0 }).unwrap();
    copy.apply(&copy.plan(vec![(Offset(0), 2)], Offset(4))).unwrap();
    copy
}

#[test]
fn a_batch_of_ours_that_nobody_planned_is_noticed() {
    let mut copy = planned_copy();
    let batch = |sequence, epoch| {
        let batch = BatchBuilder::new().producer(ProducerId(70), epoch, sequence).record(1, None, None, &[]);
        *Batches::new(&batch.record(1, None, None, &[]).build()).next().unwrap().unwrap().header()
    };
    assert_eq!(copy.recognise(&batch(0, 0)), Ok(Some(Entry::Landed { base: Offset(0) })));
    assert!(matches!(copy.recognise(&batch(2, 0)), Err(CopyError::Stranger { sequence: 2, .. })));
    copy.apply(&Entry::Landed { base: Offset(0) }).unwrap();
    assert_eq!(copy.recognise(&batch(0, 0)), Ok(None), "it lies where the map already is");
}

#[test]
fn a_reader_ahead_of_the_copy_is_told_so() {
    let mut copy = planned_copy();
    assert_eq!(copy.translate(Offset(1)), Translated { offset: Offset(0), is_exact: false });
    copy.apply(&Entry::Landed { base: Offset(0) }).unwrap();
    assert_eq!(copy.translate(Offset(4)), Translated { offset: Offset(2), is_exact: true });
    assert_eq!(copy.translate(Offset(5)), Translated { offset: Offset(2), is_exact: false });
}

#[test]
fn entries_out_of_order_are_refused() {
    let mut copy = planned_copy();
    let before = copy.clone();
    let wrong = [
        Entry::Begin(*copy.begin()),
        Entry::Passed { end: Offset(9) },
        Entry::Gap(OffsetRange::new(Offset(4), Offset(9))),
        Entry::Plan(Planned { sequence: 0, runs: vec![(Offset(4), 1)], end: Offset(5) }),
        Entry::Plan(Planned { sequence: 2, runs: vec![(Offset(3), 1)], end: Offset(5) }),
        Entry::Plan(Planned { sequence: 2, runs: vec![], end: Offset(5) }),
    ];
    for entry in wrong {
        assert!(copy.apply(&entry).is_err(), "{entry}");
        assert_eq!(copy, before);
    }
    assert_eq!(Copy::replay([Entry::Landed { base: Offset(0) }]), Err(CopyError::NoBegin));
    assert_eq!(Copy::replay([]), Ok(None));
}

#[test]
fn a_gap_is_kept_as_a_fact() {
    let mut copy = planned_copy();
    copy.apply(&Entry::Landed { base: Offset(0) }).unwrap();
    let gap = OffsetRange::new(Offset(4), Offset(50));
    copy.apply(&Entry::Gap(gap)).unwrap();
    assert_eq!((copy.gaps(), copy.position()), (&[gap][..], Offset(50)));
    assert_eq!(Copy::replay(copy.snapshot()).unwrap(), Some(copy));
}
