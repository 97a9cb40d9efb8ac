use crate::support::*;
use broker_log::TruncateError;
use model::{LeaderEpoch, Offset, Timestamp};

#[test]
fn a_log_can_be_cut_at_every_offset_and_goes_on_there() {
    for cut in 0..=120 {
        let dir = dir();
        let mut log = open(dir.path(), small());
        for n in 0..60 {
            append_in(&mut log, LeaderEpoch(4097 + n / 10), 2, n.into());
        }
        if cut % 3 == 0 {
            log.flush().unwrap();
        }
        let whole = batches(&log, Offset(0));
        let expected = if cut == 120 { 120 } else { cut - cut % 2 };
        assert_eq!(log.truncate_to(Offset(cut)).unwrap(), Offset(expected));
        let kept: Vec<_> = whole.into_iter().filter(|(base, _)| *base < expected).collect();
        let latest = LeaderEpoch(kept.last().map_or(-1, |(_, epoch)| *epoch));
        for _ in 0..2 {
            assert_eq!(batches(&log, log.start()), kept, "cut at {cut}");
            assert_eq!(log.latest_epoch(), latest);
            assert!(log.flushed() <= log.tail());
            log = kill(log, small()).0;
        }
        let tail = log.tail();
        assert_eq!(append_in(&mut log, LeaderEpoch(9999), 3, 1).first_offset, tail);
        let log = reopen(log, small());
        assert_eq!(log.tail(), tail.plus(3));
    }
}

#[test]
fn a_flush_that_ran_across_a_cut_claims_nothing() {
    let dir = dir();
    let mut log = open(dir.path(), small());
    (0..5).for_each(|n| _ = append(&mut log, 2, n));
    let job = log.flush_job().unwrap();
    log.truncate_to(Offset(4)).unwrap();
    append(&mut log, 9, 1);
    let flushed = job.run().unwrap();
    assert_eq!(log.flushed_to(flushed), Offset(0));
    assert_eq!(log.flush().unwrap(), Offset(13));
}

#[test]
fn group_commit_covers_what_was_there_when_it_began() {
    let dir = dir();
    let mut log = open(dir.path(), small());
    assert!(log.flush_job().is_none());
    (0..30).for_each(|n| _ = append(&mut log, 2, n));
    let job = log.flush_job().unwrap();
    (0..30).for_each(|n| _ = append(&mut log, 2, n));
    assert_eq!((job.target(), log.flushed()), (Offset(60), Offset(0)));
    let flushed = std::thread::spawn(move || job.run().unwrap()).join().unwrap();
    assert_eq!(flushed.offset(), Offset(60));
    assert_eq!(log.flushed_to(flushed), Offset(60));
    assert_eq!(log.flush().unwrap(), Offset(120));
    assert!(log.flush_job().is_none());
}

#[test]
fn a_reader_notices_that_its_slice_was_cut() {
    let dir = dir();
    let mut log = open(dir.path(), small());
    (0..5).for_each(|n| _ = append(&mut log, 2, n));
    let slice = log.reader().read(Offset(0), log.tail(), MAX, true).unwrap().unwrap();
    log.truncate_to(Offset(4)).unwrap();
    append(&mut log, 9, 1);
    assert!(!slice.is_intact());
    assert!(matches!(slice.to_bytes(), Err(broker_log::ReadError::Truncated)));
}

#[test]
fn the_log_start_never_goes_back_and_survives_a_restart() {
    let dir = dir();
    let mut log = open(dir.path(), small());
    (0..60).for_each(|n| _ = append(&mut log, 2, n));
    let segments = log.segment_count();
    assert_eq!(log.set_log_start(Offset(51)).unwrap(), Offset(51));
    assert_eq!(log.set_log_start(Offset(7)).unwrap(), Offset(51));
    assert!(log.segment_count() < segments);
    assert!(matches!(log.set_log_start(Offset(121)), Err(TruncateError::OutOfRange { .. })));
    assert!(matches!(log.truncate_to(Offset(50)), Err(TruncateError::OutOfRange { .. })));
    for _ in 0..2 {
        assert_eq!((log.start(), log.tail()), (Offset(51), Offset(120)));
        assert_eq!(log.epochs()[0].start, Offset(51));
        let first = log.reader().read(Offset(51), log.tail(), MAX, true).unwrap().unwrap();
        assert_eq!(first.first_offset, Offset(50), "the batch that contains the start");
        log = kill(log, small()).0;
    }
    assert_eq!(log.set_log_start(Offset(120)).unwrap(), Offset(120));
    let log = kill(log, small()).0;
    assert_eq!((log.start(), log.tail()), (Offset(120), Offset(120)));
}

#[test]
fn a_log_restarted_elsewhere_has_forgotten_everything() {
    let dir = dir();
    let mut log = open(dir.path(), small());
    for n in 0..60 {
        log.append(&produced(2, 7, 0, n * 2), EPOCH, Timestamp(1)).unwrap();
    }
    for at in [5_000_000_000, 12] {
        log.restart_at(Offset(at)).unwrap();
        for _ in 0..2 {
            assert_eq!((log.start(), log.tail(), log.latest_epoch()), (Offset(at), Offset(at), LeaderEpoch::NONE));
            assert_eq!(log.producer_count(), 0);
            log = kill(log, small()).0;
        }
        assert_eq!(append(&mut log, 1, 1).first_offset, Offset(at));
    }
}

#[test]
fn a_deleted_log_leaves_nothing() {
    let dir = dir();
    let home = dir.path().join("orders-0");
    let mut log = open(&home, small());
    append(&mut log, 2, 1);
    log.delete().unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn what_is_kept_aside_is_a_whole_log_though_the_other_begins_anew() {
    let (dir, aside) = (dir(), dir());
    let (mut log, aside) = (open(dir.path(), small()), aside.path().join("kept"));
    (0..40).for_each(|n| _ = append(&mut log, 3, n));
    let before = contents(&log, log.start());
    log.keep_aside(&aside).unwrap();
    log.restart_at(Offset(0)).unwrap();
    (0..90).for_each(|n| _ = append(&mut log, 1, n));
    let kept = open(&aside, small());
    assert_eq!(contents(&kept, kept.start()), before);
    assert_eq!((kept.tail(), log.tail()), (Offset(120), Offset(90)));
    log.keep_aside(&aside).unwrap_err();
}
