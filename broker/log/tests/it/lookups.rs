use crate::support::*;
use broker_log::{Config, TimestampType};
use model::{LeaderEpoch, Offset, Timestamp};
use record::Compression;
use std::time::Duration;

#[test]
fn the_first_record_at_or_after_a_time_is_found_to_the_record() {
    let dir = dir();
    let mut log = open(dir.path(), small());
    // Times rise from batch to batch, but not from record to record: 10n, 10n + 1, ...
    for n in 0..60 {
        let batch = checked(records(3, n * 10).compression(Compression::ALL[n as usize % 5]).build());
        log.append(&batch, LeaderEpoch(4097 + n as i32 / 30), Timestamp(0)).unwrap();
    }
    for round in 0..3 {
        let reader = log.reader();
        for time in -5..605 {
            let found = reader.offset_for_time(Timestamp(time), log.tail()).unwrap();
            let expected = (0..180).map(|n| (n, n / 3 * 10 + n % 3)).find(|(_, t)| *t >= time);
            assert_eq!(found.map(|f| (f.offset.0, f.timestamp.0)), expected, "{time} in round {round}");
            if let Some(found) = found {
                assert_eq!(found.leader_epoch.0, 4097 + i32::from(found.offset.0 >= 90));
            }
        }
        assert_eq!(reader.offset_for_time(Timestamp(300), Offset(90)).unwrap(), None, "not below the limit");
        assert_eq!(reader.max_timestamp(log.tail()).unwrap().unwrap().offset, Offset(179));
        log = if round == 0 { reopen(log, small()) } else { kill(log, small()).0 };
    }
    log.set_log_start(Offset(100)).unwrap();
    assert_eq!(log.reader().offset_for_time(Timestamp(0), log.tail()).unwrap().unwrap().offset, Offset(100));
}

#[test]
fn the_first_of_several_records_with_the_largest_time_is_found() {
    let dir = dir();
    let mut log = open(dir.path(), small());
    assert_eq!(log.reader().max_timestamp(log.tail()).unwrap(), None);
    for time in [5, 900, 3, 900, 20].into_iter().flat_map(|time| [time; 9]) {
        append(&mut log, 2, time);
    }
    for _ in 0..2 {
        let found = log.reader().max_timestamp(log.tail()).unwrap().unwrap();
        assert_eq!((found.offset, found.timestamp), (Offset(19), Timestamp(901)));
        assert_eq!(log.reader().max_timestamp(Offset(19)).unwrap(), None);
        log = reopen(log, small());
    }
}

#[test]
fn append_time_replaces_the_producers_time() {
    let dir = dir();
    let mut log = open(dir.path(), Config { timestamp_type: TimestampType::LogAppendTime, ..small() });
    let appended = log.append(&checked(records(3, 5).build()), EPOCH, Timestamp(1000)).unwrap();
    assert_eq!((appended.append_time, appended.max_timestamp), (Timestamp(1000), Timestamp(1000)));
    let found = log.reader().offset_for_time(Timestamp(6), log.tail()).unwrap().unwrap();
    assert_eq!((found.offset, found.timestamp), (Offset(0), Timestamp(1000)));
    contents(&log, Offset(0));
    let create_time =
        open(&dir.path().join("other"), small()).append(&checked(records(1, 5).build()), EPOCH, Timestamp(9));
    assert_eq!(create_time.unwrap().append_time, Timestamp::NONE);
}

#[test]
fn a_segment_is_rolled_when_it_is_old() {
    let dir = dir();
    let mut log = open(dir.path(), Config { segment_age_max: Duration::from_secs(1), ..Config::default() });
    [0, 500, 1000, 1001, 1500, 2002].into_iter().for_each(|time| _ = append(&mut log, 1, 5000 + time));
    assert_eq!(log.segment_count(), 3);
}

#[test]
fn the_time_of_an_append_is_known_for_lag() {
    let dir = dir();
    let mut log = open(dir.path(), small());
    for n in 0..10 {
        log.append(&checked(records(2, 5).build()), EPOCH, Timestamp(10_000 + n * 100)).unwrap();
    }
    assert_eq!(log.append_time(Offset(7)), Some(Timestamp(10_300)));
    assert_eq!(log.append_time(log.tail()), None);
    let log = kill(log, small()).0;
    assert_eq!(log.append_time(Offset(7)), Some(Timestamp(6)), "after a restart: the batch's own");
}

#[test]
fn epochs_without_a_record_are_answered_until_the_next() {
    let dir = dir();
    let mut log = open(dir.path(), small());
    assert_eq!(log.end_of_epoch_for_client(EPOCH), None);
    append(&mut log, 4, 1);
    log.begin_epoch(EPOCH.next().unwrap());
    assert_eq!(log.latest_epoch(), EPOCH.next().unwrap());
    assert_eq!(log.end_of_epoch_for_client(EPOCH).unwrap().end, Offset(4));
    log.flush().unwrap();
    let log = kill(log, small()).0;
    assert_eq!(log.latest_epoch(), EPOCH, "an epoch is in the log once its first batch is");
}
