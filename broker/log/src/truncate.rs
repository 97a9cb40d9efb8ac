//! Cutting the log: its end when it diverged, its start when records are retired.

use crate::compact::swap;
use crate::epochs::Epochs;
use crate::producers::Producers;
use crate::reader::first_batch;
use crate::recovery_point::RecoveryPoint;
use crate::segment::Segment;
use crate::tail::Tail;
use crate::view::{Mark, View};
use crate::{FileError, Log, ReadError, Reader, Sealed, TruncateError, files, log_start, snapshots};
use model::{Offset, OffsetRange};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// How much is copied at once.
const COPY_BYTES: usize = 1 << 20;

/// What was copied out of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopiedRange {
    /// From the base offset of the first batch to behind the last.
    pub range: OffsetRange,
    /// How many bytes.
    pub bytes: u64,
    /// How many batches.
    pub batches: u64,
    /// How many records, control records included.
    pub records: u64,
}

/// Where a log is cut.
struct Cut {
    /// The new end.
    mark: Mark,
    /// How many segments stay.
    kept: usize,
}

impl Log {
    /// Cuts off everything from the batch that contains `offset`, or is the next behind it, and gives the new tail:
    /// `offset` or the batch boundary below it. The cut is durable on return. Epochs, producers and transactions are
    /// what they were when the log ended there.
    ///
    /// # Errors
    /// [`TruncateError::OutOfRange`] leaves the log alone; after another error it is sealed.
    pub fn truncate_to(&mut self, offset: Offset) -> Result<Offset, TruncateError> {
        self.shared.check_open()?;
        let view = self.view();
        check(&view, offset)?;
        if offset == view.tail.offset {
            return Ok(offset);
        }
        let cut = find_cut(&view, offset)?;
        if cut.kept == 0 {
            return self.restart_at(cut.mark.offset).map(|()| cut.mark.offset);
        }
        let done = self.cut(&view, &cut);
        done.map_err(|error| self.cut_failed(error))?;
        Ok(cut.mark.offset)
    }

    pub(crate) fn cut_failed(&self, error: TruncateError) -> TruncateError {
        match &error {
            TruncateError::File(error) => self.shared.note(error),
            TruncateError::Read(error) => self.shared.note_read(error),
            TruncateError::Sealed(_) | TruncateError::OutOfRange { .. } => {}
        }
        self.shared.seal(format!("it could not be truncated: {error}"));
        error
    }

    fn cut(&mut self, view: &View, cut: &Cut) -> Result<(), TruncateError> {
        // First, or a crash in between would look like the loss of flushed bytes.
        self.move_point_back(cut.mark)?;
        self.publish_cut(view, cut);
        for segment in view.segments[cut.kept..].iter().rev() {
            segment.remove()?;
        }
        let last = self.reopen_end(&view.segments[cut.kept - 1], cut.mark)?;
        self.forget_behind(cut.mark, last)
    }

    /// From here on no flush that began before the cut writes a word of its own about the log.
    fn move_point_back(&mut self, mark: Mark) -> Result<(), FileError> {
        let point = RecoveryPoint { mark, clean: false };
        self.unflushed.point = Some(point);
        self.shared.cut(|| point.write_durably(&self.dir))
    }

    fn publish_cut(&self, view: &View, cut: &Cut) {
        let mut published = self.shared.write();
        published.segments = Arc::new(view.segments[..cut.kept].to_vec());
        published.tail = cut.mark;
        if published.flushed.offset >= cut.mark.offset {
            published.flushed = cut.mark;
        }
    }

    /// The last segment that stays, cut and with new indexes: readers may still hold the old ones.
    fn reopen_end(&self, old: &Segment, mark: Mark) -> Result<Tail, TruncateError> {
        old.file.set_len(mark.position).map_err(files::failed("truncate", &old.path))?;
        let segment = Arc::new(Segment::reopen(&self.dir, old.base, &self.config)?);
        segment.txns.truncate(mark.offset);
        let mut tail = Tail::of_empty(segment.clone());
        for found in segment.walk(0, mark.position) {
            tail.note(&found?.header, &self.config);
        }
        segment.sync()?;
        Ok(tail)
    }

    fn forget_behind(&mut self, mark: Mark, tail: Tail) -> Result<(), TruncateError> {
        let mut view = self.shared.write();
        let segments = Arc::make_mut(&mut view.segments);
        *segments.last_mut().expect("one stays") = tail.segment.clone();
        Arc::make_mut(&mut view.epochs).truncate(mark.offset);
        let view = {
            let copy = view.clone();
            drop(view);
            copy
        };
        self.tail = tail;
        if view.start > mark.offset {
            // The batch that held the start is gone as a whole.
            log_start::write_durably(&self.dir, mark.offset)?;
            self.shared.write().start = mark.offset;
        }
        self.write_epochs(&view.epochs)?;
        self.producers = snapshots::restore(&self.dir, &view)?;
        self.forget_compaction(mark.offset)?;
        self.set_baseline(self.baseline().cut(mark.offset))?;
        self.times.truncate(mark.offset);
        self.unflushed.rolled.retain(|segment| segment.base < mark.segment);
        Ok(files::sync_dir(&self.dir)?)
    }

