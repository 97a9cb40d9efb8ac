//! The side file beside a log: a hash of each 2^16 offsets, for comparing it with another region's copy.
//!
//! What is hashed when, and what the file looks like, is decided by [`mirror_core::verify`]. Here it is done a little at
//! a time, beside whoever writes. Before a log is cut its file is, durably: a crash in between leaves hashes missing, never
//! hashes of something else. When all is hashed, old intervals are hashed again, one after the other: what the disk gives
//! must be what was written to it. An interval that differs between regions is hashed again before anything else, to say
//! whether it is sound here.

use super::{Partition, Standing};
use crate::durably;
use log::{Log, ReadError, Reader, StoredHash, TruncateError};
use mirror_core::verify::limits::FILE_BYTES_MAX;
use mirror_core::verify::{Checkpoint, Checkpoints, Due, FileIdentity, Interval, Judgements, Kept, Soundness, due};
use model::{ByteCount, Offset, OffsetRange, Timestamp};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The side file, in the log's directory.
const FILE: &str = "content-checkpoints";

/// The checkpoints of one log.
pub(super) struct Proof {
    path: PathBuf,
    identity: FileIdentity,
    /// Whoever changes the checkpoints holds it until they are on disk, and the state only for the change.
    disk: Mutex<Disk>,
    state: Mutex<State>,
}

struct Disk {
    /// Whether the file ends where the next checkpoint is to be written.
    is_filed: bool,
}

struct State {
    checkpoints: Arc<Checkpoints>,
    generation: u64,
    /// How often the log was cut. What was hashed before a cut does not count behind it.
    cuts: u64,
    under_way: Option<UnderWay>,
    /// What is hashed again to be judged.
    judging: Option<UnderWay>,
    /// What is to be judged, and what was.
    judged: Judgements,
    /// A cut is going on: nothing is hashed before it is over.
    is_cutting: bool,
    /// The next interval to be hashed again.
    again: Interval,
}

/// What became of a checkpoint, with all there are since.
enum Keeping {
    Added(Arc<Checkpoints>),
    Replaced(Arc<Checkpoints>),
    Nothing,
}

#[derive(Clone, Copy)]
struct UnderWay {
    due: Due,
    so_far: StoredHash,
    why: Why,
}

/// Why an interval is hashed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// It never was.
    New,
    /// It was long ago.
    Again,
    /// Another region has something else there.
    Judged,
}

impl UnderWay {
    fn of(due: Due, why: Why) -> Self {
        Self { due, so_far: StoredHash::from(due.range.start), why }
    }

    fn checkpoint(&self) -> Checkpoint {
        let Self { due, so_far, .. } = self;
        let hash = so_far.hash.0;
        Checkpoint { interval: due.interval, from: due.range.start, batches: so_far.batches, hash }
    }
}

