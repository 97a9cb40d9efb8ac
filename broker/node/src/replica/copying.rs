//! Being a copy: batches come with offsets and epochs, from a link, another standby or a restore.

use super::{Closed, Held, Lost, Partition, SourceMarks, Standing};
use crate::replica::Ear;
use crate::strays::Aside;
use log::{Copied, CopiedRange, FileError, ReadError, TruncateError};
use model::{Baseline, Offset, OffsetRange, Timestamp};
use std::path::Path;
use std::sync::Arc;

/// Why batches were not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    /// This broker owns the partition, or leads nothing.
    #[error("the partition is no copy here")]
    NotCopy,
    /// Nothing more is taken from any link.
    #[error("the copy is sealed")]
    Sealed,
    /// The log was closed or deleted.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// The disk has too little space left.
    #[error("the disk is nearly full; free some space, the broker needs no restart")]
    NoRoom,
    /// The log, or the directory it is in, failed.
    #[error("the log takes no more writes: {0}")]
    Failed(Arc<str>),
    /// The log took them not.
    #[error(transparent)]
    Log(#[from] log::CopyError),
    /// The log could not be cut.
    #[error(transparent)]
    Truncate(#[from] TruncateError),
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What it has to keep beside the log could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// What was said of it was said of what it was before.
    #[error("the copy was made anew meanwhile")]
    Remade,
}

impl Partition {
    /// Appends batches as they are at the tail. They are durable once [`flushed`](Self::flushed) says so.
    ///
    /// # Errors
    /// [`CopyError`]; after a write that failed midway the tail says how far it got.
    pub(crate) fn append_copy(self: &Arc<Self>, batches: &[u8]) -> Result<Copied, CopyError> {
        let now = self.storage.clock.now();
        let mut held = self.held();
        held.check_copy()?;
        if let Some(reason) = self.failed() {
            return Err(CopyError::Failed(reason));
        }
        if !self.dir.disk().has_room() {
            return Err(CopyError::NoRoom);
        }
        let copied = held.log.as_mut().ok_or(Closed)?.append_copy(batches, now);
        self.note_copy(&mut held, &copied);
        self.trust_links(&mut held);
        self.publish(&mut held);
        drop(held);
        self.storage.flusher.request(self);
        Ok(copied?)
    }

    pub(super) fn note_copy(&self, held: &mut Held, copied: &Result<Copied, log::CopyError>) {
        match copied {
            Ok(_) => self.dir.disk().note_write(false),
            Err(log::CopyError::DiskFull(_)) => self.dir.disk().note_write(true),
            Err(error @ log::CopyError::Sealed(_)) => self.fail(held, error),
            Err(_) => {}
        }
    }

    /// Waits until everything below `offset` is on disk; on a leader, on the disks of its whole in-sync set.
    ///
    /// # Errors
    /// [`Lost::Storage`] when it will not be; [`Lost::Leadership`] when the log was cut below it.
    pub(crate) async fn flushed(self: &Arc<Self>, offset: Offset) -> Result<(), Lost> {
        let mut ear = Ear::new();
        loop {
            ear.listen(self);
            let marks = self.marks();
            let held_by_all = match self.standing() {
                Standing::Owner { .. } => marks.high_watermark,
                Standing::Copy { .. } => marks.copy_watermark,
                Standing::Idle | Standing::Replica { .. } => marks.flushed,
            };
            if held_by_all >= offset {
                return Ok(());
            }
            if let Some(reason) = self.failed() {
                return Err(Lost::Storage(reason));
            }
            if marks.tail < offset {
                return Err(Lost::Leadership);
            }
            ear.heard().await;
        }
    }

    /// Takes note of what the source said.
    pub(crate) fn mark_source(&self, source: SourceMarks) {
        let mut held = self.held();
        if !matches!(held.standing, Standing::Copy { .. }) {
            return;
        }
        held.source = Some(source);
        let outcome = held.core.on_upstream_watermark(self.boot(), source.high_watermark);
        self.settle(&mut held, outcome);
        self.publish(&mut held);
    }

    /// Keeps what it does not hold although nothing in it says so. It may block.
    ///
    /// # Errors
    /// [`CopyError`]: it says of itself what it said.
    pub(crate) fn inherit(&self, baseline: Baseline) -> Result<(), CopyError> {
        let mut held = self.held();
        held.check_copy()?;
        let log = held.log.as_mut().ok_or(Closed)?;
        if log.baseline().remade != baseline.remade {
            return Err(CopyError::Remade);
        }
        Ok(log.set_baseline(Baseline { different: log.baseline().different, ..baseline })?)
    }

    /// Keeps that it does not hold in `range` what its source holds, unless it was `remade` more often since. It may block.
    ///
    /// # Errors
    /// [`CopyError`]: it says of itself what it said.
    pub(crate) fn mark_different(&self, range: OffsetRange, remade: u32) -> Result<(), CopyError> {
        let mut held = self.held();
        held.check_copy()?;
        let log = held.log.as_mut().ok_or(Closed)?;
        let known = log.baseline();
        if known.remade != remade {
            return Err(CopyError::Remade);
        }
        Ok(log.set_baseline(known.differing(range))?)
    }

    /// Drops everything, to be copied from the source's log start on. The replicas of the region do the same when they hear
    /// of it. What it held is kept beside it for a while, unless the disk is nearly full. It may block.
    ///
    /// # Errors
    /// As [`truncate`](Self::truncate). Until it is done the copy says that it has to be made anew.
    pub(crate) fn remake(&self) -> Result<(), CopyError> {
        let mut held = self.held();
        held.check_copy()?;
        let log = held.log.as_mut().ok_or(Closed)?;
        if self.dir.disk().has_room() {
            log.keep_aside(&Aside::Copy.place(log.dir(), self.storage.clock.now()))?;
        }
        let known = log.baseline();
        log.set_baseline(Baseline { remade: known.remade + 1, ..known })?;
        let cut = self.cut_proven(Offset::ZERO, || log.restart_at(Offset::ZERO).map(|()| Offset::ZERO));
        let cleared = log.baseline().cleared();
        let cleared = if cut.is_ok() { log.set_baseline(cleared) } else { Ok(()) };
        self.after_cut(&mut held, cut)?;
        Ok(cleared?)
    }

    /// Follows the source's log start. It may block.
    ///
    /// # Errors
    /// [`CopyError`]: the log starts where it did.
    pub(crate) fn raise_start(&self, start: Offset) -> Result<Offset, CopyError> {
        let mut held = self.held();
        held.check_copy()?;
        let log = held.log.as_mut().ok_or(Closed)?;
        let start = log.set_log_start(start.min(log.tail()))?;
        self.publish(&mut held);
        Ok(start)
    }

    /// Copies the batches from `from` on to a new file at `path`, durably. It may block.
    ///
    /// # Errors
    /// [`CopyError::Read`]: the file may be incomplete.
    pub(crate) fn archive(&self, path: &Path, from: Offset) -> Result<CopiedRange, CopyError> {
        Ok(self.reader.copy_range_to(path, from)?)
    }

    /// Cuts off everything from `offset` on, durably; gives the new tail. It may block.
    ///
    /// # Errors
    /// [`CopyError`]; the log is as it was when it is no copy, and takes no more writes when the cut failed.
    pub(crate) fn truncate(&self, offset: Offset) -> Result<Offset, CopyError> {
        let mut held = self.held();
        held.check_copy()?;
        let log = held.log.as_mut().ok_or(Closed)?;
        let cut = self.cut_proven(offset, || log.truncate_to(offset));
        self.after_cut(&mut held, cut)
    }

    /// Drops everything and goes on empty at `offset`, for the source has nothing below it any more. It may block.
    ///
    /// # Errors
    /// As [`truncate`](Self::truncate).
    pub(crate) fn restart_at(&self, offset: Offset) -> Result<Offset, CopyError> {
        let mut held = self.held();
        held.check_copy()?;
        let log = held.log.as_mut().ok_or(Closed)?;
        let cut = self.cut_proven(Offset::ZERO, || log.restart_at(offset).map(|()| Offset::ZERO)).map(|_| offset);
        self.after_cut(&mut held, cut)
    }

    pub(super) fn after_cut(&self, held: &mut Held, cut: Result<Offset, TruncateError>) -> Result<Offset, CopyError> {
        let tail = cut.inspect_err(|error| {
            if !matches!(error, TruncateError::OutOfRange { .. }) {
                self.fail(held, error);
            }
        })?;
        held.source = None;
        held.core.on_truncated(tail);
        self.advance(held);
        self.publish(held);
        Ok(tail)
    }

    /// When the batch at or behind `offset` was appended here; `None` at the tail.
    pub(crate) fn append_time(&self, offset: Offset) -> Option<Timestamp> {
        self.held().log.as_ref()?.append_time(offset)
    }

    /// How far what was appended at `until` or before reaches, from `from` on.
    pub(crate) fn appended_by(&self, until: Timestamp, from: Offset, upto: Offset) -> Offset {
        let held = self.held();
        let Some(log) = held.log.as_ref() else { return from };
        let is_old = |offset| log.append_time(offset).is_some_and(|time| time <= until);
        let (mut old, mut young) = (from.0, upto.0.max(from.0));
        while old < young {
            let middle = old + (young - old) / 2;
            if is_old(Offset(middle)) {
                old = middle + 1;
            } else {
                young = middle;
            }
        }
        Offset(old)
    }
}

impl Held {
    fn check_copy(&self) -> Result<(), CopyError> {
        match self.standing {
            Standing::Copy { sealed: false, .. } => Ok(()),
            Standing::Copy { sealed: true, .. } => Err(CopyError::Sealed),
            Standing::Owner { .. } | Standing::Replica { .. } | Standing::Idle => Err(CopyError::NotCopy),
        }
    }
}
