use crate::support::*;
use broker_log::{Config, Log, OpenError};
use model::Offset;
use std::fs;
use std::path::{Path, PathBuf};

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    found.sort();
    found
}

fn cut(path: &Path, length: u64) {
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
}

#[test]
fn what_was_appended_is_there_after_kill_and_after_close() {
    for config in [small(), Config::default()] {
        let dir = dir();
        let mut log = open(dir.path(), config.clone());
        for round in 0..4 {
            (0..25).for_each(|n| _ = append(&mut log, 1 + n % 3, n as i64));
            let (bytes, tail, epochs) = (contents(&log, Offset(0)), log.tail(), log.epochs());
            if round == 2 {
                log.flush().unwrap();
            }
            log = if round % 2 == 0 { kill(log, config.clone()).0 } else { reopen(log, config.clone()) };
            assert_eq!((contents(&log, Offset(0)), log.tail(), log.epochs()), (bytes, tail, epochs));
            assert_eq!(log.flushed(), log.tail(), "recovery made it durable");
        }
    }
}

#[test]
fn a_log_torn_at_any_byte_keeps_its_whole_batches() {
    let origin = dir();
    let mut log = open(origin.path(), Config::default());
    (0..3).for_each(|n| _ = append(&mut log, 2, n));
    log.flush().unwrap();
    let before = log.size_bytes();
    let mut ends = vec![(before, log.tail())];
    for n in 0..3 {
        let tail = append(&mut log, 2, n).next_offset;
        ends.push((log.size_bytes(), tail));
    }
    drop(log);
    let full = fs::metadata(&segments(origin.path())[0]).unwrap().len();
    for length in before..=full {
        let torn = dir();
        copy_dir(origin.path(), torn.path());
        cut(&segments(torn.path())[0], length);
        let (mut log, recovery) = recover(torn.path(), Config::default());
        let (size, tail) = *ends.iter().rev().find(|(size, _)| *size <= length).unwrap();
        assert_eq!((log.size_bytes(), log.tail()), (size, tail), "torn at {length}");
        assert_eq!(recovery.cut.map_or(0, |cut| cut.bytes), length - size);
        assert_eq!(fs::metadata(&segments(torn.path())[0]).unwrap().len(), size);
        assert_eq!(append(&mut log, 1, 9).first_offset, tail, "and goes on there");
        assert_eq!(contents(&log, Offset(0)).len() as u64, log.size_bytes());
    }
}

#[test]
fn a_torn_segment_takes_those_behind_it_along() {
    let dir = dir();
    let mut log = open(dir.path(), small());
    (0..120).for_each(|n| _ = append(&mut log, 1, n));
    drop(log);
    let files = segments(dir.path());
    assert!(files.len() > 3);
    let length = fs::metadata(&files[1]).unwrap().len();
    cut(&files[1], length - 1);
    let (log, recovery) = recover(dir.path(), small());
    assert_eq!(segments(dir.path()), files[..2]);
    let lost = recovery.cut.unwrap();
    assert!(lost.sound_behind, "sound segments followed: this was no torn end");
    assert_eq!(lost.tail, log.tail());
    assert_eq!(contents(&log, Offset(0)).len() as u64, log.size_bytes());
}

#[test]
fn damage_behind_the_recovery_point_is_cut_off_and_reported() {
    let dir = dir();
    let mut log = open(dir.path(), Config::default());
    (0..9).for_each(|n| _ = append(&mut log, 1, n));
    let size = log.size_bytes() as usize;
    drop(log);
    let file = &segments(dir.path())[0];
    let mut bytes = fs::read(file).unwrap();
    bytes[size / 2] ^= 1;
    fs::write(file, bytes).unwrap();
    let (log, recovery) = recover(dir.path(), Config::default());
    assert_eq!(log.tail(), Offset(4));
    assert!(recovery.cut.unwrap().sound_behind);
}

/// Recovery points are written with the first flush and then every 16 MiB.
fn log_with_a_recovery_point(dir: &Path) -> (Log, u64) {
    let mut log = open(dir, Config::default());
    let large = |time| checked(record::BatchBuilder::new().record(time, None, Some(&vec![7; 1 << 20]), &[]).build());
    for n in 0..17 {
        log.append(&large(n), EPOCH, model::Timestamp(n)).unwrap();
    }
    log.flush().unwrap();
    let point = log.size_bytes();
    append(&mut log, 3, 99);
    (log, point)
}

#[test]
fn bytes_that_were_flushed_are_never_cut_off_silently() {
    let dir = dir();
    let (log, point) = log_with_a_recovery_point(dir.path());
    drop(log);
    cut(&segments(dir.path())[0], point - 1);
    let error = Log::open(dir.path(), topic(), Config::default()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { position, .. } if position == point - 1), "{error}");
    assert_eq!(fs::metadata(&segments(dir.path())[0]).unwrap().len(), point - 1, "nothing was touched");
}