impl Proof {
    /// Reads the side file in `dir`, and cuts off what cannot be of a log that ends at `tail`. A file that says nothing is
    /// begun anew.
    pub(super) fn open(dir: &Path, identity: FileIdentity, tail: Offset, now: Timestamp) -> Self {
        let path = dir.join(FILE);
        let (checkpoints, is_filed) = match bytes(&path) {
            Ok(bytes) => read(&path, &identity, &bytes),
            Err(_) => (Checkpoints::default(), false),
        };
        // No two lives of a process have the same generations, and none is 0.
        let generation = (u64::try_from(now.0).unwrap_or_default() << 16) | 1;
        let state = State {
            checkpoints: Arc::new(checkpoints),
            generation,
            cuts: 0,
            under_way: None,
            judging: None,
            judged: Judgements::default(),
            is_cutting: false,
            again: Interval(0),
        };
        let proof = Self { path, identity, disk: Mutex::new(Disk { is_filed }), state: Mutex::new(state) };
        proof.truncate(&mut proof.disk(), tail);
        proof
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what ends above `to`, on the disk too.
    fn truncate(&self, disk: &mut Disk, to: Offset) {
        let left = self.state().truncate(to);
        if let Some(checkpoints) = left {
            self.write_anew(disk, &checkpoints);
        }
    }

    /// Hashes nothing until the log was cut off at `to` by `cut`, which gives its tail.
    fn around(&self, to: Offset, cut: impl FnOnce() -> Result<Offset, TruncateError>) -> Result<Offset, TruncateError> {
        {
            let mut disk = self.disk();
            self.state().begin_cut();
            self.truncate(&mut disk, to);
        }
        let tail = cut();
        if let Ok(tail) = &tail {
            // The batch that held the offset went as a whole.
            self.truncate(&mut self.disk(), *tail);
        }
        self.state().is_cutting = false;
        tail
    }

    /// Goes on with an interval later, unless the log was cut since there were `cuts`.
    fn pause(&self, under_way: UnderWay, cuts: u64) {
        let mut state = self.state();
        if state.cuts == cuts {
            *state.place(under_way.why) = Some(under_way);
        }
    }

    /// An interval that is to be judged cannot be read, unless the log was cut since there were `cuts`.
    fn give_up(&self, under_way: &UnderWay, cuts: u64) {
        let mut state = self.state();
        if state.cuts == cuts {
            state.judging = None;
            state.judged.settle(under_way.due.interval, Soundness::Damaged(under_way.so_far.next));
        }
    }

    /// Has `interval` judged, if it is one of those that were hashed.
    fn want(&self, interval: Interval, start: Offset) {
        let mut state = self.state();
        if interval < state.checkpoints.written() && interval.range().end > start {
            state.judged.want(interval);
        }
    }

    /// Keeps a checkpoint, unless the log was cut since there were `cuts`; whether anything was found to be other than it was.
    fn keep(&self, done: &UnderWay, cuts: u64, start: Offset) -> bool {
        let mut disk = self.disk();
        let kept = self.state().keep(done, cuts, start);
        match kept {
            Keeping::Added(checkpoints) => {
                self.append(&mut disk, &done.checkpoint(), &checkpoints);
                done.so_far.damaged.is_some()
            }
            Keeping::Replaced(checkpoints) => {
                self.write_anew(&mut disk, &checkpoints);
                true
            }
            Keeping::Nothing => done.why == Why::Judged && done.so_far.damaged.is_some(),
        }
    }

    fn append(&self, disk: &mut Disk, checkpoint: &Checkpoint, all: &Checkpoints) {
        if !disk.is_filed {
            return self.write_anew(disk, all);
        }
        let file = OpenOptions::new().append(true).open(&self.path);
        let written = file.and_then(|mut file| file.write_all(&Checkpoints::entry(checkpoint)));
        if let Err(error) = written {
            disk.is_filed = false;
            tracing::warn!(path = %self.path.display(), %error, "a checkpoint is not on disk");
        }
    }

    fn write_anew(&self, disk: &mut Disk, all: &Checkpoints) {
        let written = durably::replace(&self.path, &all.file(&self.identity));
        disk.is_filed = written.is_ok();
        if let Err(error) = written {
            tracing::warn!(path = %self.path.display(), %error, "checkpoints are not on disk");
        }
    }

    /// What is to be hashed next, and how often the log was cut by then.
    fn next(&self, reader: &Reader, start: Offset, high_watermark: Offset, rereads: bool) -> Option<(UnderWay, u64)> {
        let mut state = self.state();
        if state.is_cutting {
            return None;
        }
        // The marks tell of a cut a moment later than the log does.
        let high_watermark = high_watermark.min(reader.tail());
        state.under_way = state.under_way.filter(|under_way| under_way.so_far.next >= start);
        if let Some(judging) = state.judging(start) {
            return Some((judging, state.cuts));
        }
        let written = state.checkpoints.written();
        let is_due = written.range().end <= high_watermark;
        let fresh = || is_due.then(|| due(written, start, high_watermark, &holes(reader))).flatten();
        let next = match state.under_way.filter(|under_way| under_way.why == Why::New) {
            Some(under_way) => Some(under_way),
            None => fresh().map(|due| UnderWay::of(due, Why::New)),
        };
        let next = next.or_else(|| if rereads { state.under_way.or_else(|| state.reread(start)) } else { None });
        next.map(|next| (next, state.cuts))
    }
}

impl State {
    /// Forgets what ends above `to`; gives what is left if that is less.
    fn truncate(&mut self, to: Offset) -> Option<Arc<Checkpoints>> {
        self.judged.truncate(to);
        self.checkpoints.entries().last().filter(|last| last.interval.range().end > to)?;
        Arc::make_mut(&mut self.checkpoints).truncate(to);
        self.generation += 1;
        Some(self.checkpoints.clone())
    }

    fn begin_cut(&mut self) {
        (self.is_cutting, self.under_way, self.judging) = (true, None, None);
        self.cuts += 1;
    }

    fn keep(&mut self, done: &UnderWay, cuts: u64, start: Offset) -> Keeping {
        if self.cuts != cuts {
            return Keeping::Nothing;
        }
        let checkpoint = done.checkpoint();
        *self.place(done.why) = None;
        self.judged.settle(checkpoint.interval, Soundness::read(done.so_far.damaged));
        match done.why {
            Why::New => {
                Arc::make_mut(&mut self.checkpoints).add(checkpoint);
                Arc::make_mut(&mut self.checkpoints).raise_start(start);
                return Keeping::Added(self.checkpoints.clone());
            }
            Why::Again => self.again = checkpoint.interval.next(),
            Why::Judged => {}
        }
        let known = self.known(checkpoint.interval);
        // Where retention has taken the beginning, the rest says nothing of what there was.
        if known.is_none_or(|known| known == checkpoint || known.from != checkpoint.from) {
            return Keeping::Nothing;
        }
        Arc::make_mut(&mut self.checkpoints).replace(checkpoint);
        self.generation += 1;
        Keeping::Replaced(self.checkpoints.clone())
    }

    /// Where what is under way is kept between its steps.
    const fn place(&mut self, why: Why) -> &mut Option<UnderWay> {
        match why {
            Why::New | Why::Again => &mut self.under_way,
            Why::Judged => &mut self.judging,
        }
    }

