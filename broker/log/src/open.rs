//! Opening: what an orderly close left is taken at its word, the rest is scanned.

use crate::append_times::AppendTimes;
use crate::baseline;
use crate::compact::swap;
use crate::epochs::Epochs;
use crate::files::Listing;
use crate::flush::Unflushed;
use crate::recover::{Defect, Expected, scan, sound_behind};
use crate::recovery_point::RecoveryPoint;
use crate::segment::Segment;
use crate::tail::Tail;
use crate::view::{Mark, Shared, View};
use crate::{Config, FileError, Log, OpenError, files, log_start, metadata, snapshots};
use model::{Baseline, Offset, TopicId};
use record::BatchError;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much of a segment is read at once; a batch may be larger.
const CHUNK_BYTES: usize = 1 << 20;

/// What had to be done to open a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// It was closed in an orderly way, or is new: nothing was scanned.
    pub clean: bool,
    /// How many bytes were checked against their checksums.
    pub scanned_bytes: u64,
    /// What was cut off.
    pub cut: Option<Cut>,
}

/// The end of a log that could not be trusted. None of it was known to be flushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The tail since.
    pub tail: Offset,
    /// How many bytes went.
    pub bytes: u64,
    /// What was wrong with the first of them.
    pub reason: String,
    /// Sound batches followed. After a power cut pages that were not flushed may come in any order; otherwise this is
    /// damage, and should be looked into.
    pub sound_behind: bool,
}

impl Log {
    /// Opens the log in `dir`, or makes one, for `topic`; recovers it if it was not closed.
    ///
    /// # Errors
    /// [`OpenError`]. Damage below what was known to be flushed is an error; nothing is cut off then.
    pub fn open(dir: impl AsRef<Path>, topic: TopicId, config: Config) -> Result<(Self, Recovery), OpenError> {
        let dir = dir.as_ref().to_owned();
        make_dir(&dir)?;
        metadata::claim(&dir, topic)?;
        let mut opening = Opening::begin(dir, config)?;
        opening.open_segments()?;
        opening.finish(topic)
    }
}

fn make_dir(dir: &Path) -> Result<(), FileError> {
    if dir.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(dir).map_err(files::failed("create", dir))?;
    files::sync_dir(dir.parent().unwrap_or(Path::new(".")))
}

struct Opening {
    dir: PathBuf,
    config: Config,
    bases: Vec<Offset>,
    start: Offset,
    point: RecoveryPoint,
    epochs: Epochs,
    epochs_changed: bool,
    segments: Vec<Arc<Segment>>,
    tail: Option<Tail>,
    /// How far it was compacted.
    cleaned: Offset,
    baseline: Baseline,
    recovery: Recovery,
}

impl Opening {
    fn begin(dir: PathBuf, config: Config) -> Result<Self, OpenError> {
        let mut listing = Listing::read(&dir)?;
        if listing.has(swap::SWAP) || listing.has_any(swap::CLEANED) {
            swap::recover(&dir)?;
            listing = Listing::read(&dir)?;
        }
        let bases = listing.offsets(files::LOG);
        let first = bases.first().copied().unwrap_or_default();
        let start = listing.read_if(files::LOG_START, || log_start::read(&dir))?.unwrap_or(first);
        let epochs = listing.read_if(files::EPOCHS, || files::read(&dir.join(files::EPOCHS)))?;
        let epochs = epochs.and_then(|bytes| Epochs::decode(&String::from_utf8_lossy(&bytes)));
        // Without the epochs that are below it, the recovery point is of no use.
        let point = listing.read_if(files::RECOVERY_POINT, || RecoveryPoint::read(&dir))?.filter(|_| epochs.is_some());
        let cleaned = listing.read_if(swap::CHECKPOINT, || swap::read_checkpoint(&dir))?;
        let baseline = listing.read_if(baseline::FILE, || baseline::read(&dir))?;
        Ok(Self {
            config,
            start,
            point: point.unwrap_or(RecoveryPoint::nothing(first)),
            epochs_changed: epochs.is_none(),
            epochs: epochs.unwrap_or_default(),
            segments: Vec::with_capacity(bases.len()),
            tail: None,
            cleaned: cleaned.unwrap_or(Offset::ZERO),
            baseline: baseline.unwrap_or_default(),
            recovery: Recovery { clean: true, ..Recovery::default() },
            bases,
            dir,
        })
    }