    /// What is written behind the cut was looked at by no compaction.
    fn forget_compaction(&mut self, tail: Offset) -> Result<(), FileError> {
        if self.cleaned <= tail {
            return Ok(());
        }
        self.cleaned = Offset::ZERO;
        swap::remove_checkpoint(&self.dir)
    }

    fn write_epochs(&mut self, epochs: &Epochs) -> Result<(), FileError> {
        files::replace_durably(&self.dir.join(files::EPOCHS), epochs.encode().as_bytes())?;
        self.unflushed.epochs = false;
        Ok(())
    }

    /// Drops everything and goes on empty at `offset`, as a copy must whose source has nothing below it any more.
    ///
    /// # Errors
    /// [`TruncateError`]: the log is sealed.
    pub fn restart_at(&mut self, offset: Offset) -> Result<(), TruncateError> {
        self.shared.check_open()?;
        self.restart(offset).map_err(|error| self.cut_failed(error))
    }

    fn restart(&mut self, offset: Offset) -> Result<(), TruncateError> {
        let mark = Mark { offset, segment: offset, position: 0 };
        self.move_point_back(mark)?;
        let (segments, held_something) = (self.view().segments, self.start() < self.tail());
        for segment in segments.iter().rev() {
            segment.remove()?;
        }
        self.remove_snapshots(|_| true)?;
        log_start::write_durably(&self.dir, offset)?;
        let segment = Arc::new(Segment::create(&self.dir, offset, &self.config)?);
        self.tail = Tail::of_empty(segment.clone());
        self.producers = Producers::default();
        self.forget_compaction(Offset::ZERO)?;
        // One that was empty has begun to be what it is said to be.
        if held_something {
            self.set_baseline(self.baseline().cleared())?;
        }
        self.times.truncate(Offset::ZERO);
        self.unflushed.rolled.clear();
        let epochs = Arc::new(Epochs::default());
        self.write_epochs(&epochs)?;
        files::sync_dir(&self.dir)?;
        let (segments, baseline) = (Arc::new(vec![segment]), self.baseline());
        *self.shared.write() = View { start: offset, tail: mark, flushed: mark, segments, epochs, baseline };
        Ok(())
    }

    /// Retires the records below `offset`: it is the first offset kept from now on, durably, and segments that lie
    /// below it as a whole are deleted. In or right behind a hole the start is the hole's, the common end. It never
    /// goes back. Gives the start.
    ///
    /// # Errors
    /// [`TruncateError::OutOfRange`] for an offset above the tail.
    pub fn set_log_start(&mut self, offset: Offset) -> Result<Offset, TruncateError> {
        let view = self.view();
        let offset = view.epochs.hole_before(offset).map_or(offset, |hole| hole.start);
        if offset <= view.start {
            return Ok(view.start);
        }
        check(&view, offset)?;
        if offset > view.flushed.offset {
            // Where the operating system says when to flush, what is committed may not be on disk yet.
            self.flush().map_err(|error| Sealed(error.to_string()))?;
        }
        self.drop_below(offset)?;
        Ok(offset)
    }

    /// Deletes the log and its directory. Readers that hold a slice go on.
    ///
    /// # Errors
    /// [`FileError`] when the system refuses.
    pub fn delete(self) -> Result<(), FileError> {
        self.shared.seal("it was deleted".into());
        // Renamed first, so that a crash leaves no half of a log under its name.
        let doomed = self.dir.with_added_extension("deleted");
        let removed = std::fs::rename(&self.dir, &doomed).and_then(|()| std::fs::remove_dir_all(&doomed));
        removed.map_err(files::failed("delete", &self.dir))
    }

    /// Closes the log for good and moves its directory to `aside`, as it is. Readers that hold a slice go on.
    ///
    /// # Errors
    /// [`FileError`] when the system refuses.
    pub fn put_aside(self, aside: &Path) -> Result<(), FileError> {
        self.shared.seal("its topic was deleted".into());
        std::fs::rename(&self.dir, aside).map_err(files::failed("put aside", &self.dir))
    }

