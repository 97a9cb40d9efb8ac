use crate::support::*;
use broker_log::{AppendError, EpochStart, HoleError, Log};
use model::{LeaderEpoch, Offset, ProducerId, Timestamp, limits};

const OLD: LeaderEpoch = LeaderEpoch(4097);
const NEW: LeaderEpoch = LeaderEpoch(2 * 4096);
const NOW: Timestamp = Timestamp(77);

fn promoted(dir: &std::path::Path) -> (Log, Offset, Offset) {
    let mut log = open(dir, small());
    for n in 0..20 {
        log.append(&produced(2, 7, 0, n * 2), OLD, NOW).unwrap();
    }
    let common_end = log.tail();
    let base = common_end.plus(limits::PROMOTE_HOLE_OFFSETS);
    let appended = log.open_epoch_across_hole(common_end, base, NEW, 1, NOW).unwrap();
    assert_eq!((appended.first_offset, log.tail()), (base, base.plus(1)));
    (log, common_end, base)
}

fn check_epochs(log: &Log, common_end: Offset, base: Offset) {
    let last = *log.epochs().last().unwrap();
    assert_eq!(last, EpochStart { epoch: NEW, start: common_end, base });
    assert_eq!(log.end_of_epoch_for_replica(OLD).unwrap().end, common_end);
    assert_eq!(log.end_of_epoch_for_client(OLD).unwrap().end, base);
    assert_eq!(log.end_of_epoch_for_client(NEW).unwrap().end, log.tail());
    assert_eq!((log.epoch_at(common_end.plus(-1)), log.epoch_at(common_end)), (Some(OLD), Some(NEW)));
}

#[test]
fn an_epoch_opened_across_a_hole_is_the_same_for_leader_copy_and_recovery() {
    let (a, b) = (dir(), dir());
    let (mut log, common_end, base) = promoted(a.path());
    append_in(&mut log, NEW, 3, 5);
    check_epochs(&log, common_end, base);
    let mut copy = open(b.path(), small());
    copy.append_copy(&contents(&log, Offset(0)), NOW).unwrap();
    for mut log in [log, copy] {
        check_epochs(&log, common_end, base);
        assert_eq!(batches(&log, common_end), [(base.0, NEW.0), (base.0 + 1, NEW.0)]);
        let next = log.reader().read(common_end.plus(9), log.tail(), MAX, true).unwrap().unwrap();
        assert_eq!(next.first_offset, base, "an offset in the hole is read as the batch behind it");
        let before = log.reader().read(common_end.plus(-1), common_end, MAX, true).unwrap().unwrap();
        assert_eq!(before.next_offset, common_end);
        log = kill(log, small()).0;
        check_epochs(&log, common_end, base);
        log = reopen(log, small());
        check_epochs(&log, common_end, base);
        assert_eq!(log.reader().count_without_holes(common_end.plus(-5), log.tail()), 9);
    }
}

#[test]
fn the_jump_behind_a_hole_needs_no_file_but_the_log() {
    let (a, b) = (dir(), dir());
    let (log, ..) = promoted(a.path());
    let mut copy = open(b.path(), small());
    copy.append_copy(&contents(&log, Offset(0)), NOW).unwrap();
    for mut log in [log, copy] {
        for _ in 0..2 {
            assert!(log.has_open_jump(ProducerId(7)));
            log = kill(log, small()).0;
        }
        for entry in std::fs::read_dir(log.dir()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "snapshot") {
                std::fs::remove_file(path).unwrap();
            }
        }
        log = kill(log, small()).0;
        assert!(log.has_open_jump(ProducerId(7)));
        assert!(log.append(&produced(2, 7, 0, 38), NEW, NOW).unwrap().duplicate);
        assert!(log.append(&produced(2, 7, 0, 90), NEW, NOW).unwrap().jump.is_some());
        log = kill(log, small()).0;
        assert!(!log.has_open_jump(ProducerId(7)));
        let refused = log.append(&produced(2, 7, 0, 99), NEW, NOW).unwrap_err();
        assert!(matches!(refused, AppendError::OutOfOrderSequence { expected: 92, .. }));
    }
}

