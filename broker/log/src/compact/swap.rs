//! Putting a cleaned segment in the place of the segments it was made from.
//!
//! ```text
//!   <base>.{log,index,timeindex,txnindex}.cleaned   durable; mean nothing
//!   swap: "0 <base> <end>"                          durable: from here on it will be done
//!   rename each .cleaned, the log last              while the cleaned log is there, the others may be, too
//!   remove the other segments of [base, end)
//!   remove swap                                     durable: done
//! ```
//!
//! Whoever opens a log with a marker goes on from wherever it was left; without one, cleaned files are rubbish.

use crate::{FileError, TruncateError, files};
use model::Offset;
use std::fs;
use std::io;
use std::path::Path;

/// The end of the name of a file that waits for the swap.
pub(crate) const CLEANED: &str = "cleaned";
/// The marker.
pub(crate) const SWAP: &str = "swap";
/// How far the log was compacted.
pub(crate) const CHECKPOINT: &str = "cleaner-offset";

/// Decides that the cleaned segment takes the place of all segments in `[base, end)`.
pub(crate) fn begin(dir: &Path, base: Offset, end: Offset) -> Result<(), FileError> {
    files::replace_durably(&dir.join(SWAP), format!("0\n{base} {end}\n").as_bytes())
}

/// Does what was decided; doing it again is harmless.
pub(crate) fn finish(dir: &Path, base: Offset, end: Offset) -> Result<(), FileError> {
    for extension in [files::TXN_INDEX, files::OFFSET_INDEX, files::TIME_INDEX, files::LOG] {
        put_in_place(dir, base, extension)?;
    }
    let replaced = files::offsets(dir, files::LOG)?;
    for other in replaced.into_iter().filter(|other| base < *other && *other < end) {
        for extension in [files::TXN_INDEX, files::OFFSET_INDEX, files::TIME_INDEX, files::SNAPSHOT, files::LOG] {
            files::remove(&files::of_offset(dir, other, extension))?;
        }
    }
    files::sync_dir(dir)?;
    files::remove(&dir.join(SWAP))?;
    files::sync_dir(dir)
}

fn put_in_place(dir: &Path, base: Offset, extension: &str) -> Result<(), FileError> {
    let place = files::of_offset(dir, base, extension);
    let cleaned = place.with_added_extension(CLEANED);
    match fs::rename(&cleaned, &place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(files::failed("rename", &cleaned)(error)),
        _ => Ok(()),
    }
}

/// Finishes a swap that was decided, and removes what was not. Call it before the segments are listed.
pub(crate) fn recover(dir: &Path) -> Result<(), FileError> {
    let marker = files::read(&dir.join(SWAP))?;
    if let Some((base, end)) = marker.and_then(|bytes| decode(&String::from_utf8_lossy(&bytes))) {
        finish(dir, base, end)?;
    }
    remove_cleaned(dir)
}

fn decode(text: &str) -> Option<(Offset, Offset)> {
    let (base, end) = text.strip_prefix("0\n")?.strip_suffix('\n')?.split_once(' ')?;
    Some((Offset(base.parse().ok()?), Offset(end.parse().ok()?)))
}

/// Removes files that wait for a swap that never comes.
pub(crate) fn remove_cleaned(dir: &Path) -> Result<(), FileError> {
    let entries = fs::read_dir(dir).map_err(files::failed("list", dir))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut cleaned = paths.filter(|path| path.extension().is_some_and(|extension| extension == CLEANED));
    cleaned.try_for_each(|path| files::remove(&path))
}

/// How far the log was compacted, if it was.
pub(crate) fn read_checkpoint(dir: &Path) -> Result<Option<Offset>, FileError> {
    let bytes = files::read(&dir.join(CHECKPOINT))?;
    Ok(bytes.and_then(|bytes| String::from_utf8_lossy(&bytes).strip_prefix("0\n")?.trim_end().parse().ok()).map(Offset))
}

/// Notes how far it is compacted. An older note after a crash only means that some of it is looked at again.
pub(crate) fn write_checkpoint(dir: &Path, upto: Offset) -> Result<(), FileError> {
    files::replace(&dir.join(CHECKPOINT), format!("0\n{upto}\n").as_bytes())
}

/// The log was cut below what was compacted.
pub(crate) fn remove_checkpoint(dir: &Path) -> Result<(), FileError> {
    files::remove(&dir.join(CHECKPOINT))
}

