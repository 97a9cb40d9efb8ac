mod map;

use crate::support::*;
use broker_log::{Cleaned, Compacted, Compaction, Config, Log};
use model::{ByteCount, LeaderEpoch, Offset, ProducerId, Timestamp, limits};
use record::{BatchBuilder, Batches, ControlRecord, Record, end_txn_marker};
use std::fs;
use std::time::Duration;

const DAY: i64 = 24 * 3600 * 1000;

fn policy() -> Compaction {
    Compaction {
        dirty_ratio_min: 0.0,
        lag_min: Duration::ZERO,
        lag_max: Duration::MAX,
        delete_retention: Duration::from_millis(DAY as u64),
        memory: ByteCount::mib(8),
    }
}

/// Compacts everything that is there, the active segment too.
fn compact(log: &mut Log, now: i64) -> Option<Compacted> {
    compact_with(log, &policy(), now)
}

fn compact_with(log: &mut Log, policy: &Compaction, now: i64) -> Option<Compacted> {
    let cleaned = clean(log, policy, now)?;
    Some(log.swap_in(cleaned).unwrap())
}

fn clean(log: &mut Log, policy: &Compaction, now: i64) -> Option<Cleaned> {
    log.roll_if_older(Duration::ZERO, Timestamp(i64::MAX)).unwrap();
    log.flush().unwrap();
    log.compaction_job(policy, Timestamp(now), log.last_stable(log.tail())).run().unwrap()
}

fn keyed(records: &[(&str, Option<&str>)]) -> BatchBuilder {
    let add = |b: BatchBuilder, (key, value): &(&str, Option<&str>)| {
        b.record(1, Some(key.as_bytes()), value.map(str::as_bytes), &[("h", Some(b"x"))])
    };
    records.iter().fold(BatchBuilder::new(), add)
}

fn put(log: &mut Log, builder: BatchBuilder) -> Offset {
    log.append(&checked(builder.build()), log.latest_epoch().max(EPOCH), Timestamp(1)).unwrap().first_offset
}

/// All records of data batches, in the order of the log.
fn data(log: &Log) -> Vec<Record> {
    let bytes = contents(log, log.start());
    let batches = Batches::new(&bytes).map(Result::unwrap).filter(|batch| !batch.attributes.is_control());
    let mut records = Vec::new();
    for batch in batches {
        records.extend(batch.records(limits::DECOMPRESSED_BYTES_MAX).unwrap().map(Result::unwrap));
    }
    records
}

fn pairs(log: &Log) -> Vec<(i64, String)> {
    let text = |record: &Record| {
        let value = record.value.as_ref().map_or("-".into(), |value| String::from_utf8_lossy(value).into_owned());
        format!("{}={value}", String::from_utf8_lossy(record.key.as_ref().unwrap()))
    };
    data(log).iter().map(|record| (record.offset.0, text(record))).collect()
}

fn small_segments() -> Config {
    Config { segment_bytes: ByteCount(1500), segment_index_bytes: ByteCount(4096), ..small() }
}

#[test]
fn the_last_record_of_each_key_stays_at_its_offset_and_small_segments_become_one() {
    let dir = dir();
    let mut log = open(dir.path(), small_segments());
    for n in 0..100 {
        let value = n.to_string();
        put(&mut log, keyed(&[("a", Some(&value)), (&format!("k{}", n % 3), Some(&value))]));
    }
    let (segments, tail, epochs) = (log.segment_count(), log.tail(), log.epochs());
    log.configure(Config { segment_bytes: ByteCount::mib(1), ..small_segments() });
    let done = compact(&mut log, 5).unwrap();
    assert_eq!(
        pairs(&log),
        [(195, "k1=97"), (197, "k2=98"), (198, "a=99"), (199, "k0=99")].map(|(o, p)| (o, p.into()))
    );
    assert_eq!((log.tail(), &log.epochs(), done.upto), (tail, &epochs, tail));
    assert!(log.segment_count() < segments && done.bytes_after < done.bytes_before);
    assert_eq!(log.size_bytes(), done.bytes_after);
    assert!(compact(&mut log, 5).is_none(), "nothing is new");
    let log = kill(log, small_segments()).0;
    assert_eq!((pairs(&log).len(), log.tail(), log.epochs(), log.compacted_upto()), (4, tail, epochs, tail));
    let mut log = reopen(log, small_segments());
    assert_eq!(put(&mut log, keyed(&[("a", Some("new"))])), tail);
}

