use crate::support::*;
use broker_log::{AppendError, Config, Log, Retention};
use model::{ByteCount, LeaderEpoch, Offset, OffsetRange, Timestamp};
use std::fs;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Batches of one record, one second apart, in segments of a few.
fn filled(dir: &std::path::Path, count: i64) -> Log {
    let mut log = open(dir, small());
    (0..count).for_each(|n| _ = append(&mut log, 1, n * 1000));
    log.flush().unwrap();
    log
}

fn aged(age: Duration) -> Retention {
    Retention { age_max: Some(age), bytes_max: None }
}

fn sized(bytes: u64) -> Retention {
    Retention { age_max: None, bytes_max: Some(ByteCount(bytes)) }
}

fn files(log: &Log) -> usize {
    fs::read_dir(log.dir())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "log"))
        .count()
}

#[test]
fn segments_that_are_old_as_a_whole_go_and_stay_gone() {
    let dir = dir();
    let mut log = filled(dir.path(), 100);
    let (segments, epochs) = (log.segment_count(), log.epochs());
    assert!(segments > 4);
    let retired = log.retain(&aged(SECOND * 50), Timestamp(99_000), log.tail()).unwrap();
    assert!(retired.segments > 0 && retired.start > Offset(0) && retired.start <= Offset(49), "{retired:?}");
    assert_eq!((log.segment_count(), files(&log)), (segments - retired.segments, segments - retired.segments));
    assert_eq!(log.epochs()[0].start, retired.start);
    assert_eq!(log.epochs().len(), epochs.len());
    log.reader().read(Offset(0), log.tail(), MAX, true).unwrap_err();
    let log = kill(log, small()).0;
    assert_eq!((log.start(), log.tail()), (retired.start, Offset(100)));
    assert_eq!(batches(&log, log.start())[0].0, retired.start.0);
}

#[test]
fn a_log_keeps_as_many_bytes_as_it_is_told() {
    let dir = dir();
    let mut log = filled(dir.path(), 100);
    let keep = log.size_bytes() / 2;
    let retired = log.retain(&sized(keep), Timestamp(0), log.tail()).unwrap();
    assert!(log.size_bytes() >= keep && log.size_bytes() < keep + 2000, "{retired:?}");
}

#[test]
fn nothing_goes_above_the_limit_nor_above_what_is_flushed() {
    let dir = dir();
    let mut log = filled(dir.path(), 100);
    let retired = log.retain(&sized(0), Timestamp(0), Offset(40)).unwrap();
    assert!(retired.start <= Offset(40) && retired.held_back > 0, "{retired:?}");
    let flushed = log.flushed();
    (0..50).for_each(|n| _ = append(&mut log, 1, n));
    let retired = log.retain(&sized(0), Timestamp(0), log.tail()).unwrap();
    assert!(retired.start <= flushed, "{retired:?}");
}

#[test]
fn an_active_segment_that_outlived_everything_is_rolled_and_goes() {
    let dir = dir();
    let mut log = filled(dir.path(), 100);
    let reader = log.reader();
    let held = reader.read(Offset(0), log.tail(), MAX, true).unwrap().unwrap();
    let retired = log.retain(&aged(SECOND), Timestamp(1 << 40), log.tail()).unwrap();
    assert_eq!((retired.start, log.size_bytes(), files(&log)), (Offset(100), 0, 1));
    assert!(slice_bytes(&held).len() as u64 == held.len, "who held a segment reads on");
    assert_eq!(log.retain(&aged(SECOND), Timestamp(1 << 40), log.tail()).unwrap().segments, 0, "empty segments stay");
    let log = kill(log, small()).0;
    assert_eq!((log.start(), log.tail()), (Offset(100), Offset(100)));
    let mut log = reopen(log, small());
    assert_eq!(append(&mut log, 1, 1).first_offset, Offset(100));
    assert_eq!(log.epoch_at(Offset(100)), Some(EPOCH));
}

#[test]
fn an_idle_segment_is_rolled_when_it_is_old() {
    let dir = dir();
    let mut log = open(dir.path(), Config::default());
    append(&mut log, 3, 1000);
    assert!(!log.roll_if_older(SECOND, Timestamp(2001)).unwrap());
    assert!(log.roll_if_older(SECOND, Timestamp(2002)).unwrap());
    assert!(!log.roll_if_older(SECOND, Timestamp(9999)).unwrap(), "an empty segment has no age");
    assert_eq!((log.segment_count(), log.tail()), (2, Offset(3)));
    log.flush().unwrap();
    assert!(log.flush_job().is_none(), "nothing is left to flush");
    assert_eq!(append(&mut log, 1, 3000).first_offset, Offset(3));
    let log = kill(reopen(log, Config::default()), Config::default()).0;
    assert_eq!((batches(&log, Offset(0)).len(), log.segment_count()), (2, 2));
}

