//! Making what was written durable, beside the owner: group commit.
//!
//! ```text
//!   owner:   append append append | flush_job() ....... append append ... flushed_to(done)
//!   thread:                         job.run(): fdatasync
//! ```

use crate::epochs::Epochs;
use crate::recovery_point::RecoveryPoint;
use crate::segment::Segment;
use crate::view::{Mark, Shared, View};
use crate::{FileError, FlushError, Log, Sealed, files};
use model::Offset;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Recovery checks what lies behind the recovery point, so it follows the flushed offset at this distance.
const POINT_DISTANCE_BYTES: u64 = 16 << 20;

/// What is not durable yet, beside the active segment's end.
#[derive(Default)]
pub(crate) struct Unflushed {
    /// Segments that were rolled, to be synced with their indexes.
    pub(crate) rolled: Vec<Arc<Segment>>,
    /// Files were made or removed.
    pub(crate) directory: bool,
    /// The epochs differ from their file.
    pub(crate) epochs: bool,
    /// The recovery point on disk.
    pub(crate) point: Option<RecoveryPoint>,
}

/// One flush, to be run where it may block. What is appended meanwhile is for the next one.
pub struct FlushJob {
    shared: Arc<Shared>,
    dir: PathBuf,
    from: Mark,
    tail: Mark,
    truncations: u64,
    active: Arc<Segment>,
    rolled: Vec<Arc<Segment>>,
    directory: bool,
    epochs: Option<Arc<Epochs>>,
    point: Option<RecoveryPoint>,
}

/// What a flush made durable. The owner takes note of it with [`Log::flushed_to`].
#[derive(Debug)]
pub struct Flushed {
    tail: Mark,
    truncations: u64,
    epochs: Option<Arc<Epochs>>,
    point: Option<RecoveryPoint>,
}

impl Flushed {
    /// Everything below is durable, unless the log was cut meanwhile.
    pub const fn offset(&self) -> Offset {
        self.tail.offset
    }
}

impl FlushJob {
    /// What will be durable when it ran.
    pub const fn target(&self) -> Offset {
        self.tail.offset
    }

    /// Flushes.
    ///
    /// # Errors
    /// [`FlushError`]: the log is sealed, for the page cache may have dropped what could not be written.
    pub fn run(&self) -> Result<Flushed, FlushError> {
        self.sync().map_err(|error| {
            self.shared.seal_for(&error);
            FlushError(error)
        })?;
        let written = self.shared.unless_cut(self.truncations, || self.write_checkpoints());
        let (epochs, point) = written.unwrap_or_default();
        Ok(Flushed { tail: self.tail, truncations: self.truncations, epochs, point })
    }

    /// The recovery point goes only where the epochs below it are durable.
    fn write_checkpoints(&self) -> (Option<Arc<Epochs>>, Option<RecoveryPoint>) {
        let epochs = self.write_epochs();
        let epochs_durable = epochs.is_some() || self.epochs.is_none();
        (epochs, self.point.filter(|point| epochs_durable && point.write(&self.dir).is_ok()))
    }

    fn sync(&self) -> Result<(), FileError> {
        self.rolled.iter().try_for_each(|segment| segment.sync_all())?;
        if self.from != self.tail {
            self.active.sync()?;
        }
        if self.directory { files::sync_dir(&self.dir) } else { Ok(()) }
    }

    /// The file only saves reading the log, so a failure is for the next flush to mend; until then the recovery point
    /// stays where it is.
    fn write_epochs(&self) -> Option<Arc<Epochs>> {
        let epochs = self.epochs.clone()?;
        let written = files::replace_durably(&self.dir.join(files::EPOCHS), epochs.encode().as_bytes());
        if let Err(error) = &written {
            tracing::warn!(%error, source = %error.source, "leader epochs could not be written; the next flush tries again");
        }
        written.is_ok().then_some(epochs)
    }
}

impl Log {
    /// What there is to flush; `None` when everything is durable, or the log is sealed: a system that is asked again after
    /// a failed flush says that all is well, and has forgotten what it could not write. Any number of jobs may run at once.
    pub fn flush_job(&self) -> Option<FlushJob> {
        if self.sealed().is_some() {
            return None;
        }
        let truncations = self.shared.truncations();
        let view = self.view();
        let Unflushed { rolled, directory, epochs, point } = &self.unflushed;
        // An epoch without a batch is forgotten at the next start anyway.
        let epochs = *epochs && view.epochs.all().last().is_none_or(|last| last.start < view.tail.offset);
        if view.flushed == view.tail && rolled.is_empty() && !directory && !epochs {
            return None;
        }
        Some(FlushJob {
            shared: self.shared.clone(),
            dir: self.dir.clone(),
            from: view.flushed,
            tail: view.tail,
            truncations,
            active: view.active().clone(),
            rolled: rolled.clone(),
            directory: *directory,
            epochs: epochs.then(|| view.epochs.clone()),
            point: next_point(*point, view.tail),
        })
    }