    fn open_segments(&mut self) -> Result<(), OpenError> {
        for index in 0..self.bases.len() {
            let base = self.bases[index];
            if !self.open_trusted(base)? && !self.scan_segment(base)? {
                return self.drop_segments_behind(index);
            }
        }
        Ok(())
    }

    /// The tail before the segment at `base`, which is the next one.
    fn tail_before(&self, base: Offset) -> Offset {
        // Retention may have emptied everything below a hole: the log start is the common end then.
        self.segments.last().map_or(self.start.min(base), |segment| segment.next())
    }

    fn expected(&self, base: Offset) -> Expected {
        Expected { base, next: self.tail_before(base), epoch: self.segment_epoch(base) }
    }

    fn segment_epoch(&self, base: Offset) -> model::LeaderEpoch {
        base.0.checked_sub(1).and_then(|before| self.epochs.at(Offset(before))).unwrap_or(model::LeaderEpoch::NONE)
    }

    /// Opens a segment that nobody wrote to since it was known to be complete; says whether it is one.
    fn open_trusted(&mut self, base: Offset) -> Result<bool, OpenError> {
        let last = self.bases.last() == Some(&base);
        let complete = base < self.point.mark.segment || (last && self.is_clean_end(base)?);
        let Some(segment) = complete.then(|| Segment::open(&self.dir, base, &self.config)).transpose()?.flatten()
        else {
            return Ok(false);
        };
        if let Some(first) = segment.walk(0, segment.size()).next().transpose()? {
            let start = self.expected(base).epoch_start(&first.header);
            if start < first.header.base_offset {
                self.epochs.place(first.header.leader_epoch, first.header.base_offset);
            }
        }
        let since_entry = segment.size() - segment.offsets.last_position()?;
        let first_time = segment.first_time()?;
        let segment = Arc::new(segment);
        self.tail = Some(Tail::of(segment.clone(), since_entry, first_time));
        self.segments.push(segment);
        Ok(true)
    }

    fn is_clean_end(&self, base: Offset) -> Result<bool, OpenError> {
        let path = files::of_offset(&self.dir, base, files::LOG);
        let size = fs::metadata(&path).map_err(files::failed("inspect", &path))?.len();
        Ok(self.point.clean && self.point.mark.segment == base && self.point.mark.position == size)
    }

    /// Opens a segment by reading it, and cuts off what cannot be trusted; says whether all of it could.
    fn scan_segment(&mut self, base: Offset) -> Result<bool, OpenError> {
        let segment = Arc::new(Segment::reopen(&self.dir, base, &self.config)?);
        let length = segment.file.metadata().map_err(files::failed("inspect", &segment.path))?.len();
        // In an empty one there is nothing to scan.
        self.recovery.clean &= length == 0;
        let known = self.known_bytes(base);
        if length < known {
            return Err(self.damaged(&segment, length, format!("the file ends here, {known} bytes were flushed")));
        }
        let mut expected = self.expected(base);
        let mut tail = Tail::of_empty(segment.clone());
        self.note_known(&mut tail, &mut expected, known)?;
        let stop = self.check_rest(&mut tail, &mut expected, length)?;
        self.segments.push(segment.clone());
        self.tail = Some(tail);
        let Some((defect, sound_behind)) = stop else {
            return if self.bases.last() == Some(&base) { Ok(true) } else { Ok(segment.trim().map(|()| true)?) };
        };
        if base < self.point.mark.segment {
            return Err(self.damaged(&segment, segment.size(), defect.to_string()));
        }
        self.cut(&segment, length, &defect, sound_behind)?;
        Ok(false)
    }