    /// Keeps what the log holds now in a directory of its own, a whole log, while this one goes on to hold something else:
    /// nothing of it may be written before it is [restarted](Self::restart_at). Segments are not copied, they get another name.
    ///
    /// # Errors
    /// [`FileError`]: what is there of the directory is of no use.
    pub fn keep_aside(&self, aside: &Path) -> Result<(), FileError> {
        let kept = link_all(&self.dir, aside);
        kept.map_err(files::failed("keep aside", &self.dir))?;
        files::sync_dir(aside)
    }
}

/// Names the files of segments once more, and copies those that are written in place.
fn link_all(dir: &Path, aside: &Path) -> io::Result<()> {
    std::fs::create_dir(aside)?;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let (from, to) = (entry.path(), aside.join(entry.file_name()));
        let is_segment = files::SEGMENT_KINDS.iter().any(|kind| from.extension().is_some_and(|found| found == *kind));
        if is_segment {
            std::fs::hard_link(&from, &to)?;
        } else if entry.file_type()?.is_file() {
            std::fs::copy(&from, &to)?;
        }
    }
    Ok(())
}

fn check(view: &View, offset: Offset) -> Result<(), TruncateError> {
    view.check(offset).map_err(|_| TruncateError::OutOfRange { offset, start: view.start, tail: view.tail.offset })
}

fn find_cut(view: &View, offset: Offset) -> Result<Cut, ReadError> {
    let from = view.segments.len() - view.segments_from(offset).len();
    for (index, segment) in view.segments.iter().enumerate().skip(from) {
        let Some(first) = first_batch(segment, offset, view.end_of(segment).position)? else { continue };
        if first.position > 0 {
            let offset = end_before(segment, first.position)?;
            return Ok(Cut { mark: Mark { offset, segment: segment.base, position: first.position }, kept: index + 1 });
        }
        // Nothing of this segment stays; the one before ends the log, if there is one.
        let before = index.checked_sub(1).map(|before| Mark::end_of(&view.segments[before]));
        let mark = before.unwrap_or_else(|| {
            let hole = view.epochs.hole_before(offset).filter(|hole| hole.base == first.header.base_offset);
            let offset = hole.map_or(offset.min(first.header.base_offset), |hole| hole.start);
            Mark { offset, segment: offset, position: 0 }
        });
        return Ok(Cut { mark, kept: index });
    }
    Ok(Cut { mark: view.tail, kept: view.segments.len() })
}

/// The tail of `segment` if it ended at `position`, a batch's.
fn end_before(segment: &Segment, position: u64) -> Result<Offset, ReadError> {
    let from = segment.offsets.lookup_position(position - 1)?;
    segment.walk(from, position).try_fold(segment.base, |_, found| Ok(found?.header.next_offset()))
}

impl Reader {
    /// Copies the batches from the one that contains `from` to the tail into a new file at `path`, byte for byte and
    /// durably. A hole leaves no trace but in the offsets.
    ///
    /// # Errors
    /// [`ReadError`]: the file may be incomplete.
    pub fn copy_range_to(&self, path: &Path, from: Offset) -> Result<CopiedRange, ReadError> {
        let truncations = self.shared.truncations();
        let view = self.shared.view();
        view.check(from)?;
        let mut target = File::create(path).map_err(files::failed("create", path))?;
        let mut copied = CopiedRange { range: OffsetRange::new(from, from), bytes: 0, batches: 0, records: 0 };
        for segment in view.segments_from(from) {
            let end = view.end_of(segment).position;
            let Some(first) = first_batch(segment, from, end)? else { continue };
            if copied.batches == 0 {
                copied.range.start = first.header.base_offset;
            }
            count(segment, first.position, end, &mut copied)?;
            copy_bytes(segment, first.position, end, &mut target).map_err(files::failed("copy", &segment.path))?;
        }
        target.sync_all().map_err(files::failed("sync", path))?;
        files::sync_dir(path.parent().unwrap_or(Path::new(".")))?;
        if self.shared.truncations() == truncations { Ok(copied) } else { Err(ReadError::Truncated) }
    }
}

fn count(segment: &Segment, position: u64, end: u64, copied: &mut CopiedRange) -> Result<(), ReadError> {
    for found in segment.walk(position, end) {
        let found = found?;
        copied.range.end = found.header.next_offset();
        copied.bytes += found.header.size_bytes as u64;
        copied.batches += 1;
        copied.records += found.header.count as u64;
    }
    Ok(())
}

/// From the open file: under its name there may be none any more, or another one.
fn copy_bytes(segment: &Segment, mut position: u64, end: u64, target: &mut File) -> io::Result<()> {
    let mut chunk = vec![0; COPY_BYTES.min((end - position) as usize)];
    while position < end {
        let part = (end - position).min(COPY_BYTES as u64) as usize;
        segment.file.read_exact_at(&mut chunk[..part], position)?;
        target.write_all(&chunk[..part])?;
        position += part as u64;
    }
    Ok(())
}
