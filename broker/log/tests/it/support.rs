//! What every test needs: a log in a directory that goes away, and batches.

use broker_log::{Appended, Config, Log, Recovery, Slice};
use model::{ByteCount, LeaderEpoch, Offset, ProducerId, Timestamp, TopicId};
use record::{BatchBuilder, Batches, CheckedBatch, ProduceRules};
use std::path::Path;
use tempfile::TempDir;

pub(crate) const EPOCH: LeaderEpoch = LeaderEpoch(4097);
pub(crate) const MAX: ByteCount = ByteCount::mib(100);

pub(crate) fn topic() -> TopicId {
    TopicId(uuid::Uuid::from_u128(7))
}

/// Segments and index intervals so small that a few batches cross all their borders.
pub(crate) fn small() -> Config {
    Config {
        segment_bytes: ByteCount(2000),
        index_interval_bytes: ByteCount(200),
        segment_index_bytes: ByteCount(96),
        ..Config::default()
    }
}

/// In memory where that is possible: these tests are about bytes, and flush a lot.
pub(crate) fn dir() -> TempDir {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    dir.expect("a temporary directory")
}

pub(crate) fn open(dir: &Path, config: Config) -> Log {
    recover(dir, config).0
}

pub(crate) fn recover(dir: &Path, config: Config) -> (Log, Recovery) {
    Log::open(dir, topic(), config).expect("the log opens")
}

/// Opens again without a close, as after kill -9.
pub(crate) fn kill(log: Log, config: Config) -> (Log, Recovery) {
    let dir = log.dir().to_owned();
    drop(log);
    recover(&dir, config)
}

pub(crate) fn reopen(log: Log, config: Config) -> Log {
    let dir = log.dir().to_owned();
    log.close().expect("the log closes");
    let (log, recovery) = recover(&dir, config);
    assert!(recovery.clean, "{recovery:?}");
    log
}

pub(crate) fn records(count: usize, time: i64) -> BatchBuilder {
    (0..count).fold(BatchBuilder::new(), |b, n| b.record(time + n as i64, Some(b"key"), Some(b"some value"), &[]))
}

pub(crate) fn checked(bytes: Vec<u8>) -> CheckedBatch {
    CheckedBatch::check(bytes.into(), &ProduceRules::BROKER).expect("a good batch")
}

pub(crate) fn append(log: &mut Log, count: usize, time: i64) -> Appended {
    append_in(log, EPOCH, count, time)
}

pub(crate) fn append_in(log: &mut Log, epoch: LeaderEpoch, count: usize, time: i64) -> Appended {
    log.append(&checked(records(count, time).build()), epoch, Timestamp(time)).expect("the batch is appended")
}

pub(crate) fn produced(count: usize, producer: i64, epoch: i16, sequence: i32) -> CheckedBatch {
    checked(records(count, 5).producer(ProducerId(producer), epoch, sequence).build())
}

/// Everything from `from` to the tail: (base offset, leader epoch) of each batch.
pub(crate) fn batches(log: &Log, from: Offset) -> Vec<(i64, i32)> {
    let bytes = contents(log, from);
    Batches::new(&bytes).map(|b| b.expect("a batch")).map(|b| (b.base_offset.0, b.leader_epoch.0)).collect()
}

/// The bytes of everything from `from` to the tail.
pub(crate) fn contents(log: &Log, from: Offset) -> Vec<u8> {
    let (reader, mut from, mut bytes) = (log.reader(), from, Vec::new());
    while let Some(slice) = reader.read(from, log.tail(), MAX, true).expect("a read") {
        from = slice.next_offset;
        bytes.extend(slice_bytes(&slice));
    }
    bytes
}

pub(crate) fn slice_bytes(slice: &Slice) -> Vec<u8> {
    let bytes = slice.to_bytes().expect("a slice").to_vec();
    for batch in Batches::new(&bytes) {
        batch.expect("a batch").verify().expect("a sound batch");
    }
    bytes
}