#[test]
fn only_what_lies_behind_the_recovery_point_is_scanned() {
    let dir = dir();
    let (log, point) = log_with_a_recovery_point(dir.path());
    let size = log.size_bytes();
    let (log, recovery) = kill(log, Config::default());
    assert_eq!((recovery.scanned_bytes, log.tail()), (size - point, Offset(20)));
    assert!(log.reader().read(Offset(16), log.tail(), MAX, true).unwrap().unwrap().first_offset == Offset(16));
}

#[test]
fn files_that_only_save_time_may_be_missing_or_damaged() {
    let origin = dir();
    let mut log = open(origin.path(), small());
    for n in 0..60 {
        log.append(&produced(1, 7, 0, n), EPOCH, model::Timestamp(i64::from(n))).unwrap();
    }
    let (bytes, epochs) = (contents(&log, Offset(0)), log.epochs());
    log.close().unwrap();
    for extension in ["index", "timeindex", "snapshot", "leader-epoch-checkpoint", "recovery-point"] {
        for damage in [None, Some(&b"xyz"[..]), Some(&[0; 4096][..]), Some(&[]), Some(&[0xff; 24])] {
            let damaged = dir();
            copy_dir(origin.path(), damaged.path());
            for entry in fs::read_dir(damaged.path()).unwrap() {
                let path = entry.unwrap().path();
                if path.to_string_lossy().ends_with(extension) {
                    damage.map_or_else(|| fs::remove_file(&path), |bytes| fs::write(&path, bytes)).unwrap();
                }
            }
            let mut log = open(damaged.path(), small());
            assert_eq!((contents(&log, Offset(0)), log.epochs()), (bytes.clone(), epochs.clone()), "{extension}");
            for offset in 0..60 {
                let slice = log.reader().read(Offset(offset), log.tail(), MAX, true).unwrap().unwrap();
                assert_eq!(slice.first_offset, Offset(offset), "{extension} {damage:?}");
            }
            let again = log.append(&produced(1, 7, 0, 57), EPOCH, model::Timestamp(9)).unwrap();
            assert!(again.duplicate && again.first_offset == Offset(57), "{extension}: producers are known");
            assert_eq!(
                log.append(&produced(1, 7, 0, 60), EPOCH, model::Timestamp(9)).unwrap().first_offset,
                Offset(60)
            );
        }
    }
}

#[test]
fn an_orderly_close_leaves_nothing_to_scan_and_nothing_preallocated() {
    let dir = dir();
    let mut log = open(dir.path(), Config { index_interval_bytes: model::ByteCount(100), ..Config::default() });
    (0..50).for_each(|n| _ = append(&mut log, 1, n));
    let log = reopen(log, Config::default());
    let size = |extension: &str| fs::metadata(dir.path().join(format!("{:020}.{extension}", 0))).unwrap().len();
    assert!(size("index") > 0 && size("index") % 8 == 0 && size("index") < 65_536);
    assert!(size("timeindex") > 0 && size("timeindex") % 12 == 0);
    let log = reopen(log, Config::default());
    assert_eq!(log.tail(), Offset(50));
}

#[test]
fn a_small_partition_costs_no_index() {
    let dir = dir();
    let mut log = open(dir.path(), Config::default());
    append(&mut log, 3, 1);
    let sizes: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).collect();
    assert!(sizes.iter().sum::<u64>() < 1000, "{sizes:?}");
}

#[test]
fn a_directory_of_another_topic_is_refused() {
    let dir = dir();
    drop(open(dir.path(), small()));
    let other = model::TopicId(uuid::Uuid::from_u128(8));
    let error = Log::open(dir.path(), other, small()).unwrap_err();
    assert!(matches!(error, OpenError::OtherTopic { expected, .. } if expected == other), "{error}");
}

/// `tests/golden/kafka-4.3`: a partition directory as Apache Kafka 4.3.0 left it, with one lz4 batch of two records by
/// an idempotent producer.
#[test]
fn a_directory_of_apache_kafka_is_taken_over() {
    let dir = dir();
    copy_dir(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/kafka-4.3"), dir.path());
    let error = Log::open(dir.path(), topic(), Config::default()).unwrap_err();
    let OpenError::OtherTopic { found, .. } = error else { panic!("{error}") };
    let (mut log, _) = Log::open(dir.path(), found, Config::default()).unwrap();
    assert_eq!((log.start(), log.tail(), log.producer_count()), (Offset(0), Offset(2), 1));
    assert_eq!(log.epochs()[0].epoch, model::LeaderEpoch(0));
    assert_eq!(log.reader().verify(model::OffsetRange::new(Offset(0), Offset(2))).unwrap(), 1);
    let next = log.append(&produced(2, 1003, 0, 2), EPOCH, model::Timestamp(9)).unwrap();
    assert_eq!((next.first_offset, next.duplicate), (Offset(2), false), "the producer goes on");
}
