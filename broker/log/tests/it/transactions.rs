use crate::support::*;
use broker_log::Log;
use model::{Offset, ProducerId, Timestamp};
use record::end_txn_marker;

const NOW: Timestamp = Timestamp(5);

fn data(log: &mut Log, producer: i64, sequence: i32) -> Offset {
    let builder = records(2, 5).producer(ProducerId(producer), 0, sequence).transactional();
    log.append(&checked(builder.build()), EPOCH, NOW).unwrap().first_offset
}

fn end(log: &mut Log, producer: i64, commit: bool) -> Offset {
    let marker = checked(end_txn_marker(commit, ProducerId(producer), 0, 0, NOW));
    log.append(&marker, EPOCH, NOW).unwrap().first_offset
}

fn mixed(log: &mut Log) {
    data(log, 1, 0); // 0, 1
    append(log, 2, 1); // 2, 3
    data(log, 2, 0); // 4, 5
    assert_eq!(end(log, 1, false), Offset(6));
    data(log, 1, 2); // 7, 8
    assert_eq!(end(log, 2, true), Offset(9));
    data(log, 3, 0); // 10, 11
    assert_eq!(end(log, 1, false), Offset(12));
}

fn aborted(log: &Log, from: i64, upto: i64) -> Vec<(i64, i64)> {
    let found = log.aborted_transactions(Offset(from), Offset(upto));
    found.iter().map(|txn| (txn.producer_id.0, txn.first_offset.0)).collect()
}

fn check_mixed(log: &Log) {
    let stable = |watermark| log.last_stable(Offset(watermark)).0;
    assert_eq!([stable(13), stable(10)], [10, 7], "the open one; the one whose marker is not committed");
    assert_eq!(log.open_transactions().iter().map(|txn| txn.first_offset.0).collect::<Vec<_>>(), [10]);
    assert_eq!(aborted(log, 0, 7), [(1, 0)]);
    assert_eq!(aborted(log, 7, 13), [(1, 7)]);
    assert_eq!(aborted(log, 0, 13), [(1, 0), (1, 7)]);
}

#[test]
fn readers_of_committed_records_are_told_the_same_by_leader_copy_and_recovery() {
    let (a, b) = (dir(), dir());
    let mut log = open(a.path(), small());
    mixed(&mut log);
    let mut copy = open(b.path(), small());
    copy.append_copy(&contents(&log, Offset(0)), NOW).unwrap();
    for mut log in [log, copy] {
        check_mixed(&log);
        log = kill(log, small()).0;
        check_mixed(&log);
        log = reopen(log, small());
        check_mixed(&log);
        log.forget_stable(Offset(13));
        assert_eq!(log.last_stable(Offset(13)), Offset(10));
    }
}

#[test]
fn open_transactions_are_ended_by_abort_markers() {
    let dir = dir();
    let mut log = open(dir.path(), small());
    mixed(&mut log);
    for open in log.open_transactions() {
        let marker = end_txn_marker(false, open.producer_id, open.producer_epoch, 0, NOW);
        log.append(&checked(marker), EPOCH, NOW).unwrap();
    }
    assert_eq!(log.last_stable(log.tail()), log.tail());
    assert_eq!(aborted(&log, 10, 14), [(1, 7), (3, 10)]);
    assert_eq!(aborted(&log, 13, 14), [(3, 10)]);
}

#[test]
fn a_truncated_marker_leaves_its_transaction_open() {
    let dir = dir();
    let mut log = open(dir.path(), small());
    mixed(&mut log);
    log.truncate_to(Offset(6)).unwrap();
    assert_eq!(log.open_transactions().iter().map(|txn| txn.producer_id.0).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(aborted(&log, 0, 6), []);
    assert_eq!(log.last_stable(Offset(6)), Offset(0));
    end(&mut log, 1, false);
    assert_eq!(aborted(&log, 0, 7), [(1, 0)]);
    let log = kill(log, small()).0;
    assert_eq!(aborted(&log, 0, 7), [(1, 0)]);
}

#[test]
fn aborted_transactions_are_found_across_segments() {
    let dir = dir();
    let mut log = open(dir.path(), small());
    for n in 0..40 {
        data(&mut log, 1, n * 2);
        end(&mut log, 1, n % 2 == 0);
    }
    assert!(log.segment_count() > 2);
    for _ in 0..2 {
        assert_eq!(aborted(&log, 0, 120).len(), 20);
        assert_eq!(aborted(&log, 60, 66), [(1, 63)]);
        log = kill(log, small()).0;
    }
    log.set_log_start(Offset(100)).unwrap();
    assert_eq!(aborted(&log, 100, 120).len(), 4);
}