#[test]
fn every_offset_below_the_tail_can_be_read_from() {
    let dir = dir();
    let mut log = open(dir.path(), small_segments());
    (0..60).for_each(|n| _ = put(&mut log, keyed(&[(["a", "b", "c"][n % 3], Some("v")), ("x", Some("v"))])));
    compact(&mut log, 5);
    let left = pairs(&log);
    for from in 0..log.tail().0 {
        let slice = log.reader().read(Offset(from), log.tail(), MAX, true).unwrap().unwrap();
        let next = left.iter().find(|(offset, _)| *offset >= from);
        assert!(slice.next_offset.0 > from && next.is_none_or(|(offset, _)| slice.first_offset.0 <= *offset), "{from}");
    }
}

#[test]
fn tombstones_go_when_their_horizon_has_passed() {
    let dir = dir();
    let mut log = open(dir.path(), small_segments());
    put(&mut log, keyed(&[("a", Some("1")), ("b", Some("2"))]));
    put(&mut log, keyed(&[("a", None)]));
    compact(&mut log, 1000).unwrap();
    assert_eq!(pairs(&log), [(1, "b=2".into()), (2, "a=-".into())]);
    put(&mut log, keyed(&[("c", Some("3"))]));
    compact(&mut log, 1000 + DAY - 1).unwrap();
    assert_eq!(pairs(&log).len(), 3, "the horizon is counted from the first compaction");
    put(&mut log, keyed(&[("d", Some("3"))]));
    let mut log = kill(log, small_segments()).0;
    compact(&mut log, 1000 + DAY).unwrap();
    assert_eq!(pairs(&log), [(1, "b=2".into()), (3, "c=3".into()), (4, "d=3".into())]);
    assert_eq!(data(&log)[0].headers.len(), 1);
}

#[test]
fn what_nothing_tells_of_any_more_is_known_beside_the_log_for_ever() {
    let dir = dir();
    let mut log = open(dir.path(), small_segments());
    put(&mut log, keyed(&[("a", Some("1")), ("b", Some("2"))]));
    let deleted = put(&mut log, keyed(&[("a", None)]));
    put(&mut log, keyed(&[("c", Some("3"))]));
    compact(&mut log, 5).unwrap();
    let thinned = log.baseline();
    assert_eq!((thinned.forgotten, thinned.thinned, thinned.missed), (Offset(0), log.tail(), None));
    put(&mut log, keyed(&[("c", Some("4"))]));
    compact(&mut log, 5 + DAY).unwrap();
    let forgotten = log.baseline();
    assert_eq!((forgotten.forgotten, forgotten.forgotten_at), (deleted.plus(1), Timestamp(5 + DAY)));
    assert_eq!(forgotten.thinned, log.tail());
    assert_eq!(log.reader().baseline(), forgotten);
    log.close().unwrap();
    let mut log = open(dir.path(), small_segments());
    assert_eq!(log.baseline(), forgotten);
    let to = log.truncate_to(deleted).unwrap();
    let missed = log.baseline().missed.unwrap();
    assert_eq!((missed.start, missed.end), (to, forgotten.thinned), "versions are gone whose newer ones were cut off");
    log.restart_at(Offset(9)).unwrap();
    assert_eq!(log.baseline(), model::Baseline::default());
}

#[test]
fn what_is_old_or_large_has_waited_long_enough() {
    let (dir, day) = (dir(), Duration::from_secs(24 * 3600));
    let mut log = open(dir.path(), small_segments());
    (0..60).for_each(|n| _ = put(&mut log, keyed(&[(&format!("k{n}"), Some("v"))])));
    let (size, long_ago, far_ahead) = (log.size_bytes(), Timestamp(0), Timestamp(i64::MAX));
    let by_size = [1, size / 2, size, size + 1].map(|bytes| log.expired(day, ByteCount(bytes), long_ago).0);
    assert!(by_size[0] > by_size[1] && by_size[1] > 0, "{by_size:?}");
    assert_eq!(by_size[2..], [0, 0]);
    let by_age = |now| log.expired(day, ByteCount(u64::MAX), now);
    assert_eq!((by_age(long_ago), by_age(far_ahead)), (Offset(0), log.tail()), "the records are of the year 1970");
}

#[test]
fn nothing_above_the_limit_or_in_the_active_segment_is_touched() {
    let dir = dir();
    let mut log = open(dir.path(), Config::default());
    (0..9).for_each(|_| _ = put(&mut log, keyed(&[("a", Some("v"))])));
    log.flush().unwrap();
    let job = |log: &Log, limit| log.compaction_job(&policy(), Timestamp(9), limit).run().unwrap();
    assert!(job(&log, log.tail()).is_none(), "only the active segment");
    log.roll_if_older(Duration::ZERO, Timestamp(i64::MAX)).unwrap();
    assert!(job(&log, log.tail()).is_none(), "the flush marks are still in it");
    log.flush().unwrap();
    assert!(job(&log, Offset(8)).is_none(), "one record of it is not committed");
    assert!(job(&log, Offset(9)).is_some());
    assert_eq!(pairs(&log).len(), 9, "a job alone changes nothing");
}