pub(super) fn unusable(dir: &Path, base: Offset) -> TruncateError {
    let path = files::of_offset(dir, base, files::LOG);
    FileError { action: "read the cleaned segment", path, source: io::ErrorKind::InvalidData.into() }.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Compaction, Config, Log};
    use model::{ByteCount, LeaderEpoch, Timestamp, TopicId};
    use record::{BatchBuilder, Batches, CheckedBatch, ProduceRules};
    use std::path::PathBuf;
    use std::time::Duration;

    fn config() -> Config {
        Config { segment_bytes: ByteCount(500), index_interval_bytes: ByteCount(100), ..Config::default() }
    }

    fn append(log: &mut Log, key: &str) {
        let bytes = BatchBuilder::new().record(1, Some(key.as_bytes()), Some(&[7; 90]), &[]).build();
        let batch = CheckedBatch::check(bytes.into(), &ProduceRules::default()).unwrap();
        log.append(&batch, LeaderEpoch(1), Timestamp(1)).unwrap();
    }

    fn offsets(log: &Log) -> Vec<i64> {
        let (mut from, mut found) = (log.start(), Vec::new());
        while let Some(slice) = log.reader().read(from, log.tail(), ByteCount::mib(1), true).unwrap() {
            from = slice.next_offset;
            let bytes = slice.to_bytes().unwrap();
            found.extend(
                Batches::new(&bytes).map(|batch| batch.unwrap()).filter(|b| b.count > 0).map(|b| b.base_offset.0),
            );
        }
        found
    }

    fn copy_dir(from: &Path, to: &Path) {
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }

    /// One change of a file in a directory.
    type Change = Box<dyn Fn(&Path)>;

    /// Every change of a file between the cleaned segment and the end of the swap, in order.
    fn steps(dir: &Path, base: Offset, end: Offset) -> Vec<Change> {
        let mut steps: Vec<Change> =
            vec![Box::new(move |dir| fs::write(dir.join(SWAP), format!("0\n{base} {end}\n")).unwrap())];
        for extension in [files::TXN_INDEX, files::OFFSET_INDEX, files::TIME_INDEX, files::LOG] {
            steps.push(Box::new(move |dir| put_in_place(dir, base, extension).unwrap()));
        }
        let listed = files::offsets(dir, files::LOG).unwrap();
        for other in listed.into_iter().filter(|other| base < *other && *other < end) {
            for extension in [files::TXN_INDEX, files::OFFSET_INDEX, files::TIME_INDEX, files::SNAPSHOT, files::LOG] {
                steps.push(Box::new(move |dir| files::remove(&files::of_offset(dir, other, extension)).unwrap()));
            }
        }
        steps.push(Box::new(|dir| fs::remove_file(dir.join(SWAP)).unwrap()));
        steps
    }

    #[test]
    fn a_swap_that_a_crash_interrupts_is_finished_or_never_was() {
        let origin = tempfile::tempdir().unwrap();
        let mut log = Log::open(origin.path(), TopicId::ZERO, config()).unwrap().0;
        let policy = Compaction {
            dirty_ratio_min: 0.0,
            lag_min: Duration::ZERO,
            lag_max: Duration::MAX,
            delete_retention: Duration::ZERO,
            memory: ByteCount::mib(1),
        };
        (0..14).for_each(|n| append(&mut log, &format!("k{}", n % 5)));
        log.roll_if_older(Duration::ZERO, Timestamp(9)).unwrap();
        log.flush().unwrap();
        let before = offsets(&log);
        let whole = Config { segment_bytes: ByteCount::mib(1), ..config() };
        log.configure(whole.clone());
        let cleaned = log.compaction_job(&policy, Timestamp(5), log.tail()).run().unwrap().unwrap();
        let (base, end) = (cleaned.groups[0].segments[0].base, cleaned.groups[0].end);
        assert!(cleaned.groups[0].segments.len() > 3 && cleaned.groups.len() == 1);
        let steps = steps(origin.path(), base, end);
        for done in 0..=steps.len() {
            let dir = tempfile::tempdir().unwrap();
            copy_dir(origin.path(), dir.path());
            steps[..done].iter().for_each(|step| step(dir.path()));
            let mut log = Log::open(dir.path(), TopicId::ZERO, config()).unwrap().0;
            let expected: Vec<i64> = if done == 0 { before.clone() } else { (9..14).collect() };
            assert_eq!((offsets(&log), log.tail()), (expected, Offset(14)), "after {done} steps");
            let left: Vec<PathBuf> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert!(!left.iter().any(|path| path.ends_with(SWAP) || path.extension().is_some_and(|e| e == CLEANED)));
            append(&mut log, "k0");
            log.close().unwrap();
            let log = Log::open(dir.path(), TopicId::ZERO, config()).unwrap().0;
            assert_eq!(offsets(&log).last(), Some(&14));
        }
        log.swap_in(cleaned).unwrap();
        assert_eq!(offsets(&log), (9..14).collect::<Vec<_>>());
    }
}