#[test]
fn below_a_hole_the_log_starts_at_the_common_end() {
    let dir = dir();
    let mut log = filled(dir.path(), 30);
    log.open_epoch_across_hole(Offset(30), Offset(30 + (1 << 40)), LeaderEpoch(9000), 1, Timestamp(50_000)).unwrap();
    log.flush().unwrap();
    let retired = log.retain(&aged(SECOND * 5), Timestamp(50_000), log.tail()).unwrap();
    assert_eq!((retired.start, log.start()), (Offset(30), Offset(30)));
    for log in [log.reader(), kill(log, small()).0.reader()] {
        assert_eq!(log.start(), Offset(30));
        let slice = log.read(Offset(30), log.tail(), MAX, true).unwrap().unwrap();
        assert_eq!(slice.first_offset, Offset(30 + (1 << 40)));
        assert_eq!(log.epochs()[0].base, Offset(30 + (1 << 40)));
    }
}

#[test]
fn producers_are_known_when_their_batches_are_gone() {
    let dir = dir();
    let mut log = open(dir.path(), small());
    let next = |log: &mut Log, sequence| log.append(&produced(1, 7, 0, sequence), EPOCH, Timestamp(5));
    next(&mut log, 0).unwrap();
    (0..60).for_each(|n| _ = append(&mut log, 1, n));
    log.flush().unwrap();
    log.retain(&sized(100), Timestamp(0), log.tail()).unwrap();
    let mut log = kill(log, small()).0;
    assert!(log.start() > Offset(1));
    assert!(matches!(next(&mut log, 5), Err(AppendError::OutOfOrderSequence { expected: 1, .. })));
    assert!(next(&mut log, 0).unwrap().duplicate);
    next(&mut log, 1).unwrap();
}

#[test]
fn a_start_within_a_batch_is_kept_and_the_batch_is_read_whole() {
    let dir = dir();
    let mut log = open(dir.path(), small());
    (0..40).for_each(|n| _ = append(&mut log, 5, n));
    assert_eq!(log.set_log_start(Offset(102)).unwrap(), Offset(102), "also when it is not flushed yet");
    for log in [log.reader(), kill(log, small()).0.reader()] {
        assert_eq!(log.start(), Offset(102));
        let slice = log.read(Offset(102), log.tail(), MAX, true).unwrap().unwrap();
        assert_eq!(slice.first_offset, Offset(100));
        log.read(Offset(101), log.tail(), MAX, true).unwrap_err();
    }
}

#[test]
fn segments_left_by_a_crash_go_with_the_next_retention() {
    let dir = dir();
    let log = filled(dir.path(), 100);
    let first = dir.path().join(format!("{:020}.log", 0));
    let bytes = fs::read(&first).unwrap();
    let mut log = log;
    log.retain(&sized(3000), Timestamp(0), log.tail()).unwrap();
    // The start is durable before the files go, so a crash may leave them.
    fs::write(&first, bytes).unwrap();
    let (mut log, start) = (kill(log, small()).0, Offset(0));
    assert!(log.start() > start);
    assert_eq!(log.retain(&Retention::default(), Timestamp(0), log.tail()).unwrap().segments, 1);
    assert!(!first.exists());
}

#[test]
fn an_archive_is_copied_from_segments_that_are_removed_meanwhile() {
    let dir = dir();
    let mut log = filled(dir.path(), 100);
    let (reader, all) = (log.reader(), log.size_bytes());
    let hash = reader.content_hash(OffsetRange::new(Offset(0), log.tail())).unwrap();
    let path = dir.path().join("archive");
    assert_eq!(reader.copy_range_to(&path, Offset(0)).unwrap().bytes, all);
    log.retain(&sized(0), Timestamp(0), Offset(60)).unwrap();
    assert_ne!(reader.content_hash(OffsetRange::new(log.start(), log.tail())).unwrap(), hash);
    assert!(reader.copy_range_to(&path, log.start()).unwrap().bytes < all);
}