    /// How many bytes of the segment are known to be flushed, and need no check. A segment before the recovery point
    /// is read because its indexes are missing, which is reason enough to check all of it.
    fn known_bytes(&self, base: Offset) -> u64 {
        if self.point.mark.segment == base { self.point.mark.position } else { 0 }
    }

    /// Indexes what is known to be flushed.
    fn note_known(&mut self, tail: &mut Tail, expected: &mut Expected, known: u64) -> Result<(), OpenError> {
        let segment = tail.segment.clone();
        for found in segment.walk(0, known) {
            let found = found.map_err(|error| self.damaged(&segment, segment.size(), error.to_string()))?;
            expected
                .check(&found.header)
                .map_err(|defect| self.damaged(&segment, found.position, defect.to_string()))?;
            self.note(&found.header, tail, expected);
            expected.advance(&found.header);
        }
        Ok(())
    }

    /// Checks and indexes the rest, up to the first defect.
    fn check_rest(
        &mut self,
        tail: &mut Tail,
        expected: &mut Expected,
        length: u64,
    ) -> Result<Option<(Defect, bool)>, OpenError> {
        let segment = tail.segment.clone();
        let mut wanted = CHUNK_BYTES;
        loop {
            let position = segment.size();
            let chunk = read_chunk(&segment, position, wanted.min((length - position) as usize))?;
            let (taken, defect) = scan(&chunk, expected, |batch, expected| self.note(batch, tail, expected));
            self.recovery.scanned_bytes += taken as u64;
            let at_end = position + chunk.len() as u64 == length;
            match defect {
                None if at_end => return Ok(None),
                None => {}
                Some(Defect::Batch(BatchError::Truncated { needed, .. })) if !at_end => {
                    wanted = needed.max(CHUNK_BYTES);
                }
                Some(defect) => return Ok(Some((defect, sound_behind(&chunk[taken..])))),
            }
        }
    }

    fn note(&mut self, header: &record::Header, tail: &mut Tail, expected: &Expected) {
        tail.note(header, &self.config);
        let (epoch, start, base) = (header.leader_epoch, expected.epoch_start(header), header.base_offset);
        if epoch > expected.epoch && self.epochs.latest() < epoch {
            self.epochs_changed |= self.epochs.begin(epoch, start, base);
        }
        if start < base {
            self.epochs.place(epoch, base);
        }
    }

    fn cut(&mut self, segment: &Segment, length: u64, defect: &Defect, sound_behind: bool) -> Result<(), OpenError> {
        segment.cut_torn_write().map_err(files::failed("truncate", &segment.path))?;
        let (tail, bytes) = (segment.next(), length - segment.size());
        self.recovery.cut = Some(Cut { tail, bytes, reason: defect.to_string(), sound_behind });
        Ok(())
    }

    /// What lies behind a cut cannot be kept: the log would have a hole that nobody knows of.
    fn drop_segments_behind(&mut self, index: usize) -> Result<(), OpenError> {
        for base in self.bases.split_off(index + 1).into_iter().rev() {
            let segment = Segment::reopen(&self.dir, base, &self.config)?;
            let length = segment.file.metadata().map_err(files::failed("inspect", &segment.path))?.len();
            self.recovery.cut.iter_mut().for_each(|cut| {
                cut.bytes += length;
                cut.sound_behind |= length > 0;
            });
            segment.remove()?;
        }
        Ok(())
    }

    fn damaged(&self, segment: &Segment, position: u64, reason: String) -> OpenError {
        OpenError::Damaged { path: segment.path.clone(), position, flushed: self.point.mark.offset, reason }
    }