#[test]
fn an_old_owner_truncates_to_the_common_end_and_crosses_by_the_batch_alone() {
    let (a, b) = (dir(), dir());
    let (log, common_end, base) = promoted(a.path());
    let mut old = open(b.path(), small());
    for n in 0..25 {
        old.append(&produced(2, 7, 0, n * 2), OLD, NOW).unwrap();
    }
    let end = log.end_of_epoch_for_replica(old.latest_epoch()).unwrap();
    assert_eq!((end.epoch, end.end), (OLD, common_end));
    let archive = b.path().join("diverged");
    let copied = old.reader().copy_range_to(&archive, end.end).unwrap();
    assert_eq!((copied.range.start, copied.range.end, copied.records), (common_end, Offset(50), 10));
    assert_eq!(std::fs::read(&archive).unwrap(), contents(&old, common_end));
    assert_eq!(old.truncate_to(end.end).unwrap(), common_end);
    old.append_copy(&contents(&log, common_end), NOW).unwrap();
    check_epochs(&old, common_end, base);
    assert_eq!(contents(&old, Offset(0)), contents(&log, Offset(0)));
}

#[test]
fn a_log_cut_in_or_behind_the_hole_ends_at_the_common_end() {
    for into in [0, 1, 1 << 39, 1 << 40] {
        let dir = dir();
        let (mut log, common_end, _) = promoted(dir.path());
        assert_eq!(log.truncate_to(common_end.plus(into)).unwrap(), common_end);
        assert_eq!((log.tail(), log.latest_epoch()), (common_end, OLD));
        assert!(!log.has_open_jump(ProducerId(7)), "the hole is gone, and what it opened");
        let log = kill(log, small()).0;
        assert_eq!((log.tail(), log.latest_epoch()), (common_end, OLD));
    }
}

#[test]
fn when_nothing_below_the_hole_is_kept_the_log_starts_at_the_common_end() {
    let dir = dir();
    let (mut log, common_end, base) = promoted(dir.path());
    append_in(&mut log, NEW, 3, 5);
    assert_eq!(log.set_log_start(base).unwrap(), common_end);
    for _ in 0..2 {
        assert_eq!((log.start(), log.segment_count()), (common_end, 1));
        check_epochs_behind(&log, common_end, base);
        log = kill(log, small()).0;
        check_epochs_behind(&log, common_end, base);
        log = reopen(log, small());
    }
    assert_eq!(log.set_log_start(base.plus(1)).unwrap(), base.plus(1), "behind its first batch it starts there");
}

fn check_epochs_behind(log: &Log, common_end: Offset, base: Offset) {
    assert_eq!(log.start(), common_end);
    assert_eq!(log.epochs(), [EpochStart { epoch: NEW, start: common_end, base }]);
    let first = log.reader().read(common_end, log.tail(), MAX, true).unwrap().unwrap();
    assert_eq!(first.first_offset, base);
}

#[test]
fn a_hole_opens_only_at_the_common_end_under_a_new_epoch() {
    let dir = dir();
    let mut log = open(dir.path(), small());
    append(&mut log, 5, 1);
    let mut refuse =
        |end, base, epoch| log.open_epoch_across_hole(Offset(end), Offset(base), epoch, 1, NOW).unwrap_err();
    assert!(matches!(refuse(4, 99, NEW), HoleError::NotAtCommonEnd { tail: Offset(5), .. }));
    assert!(matches!(refuse(6, 99, NEW), HoleError::NotAtCommonEnd { .. }));
    assert!(matches!(refuse(5, 4, NEW), HoleError::BaseBeforeEnd { .. }));
    assert!(matches!(refuse(5, 99, EPOCH), HoleError::Append(AppendError::StaleEpoch { .. })));
    assert_eq!((log.tail(), log.latest_epoch()), (Offset(5), EPOCH));
    log.open_epoch_across_hole(Offset(5), Offset(5), NEW, 1, NOW).unwrap();
    assert_eq!(log.tail(), Offset(6), "without a hole it is just the first batch");
}

#[test]
fn three_promotes_in_a_row_leave_three_holes() {
    let dir = dir();
    let mut log = open(dir.path(), small());
    let mut starts = Vec::new();
    for grant in 1..4 {
        let (end, epoch) = (log.tail(), LeaderEpoch(grant * 4096));
        log.open_epoch_across_hole(end, end.plus(1 << 40), epoch, 1, NOW).unwrap();
        append_in(&mut log, epoch, 4, 1);
        starts.push(end);
    }
    for _ in 0..2 {
        assert_eq!(log.epochs().iter().map(|epoch| epoch.start).collect::<Vec<_>>(), starts);
        assert!(log.epochs().iter().all(|epoch| epoch.base == epoch.start.plus(1 << 40)));
        assert_eq!(log.reader().count_without_holes(Offset(0), log.tail()), 15);
        log = kill(log, small()).0;
    }
    assert_eq!(log.truncate_to(starts[1].plus(7)).unwrap(), starts[1]);
    assert_eq!(log.epochs().len(), 1);
}