#[test]
fn what_changed_meanwhile_is_left_alone() {
    let dir = dir();
    let mut log = open(dir.path(), small_segments());
    (0..60).for_each(|_| _ = put(&mut log, keyed(&[("a", Some("v"))])));
    let cleaned = clean(&mut log, &policy(), 5).unwrap();
    log.set_log_start(Offset(30)).unwrap();
    let before = pairs(&log);
    let done = log.swap_in(cleaned).unwrap();
    assert_eq!((done.bytes_before, done.upto, pairs(&log)), (0, Offset(0), before));
    let cleaned = clean(&mut log, &policy(), 5).unwrap();
    log.truncate_to(Offset(50)).unwrap();
    log.swap_in(cleaned).unwrap();
    assert_eq!((log.tail(), log.compacted_upto()), (Offset(50), Offset(0)));
    compact(&mut log, 5).unwrap();
    assert_eq!(pairs(&log), [(49, "a=v".into())]);
    log.truncate_to(Offset(40)).unwrap();
    assert_eq!(log.compacted_upto(), Offset(0), "what is written now was not looked at");
    assert!(
        fs::read_dir(dir.path()).unwrap().all(|entry| !entry.unwrap().path().to_string_lossy().ends_with("cleaned"))
    );
}

#[test]
fn readers_of_replaced_segments_go_on() {
    let dir = dir();
    let mut log = open(dir.path(), small_segments());
    (0..60).for_each(|n| _ = put(&mut log, keyed(&[("a", Some(&format!("{n}")))])));
    let reader = log.reader();
    let slices: Vec<_> =
        (0..60).map(|n| reader.read(Offset(n), log.tail(), ByteCount(0), true).unwrap().unwrap()).collect();
    compact(&mut log, 5).unwrap();
    for (n, slice) in slices.iter().enumerate() {
        let bytes = slice_bytes(slice);
        assert_eq!(Batches::new(&bytes).next().unwrap().unwrap().base_offset, Offset(n as i64));
    }
}

#[test]
fn a_log_that_ends_in_what_was_compacted_away_ends_where_it_did() {
    let dir = dir();
    let mut log = open(dir.path(), Config::default());
    put(&mut log, keyed(&[("a", Some("1"))]));
    put(&mut log, keyed(&[("a", None)]));
    compact(&mut log, 0).unwrap();
    put(&mut log, keyed(&[("b", Some("2"))]));
    compact(&mut log, 2 * DAY).unwrap();
    put(&mut log, keyed(&[("b", None)]));
    compact(&mut log, 2 * DAY).unwrap();
    put(&mut log, keyed(&[("c", Some("2"))]));
    compact(&mut log, 4 * DAY).unwrap();
    log.truncate_to(Offset(4)).unwrap();
    assert_eq!((log.tail(), pairs(&log)), (Offset(4), vec![]));
    let mut log = kill(log, Config::default()).0;
    assert_eq!(put(&mut log, keyed(&[("x", Some("1"))])), Offset(4), "no offset is given out twice");
}

#[test]
fn a_hole_keeps_its_place_whatever_goes_before_it() {
    let dir = dir();
    let mut log = open(dir.path(), Config::default());
    (0..3).for_each(|_| _ = put(&mut log, keyed(&[("a", Some("old"))])));
    let base = Offset(3 + (1 << 40));
    log.open_epoch_across_hole(Offset(3), base, LeaderEpoch(9000), 1, Timestamp(1)).unwrap();
    put(&mut log, keyed(&[("a", Some("new"))]));
    let epochs = log.epochs();
    compact(&mut log, 5).unwrap();
    assert_eq!(pairs(&log), [(base.0 + 1, "a=new".into())]);
    assert_eq!(
        (log.epochs(), log.segment_count()),
        (epochs.clone(), 3),
        "before the hole, behind it, and the active one"
    );
    // The log alone says where the lineages part.
    fs::remove_file(dir.path().join("leader-epoch-checkpoint")).unwrap();
    let log = kill(log, Config::default()).0;
    assert_eq!(log.epochs()[1], epochs[1]);
    assert_eq!(log.reader().read(Offset(3), log.tail(), MAX, true).unwrap().unwrap().first_offset, base);
}