    fn finish(mut self, topic: TopicId) -> Result<(Log, Recovery), OpenError> {
        self.drop_empty_end()?;
        let fresh = self.segments.is_empty();
        if fresh {
            let segment = Arc::new(Segment::create(&self.dir, self.start, &self.config)?);
            self.tail = Some(Tail::of_empty(segment.clone()));
            self.segments.push(segment);
        }
        let tail = self.tail.take().expect("there is a segment");
        let mark = self.settle_tail(&tail);
        self.epochs_changed |= self.epochs.truncate(mark.offset) | self.epochs.advance_start(self.start);
        let view = View {
            start: self.start,
            tail: mark,
            flushed: mark,
            segments: Arc::new(std::mem::take(&mut self.segments)),
            epochs: Arc::new(std::mem::take(&mut self.epochs)),
            baseline: self.baseline,
        };
        self.make_durable(&view, fresh)?;
        let producers = snapshots::restore(&self.dir, &view)?;
        let log = Log {
            cleaned: self.cleaned.min(view.active().base),
            topic_id: topic,
            shared: Arc::new(Shared::new(view)),
            tail,
            producers,
            times: AppendTimes::default(),
            unflushed: Unflushed { point: Some(self.point), epochs: self.epochs_changed, ..Unflushed::default() },
            dir: self.dir,
            config: self.config,
        };
        Ok((log, self.recovery))
    }

    /// A segment without a batch at the end is there because its first append never came; it may stay only where the
    /// log really ends.
    fn drop_empty_end(&mut self) -> Result<(), OpenError> {
        let behind = self.segments.last().is_some_and(|last| last.size() == 0 && last.base != self.tail_before_last());
        if behind && self.segments.len() > 1 {
            self.segments.pop().map_or(Ok(()), |empty| empty.remove())?;
            let last = self.segments.last().expect("there was more than one").clone();
            let since_entry = last.size() - last.offsets.last_position()?;
            let first_time = last.first_time()?;
            self.tail = Some(Tail::of(last, since_entry, first_time));
        }
        Ok(())
    }

    fn tail_before_last(&self) -> Offset {
        let before = self.segments.len().checked_sub(2).map(|index| self.segments[index].next());
        before.unwrap_or(self.start)
    }

    /// The tail, and the start not beyond it.
    fn settle_tail(&mut self, tail: &Tail) -> Mark {
        let mark = Mark::end_of(&tail.segment);
        self.start = self.start.min(mark.offset);
        mark
    }

    /// After a crash the page cache may hold what the disk does not. What is said to be flushed must be.
    fn make_durable(&mut self, view: &View, fresh: bool) -> Result<(), OpenError> {
        if self.epochs_changed {
            let written = files::replace_durably(&self.dir.join(files::EPOCHS), view.epochs.encode().as_bytes());
            self.epochs_changed = !is_written(written)?;
        }
        // After a crash of an idle broker too: all there is was known to be flushed.
        let nothing_new = self.recovery.cut.is_none() && self.point.mark == view.tail;
        if (self.recovery.clean || nothing_new) && !fresh {
            return Ok(());
        }
        let unsure = view.segments.iter().filter(|segment| segment.base >= self.point.mark.segment);
        unsure.clone().try_for_each(|segment| {
            if segment.base == view.tail.segment { segment.sync() } else { segment.sync_all() }
        })?;
        files::sync_dir(&self.dir)?;
        let point = RecoveryPoint { mark: view.tail, clean: false };
        // Without the epochs that are below it, it would be of no use.
        if !self.epochs_changed && is_written(point.write(&self.dir))? {
            self.point = point;
        }
        Ok(())
    }
}

/// Whether it was. A log that lies on a full disk can be read all the same: the next start has more to check, no more.
fn is_written(written: Result<(), FileError>) -> Result<bool, FileError> {
    match written {
        Err(error) if error.is_disk_full() => Ok(false),
        other => other.map(|()| true),
    }
}

fn read_chunk(segment: &Segment, position: u64, bytes: usize) -> Result<Vec<u8>, FileError> {
    let mut chunk = vec![0; bytes];
    segment.file.read_exact_at(&mut chunk, position).map_err(files::failed("read", &segment.path))?;
    Ok(chunk)
}