    fn known(&self, interval: Interval) -> Option<Checkpoint> {
        self.checkpoints.entries().iter().find(|known| known.interval == interval).copied()
    }

    /// The interval that is to be judged next.
    fn judging(&mut self, start: Offset) -> Option<UnderWay> {
        if let Some(judging) = self.judging.filter(|judging| judging.so_far.next >= start) {
            return Some(judging);
        }
        while let Some(interval) = self.judged.unread() {
            let from = self.known(interval).map_or(interval.range().start, |known| known.from).max(start);
            let range = OffsetRange::new(from, interval.range().end);
            if !range.is_empty() {
                return Some(UnderWay::of(Due { interval, range }, Why::Judged));
            }
            self.judged.forget(interval);
        }
        None
    }

    /// The next interval that is to be hashed again; from the first on when the last was.
    fn reread(&mut self, start: Offset) -> Option<UnderWay> {
        let known = self.checkpoints.entries();
        let at = known.partition_point(|known| known.interval < self.again);
        let next = known[at..].iter().find(|known| known.from >= start);
        let Some(next) = next else {
            self.again = Interval(0);
            return None;
        };
        let range = OffsetRange::new(next.from, next.interval.range().end);
        Some(UnderWay::of(Due { interval: next.interval, range }, Why::Again))
    }
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One more than is ever written tells that there is too much.
    File::open(path)?.take(FILE_BYTES_MAX.0 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read(path: &Path, identity: &FileIdentity, bytes: &[u8]) -> (Checkpoints, bool) {
    match Checkpoints::read(identity, bytes) {
        Ok((checkpoints, whole)) => (checkpoints, whole == bytes.len()),
        Err(defect) => {
            tracing::warn!(path = %path.display(), %defect, "checkpoints are made anew");
            (Checkpoints::default(), false)
        }
    }
}

fn holes(reader: &Reader) -> Vec<OffsetRange> {
    let holes = reader.epochs().into_iter().filter(|epoch| epoch.start < epoch.base);
    holes.map(|epoch| OffsetRange::new(epoch.start, epoch.base)).collect()
}

impl Partition {
    /// Hashes about `max` bytes more of what is committed, if this broker leads the partition; with `rereads` what was
    /// hashed before, too, when nothing else is to do. Whether there was anything. It may block.
    ///
    /// # Errors
    /// [`ReadError`]: the system does not read the log, or it was cut meanwhile; the next time begins where this did.
    pub(crate) fn hash_on(&self, max: ByteCount, rereads: bool) -> Result<bool, ReadError> {
        let is_led = matches!(self.standing(), Standing::Owner { .. } | Standing::Copy { .. });
        if !is_led || self.failed().is_some() {
            return Ok(false);
        }
        let marks = self.marks();
        let rereads = rereads && !self.is_or_was_compacted();
        let next = self.proof.next(&self.reader, marks.start, marks.high_watermark, rereads);
        let Some((mut under_way, cuts)) = next else {
            return Ok(false);
        };
        let end = under_way.due.range.end;
        under_way.so_far = match self.reader.hash_stored(under_way.so_far, end, max) {
            Err(error) if under_way.why == Why::Judged && !matches!(error, ReadError::Truncated) => {
                self.proof.give_up(&under_way, cuts);
                return Err(error);
            }
            read => read?,
        };
        if under_way.so_far.next < end {
            self.proof.pause(under_way, cuts);
        } else if self.proof.keep(&under_way, cuts, marks.start) {
            self.tell_damage(&under_way);
        }
        Ok(true)
    }

    fn tell_damage(&self, found: &UnderWay) {
        let (range, damaged) = (found.due.range, found.so_far.damaged);
        tracing::error!(partition = %self.name, %range, ?damaged, "what the disk gives is not what was written to it");
    }

    /// Has an interval hashed again that is not the same in another region, to say whether it is sound here.
    pub(crate) fn want_judgement(&self, interval: Interval) {
        if !self.is_or_was_compacted() {
            self.proof.want(interval, self.marks().start);
        }
    }

    /// Its checkpoints.
    pub(crate) fn checkpoints(&self) -> Kept {
        let (start, compacted, remade) =
            (self.marks().start, self.is_or_was_compacted(), self.reader.baseline().remade);
        let digest = self.made_digest().filter(|_| compacted);
        let state = self.proof.state();
        let (checkpoints, judged) = (state.checkpoints.clone(), state.judged.clone());
        Kept { generation: state.generation, start, compacted, remade, checkpoints, digest, judged }
    }

    /// Whether a cleaner takes batches away, or has.
    pub(super) fn is_or_was_compacted(&self) -> bool {
        let was_compacted = |log: &Log| log.compacted_upto() > Offset::ZERO;
        self.settings().is_compacted || self.held().log.as_ref().is_some_and(was_compacted)
    }

    /// Cuts the log off at `to` with `cut`, and its checkpoints with it.
    pub(super) fn cut_proven(
        &self,
        to: Offset,
        cut: impl FnOnce() -> Result<Offset, TruncateError>,
    ) -> Result<Offset, TruncateError> {
        self.proof.around(to, cut)
    }
}