#[test]
fn producers_are_known_by_what_is_left() {
    let dir = dir();
    let mut log = open(dir.path(), small_segments());
    let batch = |sequence| checked(keyed(&[("a", Some("v"))]).producer(ProducerId(7), 0, sequence).build());
    (0..5).for_each(|n| _ = log.append(&batch(n), EPOCH, Timestamp(1)).unwrap());
    (0..40).for_each(|_| _ = put(&mut log, keyed(&[("a", Some("v"))])));
    compact(&mut log, 5).unwrap();
    assert_eq!(pairs(&log).len(), 1);
    log.flush().unwrap();
    drop(log);
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "snapshot") {
            fs::remove_file(path).unwrap();
        }
    }
    let mut log = open(dir.path(), small_segments());
    let again = log.append(&batch(4), EPOCH, Timestamp(1)).unwrap();
    assert!(again.duplicate && again.first_offset == Offset(4));
    log.append(&batch(9), EPOCH, Timestamp(1)).unwrap_err();
    log.append(&batch(5), EPOCH, Timestamp(1)).unwrap();
}

#[test]
fn more_keys_than_memory_take_more_than_one_compaction() {
    let dir = dir();
    let mut log = open(dir.path(), small_segments());
    for n in 0..300 {
        put(&mut log, keyed(&[(&format!("k{}", n % 100), Some(&n.to_string()))]));
    }
    let little = Compaction { memory: ByteCount(96 * 30), ..policy() };
    let mut rounds = 0;
    while compact_with(&mut log, &little, 5).is_some() {
        rounds += 1;
        assert!(rounds < 50);
    }
    assert!(rounds > 3, "{rounds}");
    let expected: Vec<_> = (200..300).map(|n| (n, format!("k{}={n}", n % 100))).collect();
    assert_eq!(pairs(&log), expected);
}

fn end_transaction(log: &mut Log, producer: i64, commit: bool) {
    let marker = end_txn_marker(commit, ProducerId(producer), 0, 1, Timestamp(1));
    log.append(&checked(marker), log.latest_epoch(), Timestamp(1)).unwrap();
}

fn markers(log: &Log) -> usize {
    let bytes = contents(log, log.start());
    Batches::new(&bytes).filter(|batch| ControlRecord::of(batch.as_ref().unwrap()).is_some()).count()
}

#[test]
fn aborted_records_go_and_do_not_outlive_older_ones() {
    let dir = dir();
    let mut log = open(dir.path(), small_segments());
    put(&mut log, keyed(&[("a", Some("good"))]));
    put(&mut log, keyed(&[("a", Some("bad"))]).producer(ProducerId(7), 0, 0).transactional());
    end_transaction(&mut log, 7, false);
    put(&mut log, keyed(&[("b", Some("kept"))]).producer(ProducerId(8), 0, 0).transactional());
    end_transaction(&mut log, 8, true);
    put(&mut log, keyed(&[("open", Some("yet"))]).producer(ProducerId(9), 0, 0).transactional());
    (0..40).for_each(|_| _ = put(&mut log, keyed(&[("c", Some("v"))])));
    assert!(compact(&mut log, 5).is_none(), "nothing is decided above the open transaction");
    end_transaction(&mut log, 9, true);
    compact(&mut log, 5).unwrap();
    assert_eq!(pairs(&log)[..3], [(0, "a=good".into()), (3, "b=kept".into()), (5, "open=yet".into())]);
    assert_eq!((markers(&log), log.reader().aborted_transactions(Offset(0), log.tail()).len()), (3, 1));
    let log = kill(log, small_segments()).0;
    assert_eq!(log.last_stable(log.tail()), log.tail());
}

#[test]
fn a_deleted_key_does_not_come_back_where_memory_is_short() {
    let (dir, policy) = (dir(), Compaction { memory: ByteCount(1), ..policy() });
    let mut log = open(dir.path(), Config { segment_bytes: ByteCount::mib(1), ..small_segments() });
    put(&mut log, keyed(&[("a", Some("1")), ("b", Some("2"))]));
    put(&mut log, keyed(&[("c", Some("3"))]));
    put(&mut log, keyed(&[("b", None)]));
    log.roll_if_older(Duration::ZERO, Timestamp(i64::MAX)).unwrap();
    put(&mut log, keyed(&[("d", Some("4"))]));
    let mut now = 5;
    while log.compacted_upto() < Offset(4) {
        compact_with(&mut log, &policy, now).unwrap();
        now += 24 * 3_600_000;
        let left = pairs(&log);
        let [value, deleted] = [(1, "b=2"), (3, "b=-")].map(|(at, text)| left.contains(&(at, text.into())));
        assert!(!value || deleted, "the deletion went before what it deletes: {left:?}");
    }
    assert!(!pairs(&log).contains(&(1, "b=2".into())), "it goes in the end");
}
