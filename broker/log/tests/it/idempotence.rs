use crate::support::*;
use broker_log::{AppendError, Config, Log};
use model::{Offset, ProducerId, Timestamp};

fn send(log: &mut Log, epoch: i16, sequence: i32) -> Result<(i64, bool), AppendError> {
    let appended = log.append(&produced(2, 7, epoch, sequence), EPOCH, Timestamp(1))?;
    Ok((appended.first_offset.0, appended.duplicate))
}

#[test]
fn a_batch_sent_again_is_answered_with_its_first_offset() {
    let dir = dir();
    let mut log = open(dir.path(), small());
    append(&mut log, 3, 1);
    for n in 0..5 {
        assert_eq!(send(&mut log, 0, n * 2).unwrap(), (3 + i64::from(n) * 2, false));
    }
    let tail = log.tail();
    for n in 0..5 {
        assert_eq!(send(&mut log, 0, n * 2).unwrap(), (3 + i64::from(n) * 2, true));
    }
    assert_eq!(log.tail(), tail);
}

#[test]
fn all_five_batches_are_known_after_a_restart() {
    let dir = dir();
    let mut log = open(dir.path(), small());
    (0..9).for_each(|n| _ = send(&mut log, 3, n * 2).unwrap());
    log = reopen(log, small());
    assert_eq!(send(&mut log, 3, 8).unwrap(), (8, true));
    log = kill(log, small()).0;
    assert_eq!(send(&mut log, 3, 8).unwrap(), (8, true));
    assert_eq!(send(&mut log, 3, 18).unwrap(), (18, false));
}

#[test]
fn refusals_say_what_was_expected() {
    let dir = dir();
    let mut log = open(dir.path(), small());
    send(&mut log, 3, 500).expect("an unknown producer starts anywhere");
    let error = send(&mut log, 3, 504).unwrap_err();
    assert!(matches!(error, AppendError::OutOfOrderSequence { expected: 502, found: 504, .. }), "{error}");
    let error = send(&mut log, 2, 502).unwrap_err();
    assert!(matches!(error, AppendError::ProducerFenced { epoch: 2, latest: 3, .. }), "{error}");
    let error = log.append(&produced(1, 7, 3, 502), model::LeaderEpoch(4096), Timestamp(1)).unwrap_err();
    assert!(matches!(error, AppendError::StaleEpoch { .. }), "{error}");
    assert_eq!(log.tail(), Offset(2));
}

#[test]
fn an_explicitly_opened_jump_survives_restarts_until_the_first_new_batch() {
    let dir = dir();
    let mut log = open(dir.path(), Config::default());
    let id = ProducerId(7);
    (0..3).for_each(|n| _ = send(&mut log, 0, n * 2).unwrap());
    assert!(!log.has_open_jump(id));
    log.open_jumps().unwrap();
    log = kill(log, Config::default()).0;
    assert!(log.has_open_jump(id));
    assert_eq!(send(&mut log, 0, 4).unwrap(), (4, true));
    log = reopen(log, Config::default());
    assert!(send(&mut log, 0, 1).is_err() && log.has_open_jump(id), "neither duplicates nor refusals close it");
    let jump = log.append(&produced(2, 7, 0, 100), EPOCH, Timestamp(1)).unwrap().jump.unwrap();
    assert_eq!((jump.expected_sequence, jump.found_sequence), (6, 100));
    assert!(!log.has_open_jump(id));
    log = kill(log, Config::default()).0;
    assert!(!log.has_open_jump(id));
    assert!(matches!(send(&mut log, 0, 200).unwrap_err(), AppendError::OutOfOrderSequence { expected: 102, .. }));
}
