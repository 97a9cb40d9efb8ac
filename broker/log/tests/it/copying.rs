use crate::support::*;
use broker_log::{CopyError, Log};
use model::{LeaderEpoch, Offset, OffsetRange, Timestamp};
use record::BatchBuilder;

const NOW: Timestamp = Timestamp(77);

fn source(dir: &std::path::Path) -> Log {
    let mut log = open(dir, small());
    for n in 0..60 {
        append_in(&mut log, LeaderEpoch(4097 + n / 20), 1 + n as usize % 3, n.into());
    }
    log
}

fn hash(log: &Log) -> broker_log::ContentHash {
    log.reader().content_hash(OffsetRange::new(Offset(0), log.tail())).unwrap()
}

#[test]
fn a_copy_is_equal_to_its_source_in_bytes_offsets_and_epochs() {
    let (a, b) = (dir(), dir());
    let (source, mut copy) = (source(a.path()), open(b.path(), broker_log::Config::default()));
    let bytes = contents(&source, Offset(0));
    // Cut at odd places: what is cut off is fetched again.
    let mut taken = 0;
    for step in (1..).map(|n| n * 37 % 700) {
        let end = (taken + 300 + step).min(bytes.len());
        taken += copy.append_copy(&bytes[taken..end], NOW).unwrap().bytes;
        if taken == bytes.len() {
            break;
        }
    }
    assert_eq!(contents(&copy, Offset(0)), bytes);
    assert_eq!((copy.tail(), copy.epochs()), (source.tail(), source.epochs()));
    assert_eq!(hash(&copy), hash(&source));
    let copy = kill(copy, broker_log::Config::default()).0;
    assert_eq!((hash(&copy), copy.epochs()), (hash(&source), source.epochs()));
    assert_eq!(copy.reader().verify(OffsetRange::new(Offset(0), copy.tail())).unwrap(), 60);
}

fn at(offset: i64, epoch: i32) -> Vec<u8> {
    let builder = BatchBuilder::new().base_offset(Offset(offset)).leader_epoch(LeaderEpoch(epoch));
    builder.record(offset, None, Some(b"value"), &[]).build()
}

#[test]
fn offsets_may_be_skipped_but_neither_they_nor_epochs_go_back() {
    let dir = dir();
    let mut copy = open(dir.path(), small());
    copy.append_copy(&[at(5, 2), at(9, 2)].concat(), NOW).unwrap();
    assert_eq!((copy.start(), copy.tail()), (Offset(0), Offset(10)));
    let mut refuse = |batches: Vec<u8>| copy.append_copy(&batches, NOW).unwrap_err();
    assert!(matches!(refuse(at(9, 2)), CopyError::Overlap { base_offset: Offset(9), tail: Offset(10) }));
    assert!(matches!(refuse([at(10, 2), at(10, 2)].concat()), CopyError::Overlap { .. }));
    assert!(matches!(refuse([at(10, 3), at(11, 2)].concat()), CopyError::EpochWentBack { .. }));
    let mut damaged = [at(10, 2), at(11, 2)].concat();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(matches!(refuse(damaged), CopyError::Batch { tail: Offset(11), .. }));
    assert_eq!(batches(&copy, Offset(0)), [(5, 2), (9, 2)], "a refused copy leaves nothing behind");
    for from in 0..10 {
        let first = copy.reader().read(Offset(from), copy.tail(), MAX, true).unwrap().unwrap().first_offset;
        assert_eq!(first, Offset(if from <= 5 { 5 } else { 9 }), "from {from}");
    }
}

#[test]
fn an_offset_too_far_away_for_an_index_begins_a_segment() {
    let dir = dir();
    let mut copy = open(dir.path(), small());
    let far = (1 << 31) + 5;
    copy.append_copy(&at(3 << 33, 2), NOW).unwrap();
    assert_eq!(copy.segment_count(), 1, "an empty segment is replaced");
    copy.append_copy(&[at((3 << 33) + 1, 2), at((3 << 33) + far, 2)].concat(), NOW).unwrap();
    assert_eq!(copy.segment_count(), 2);
    let copy = kill(copy, small()).0;
    assert_eq!(batches(&copy, Offset(0)).len(), 3);
    assert_eq!(copy.tail(), Offset((3 << 33) + far + 1));
}

#[test]
fn a_copy_knows_the_producers_of_its_source() {
    let (a, b) = (dir(), dir());
    let mut source = open(a.path(), small());
    for n in 0..8 {
        source.append(&produced(1, 7, 0, n), EPOCH, NOW).unwrap();
    }
    let mut copy = open(b.path(), small());
    copy.append_copy(&contents(&source, Offset(0)), NOW).unwrap();
    assert!(copy.append(&produced(1, 7, 0, 4), EPOCH, NOW).unwrap().duplicate);
    assert_eq!(copy.append(&produced(1, 7, 0, 8), EPOCH, NOW).unwrap().first_offset, Offset(8));
    // Whatever a leader took is taken over, in order or not.
    copy.append_copy(&produced(1, 7, 0, 50).bytes()[..0], NOW).unwrap();
    let mut odd = produced(1, 7, 0, 50).bytes().to_vec();
    record::set_base_offset(&mut odd, Offset(9));
    record::set_leader_epoch(&mut odd, EPOCH);
    copy.append_copy(&odd, NOW).unwrap();
    assert!(copy.append(&produced(1, 7, 0, 51), EPOCH, NOW).is_ok());
}