    /// Takes note of a flush that ran. Gives the flushed offset.
    pub fn flushed_to(&mut self, flushed: Flushed) -> Offset {
        if flushed.truncations != self.shared.truncations() || self.sealed().is_some() {
            return self.flushed();
        }
        self.unflushed.rolled.retain(|segment| segment.base >= flushed.tail.segment);
        let mut view = self.shared.write();
        self.unflushed.directory = view.active().base != flushed.tail.segment;
        if flushed.epochs.is_some_and(|written| *written == *view.epochs) {
            self.unflushed.epochs = false;
        }
        self.unflushed.point = flushed.point.or(self.unflushed.point);
        if flushed.tail.offset >= view.flushed.offset {
            view.flushed = flushed.tail;
        }
        view.flushed.offset
    }

    /// Flushes everything, now.
    ///
    /// # Errors
    /// [`FlushError`]: the log is sealed.
    pub fn flush(&mut self) -> Result<Offset, FlushError> {
        if let Some(Sealed(reason)) = self.sealed() {
            let source = io::Error::other(reason.clone());
            return Err(FileError { action: "flush", path: self.dir.clone(), source }.into());
        }
        match self.flush_job() {
            Some(job) => Ok(self.flushed_to(job.run()?)),
            None => Ok(self.flushed()),
        }
    }

    /// Flushes and leaves everything so that the next start has nothing to check. A log that is dropped without it is
    /// recovered as after a crash.
    ///
    /// # Errors
    /// [`FlushError`]: the next start recovers the log.
    pub fn close(mut self) -> Result<(), FlushError> {
        if let Some(Sealed(reason)) = self.sealed() {
            tracing::warn!(dir = %self.dir.display(), reason, "a sealed log is left to recovery");
            return Ok(());
        }
        self.flush()?;
        let view = self.view();
        if self.unflushed.point.is_some_and(|point| point.mark == view.tail && (point.clean || self.is_void(&view))) {
            return Ok(());
        }
        self.snapshot_durably(view.tail.offset)?;
        view.active().trim()?;
        view.active().sync_all()?;
        Ok(RecoveryPoint { mark: view.tail, clean: true }.write_durably(&self.dir)?)
    }
}

impl Log {
    /// Whether there is nothing in it that a start could find out: ten thousand empty logs are closed at once.
    fn is_void(&self, view: &View) -> bool {
        view.segments.len() == 1 && view.active().size() == 0 && self.producers.len() == 0
    }
}

/// The recovery point to write after a flush to `tail`, if it is time for one.
fn next_point(last: Option<RecoveryPoint>, tail: Mark) -> Option<RecoveryPoint> {
    let due = last.is_none_or(|RecoveryPoint { mark, .. }| {
        mark.segment != tail.segment || tail.position >= mark.position + POINT_DISTANCE_BYTES
    });
    due.then_some(RecoveryPoint { mark: tail, clean: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AppendError, Config};
    use model::{ByteCount, LeaderEpoch, Timestamp, TopicId};
    use record::{BatchBuilder, CheckedBatch, ProduceRules};

    #[test]
    fn a_failed_flush_seals_the_log_for_good_and_reads_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, _) = Log::open(dir.path(), TopicId::ZERO, Config::default()).unwrap();
        let bytes = BatchBuilder::new().record(1, None, Some(b"v"), &[]).build();
        let batch = CheckedBatch::check(bytes.into(), &ProduceRules::default()).unwrap();
        log.append(&batch, LeaderEpoch(1), Timestamp(1)).unwrap();
        let mut job = log.flush_job().unwrap();
        // A directory that is gone cannot be synced.
        job.directory = true;
        job.dir = dir.path().join("gone");
        job.run().unwrap_err();
        assert_eq!(log.flushed(), Offset(0));
        assert!(matches!(log.append(&batch, LeaderEpoch(1), Timestamp(1)), Err(AppendError::Sealed(_))));
        assert!(log.append_copy(&[], Timestamp(1)).is_err() && log.truncate_to(Offset(0)).is_err());
        let slice = log.reader().read(Offset(0), log.tail(), ByteCount(0), true).unwrap().unwrap();
        assert_eq!(slice.next_offset, Offset(1));
        assert!(log.flush_job().is_none() && log.flush().is_err(), "nobody knows what the disk forgot");
        assert_eq!((log.flushed(), log.sealed().is_some()), (Offset(0), true));
        log.close().unwrap();
        let (log, recovery) = Log::open(dir.path(), TopicId::ZERO, Config::default()).unwrap();
        assert_eq!((log.tail(), recovery.clean), (Offset(1), false), "a sealed log is recovered");
    }
}
