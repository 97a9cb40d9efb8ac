//! Reading: whole batches, as file ranges.

use crate::segment::Segment;
use crate::view::{Mark, Shared, View};
use crate::walk::Found;
use crate::{FileError, ReadError};
use bytes::Bytes;
use model::{Baseline, ByteCount, Offset};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Reads a log while its owner appends. Cheap to clone; takes no lock that an append or a flush holds for longer than
/// a few instructions.
#[derive(Clone)]
pub struct Reader {
    pub(crate) shared: Arc<Shared>,
}

/// What lies further from the tail than this is cold: hardly anybody else is going to read it soon.
const COLD_BYTES: u64 = 64 << 20;
/// How much is read at once on the way into memory.
const WARM_BYTES: usize = 256 << 10;

/// Whole batches in one file, ready for `sendfile`. The file stays readable while the slice lives, whatever happens to
/// the log; a truncation may shorten it, so a short read must close the connection.
#[derive(Clone)]
pub struct Slice {
    /// The file.
    pub file: Arc<File>,
    /// Where in it the batches begin.
    pub position: u64,
    /// How many bytes they take.
    pub len: u64,
    /// The base offset of the first batch; it may lie before the offset asked for.
    pub first_offset: Offset,
    /// The offset behind the last batch.
    pub next_offset: Offset,
    segment: Arc<Segment>,
    shared: Arc<Shared>,
    truncations: u64,
    cold: bool,
}

impl Slice {
    /// Whether it lies far from the tail: it may have to come from the disk, and should leave the memory again once it
    /// was sent.
    pub const fn is_cold(&self) -> bool {
        self.cold
    }

    /// Reads the batches into memory.
    ///
    /// # Errors
    /// [`ReadError::Truncated`] when the log was cut meanwhile; [`ReadError::File`] when the system refuses.
    pub fn to_bytes(&self) -> Result<Bytes, ReadError> {
        let bytes = self.segment.bytes(self.position, self.len as usize).inspect_err(|error| self.shared.note(error));
        if self.is_intact() { Ok(bytes?) } else { Err(ReadError::Truncated) }
    }

    /// Takes note of what the system said when somebody sent or read the slice's file.
    pub fn note_failure(&self, source: io::Error) {
        self.shared.note(&FileError { action: "read", path: self.segment.path.clone(), source });
    }

    /// How often the log had been cut when the slice was made.
    pub const fn truncations(&self) -> u64 {
        self.truncations
    }

    /// Whether the log was not cut since the slice was made. What was read of a slice that is not intact may belong
    /// to two lineages.
    pub fn is_intact(&self) -> bool {
        self.shared.truncations() == self.truncations
    }
}

impl std::fmt::Debug for Slice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { position, len, first_offset, next_offset, .. } = self;
        write!(f, "Slice {{ [{first_offset}, {next_offset}), {len} bytes at {position} }}")
    }
}

impl Reader {
    /// The first offset kept.
    pub fn start(&self) -> Offset {
        self.shared.read().start
    }

    /// The next offset to be written.
    pub fn tail(&self) -> Offset {
        self.shared.read().tail.offset
    }

    /// How often the log was cut. What was found out about it before a cut need not hold behind one.
    pub fn truncations(&self) -> u64 {
        self.shared.truncations()
    }

    /// What the log does not hold any more although nothing in it says so. Whoever reads and then asks is told of everything
    /// that was not there when it read.
    pub fn baseline(&self) -> Baseline {
        self.shared.read().baseline
    }

    /// Everything below is on disk.
    pub fn flushed(&self) -> Offset {
        self.shared.read().flushed.offset
    }

    /// What the system said when the disk did not do what it should, if it ever did not: for whoever looks after the
    /// other logs on it.
    pub fn disk_failure(&self) -> Option<&str> {
        self.shared.disk_failure()
    }

    /// The batches from the one that contains `from`, or is the next behind it, up to `upto` and about `max`: all of
    /// them end at or below `upto`. With `at_least_one` the first comes whatever its size. `None` is nothing to read;
    /// an offset in a hole or gap is read as the next batch behind it.
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`] when `from` is below the start or above the tail, never for an offset between `upto`
    /// and the tail.
    pub fn read(
        &self,
        from: Offset,
        upto: Offset,
        max: ByteCount,
        at_least_one: bool,
    ) -> Result<Option<Slice>, ReadError> {
        self.find(from, upto, max, at_least_one).inspect_err(|error| self.shared.note_read(error))
    }

    fn find(&self, from: Offset, upto: Offset, max: ByteCount, at_least_one: bool) -> Result<Option<Slice>, ReadError> {
        let truncations = self.shared.truncations();
        let view = self.shared.view();
        view.check(from)?;
        let upto = upto.min(view.tail.offset);
        for segment in view.segments_from(from) {
            if segment.base >= upto {
                break;
            }
            if let Some(range) = range(&view, segment, from, upto, max.0, at_least_one)? {
                return Ok(range.map(|range| self.slice(segment, range, truncations)));
            }
        }
        Ok(None)
    }

    fn slice(&self, segment: &Arc<Segment>, range: Range, truncations: u64) -> Slice {
        Slice {
            file: segment.file.clone(),
            position: range.position,
            len: range.end.position - range.position,
            first_offset: range.first_offset,
            next_offset: range.end.offset,
            segment: segment.clone(),
            shared: self.shared.clone(),
            truncations,
            cold: is_cold(&self.shared.read(), segment, &range.end),
        }
    }
}

/// Whether the log goes on for long behind `end` in `segment`, and what is before it was flushed: until then the system
/// keeps it in memory, and to have it forgotten is to have it written.
fn is_cold(view: &View, segment: &Segment, end: &Mark) -> bool {
    if end.offset > view.flushed.offset {
        return false;
    }
    let behind = view.segments.partition_point(|other| other.base <= segment.base);
    let mut bytes = segment.size().saturating_sub(end.position);
    let mut later = view.segments[behind..].iter();
    bytes > COLD_BYTES
        || later.any(|later| {
            bytes += later.size();
            bytes > COLD_BYTES
        })
}

/// Brings `[position, position + len)` of a file from the disk into memory. It blocks.
///
/// # Errors
/// What the system says; a file that ends before is none.
pub fn warm(file: &File, mut position: u64, len: usize) -> io::Result<()> {
    let (end, mut scratch) = (position + len as u64, vec![0; WARM_BYTES.min(len)]);
    while position < end {
        let part = ((end - position) as usize).min(scratch.len());
        match file.read_at(&mut scratch[..part], position)? {
            0 => return Ok(()),
            read => position += read as u64,
        }
    }
    Ok(())
}

/// Lets the system forget `[position, position + len)` of a file: it was read once, and is not in the way of what others
/// read again and again.
pub fn forget(file: &File, position: u64, len: u64) {
    // Advice; where it is not taken nothing is lost.
    let _ = rustix::fs::fadvise(file, position, std::num::NonZeroU64::new(len), rustix::fs::Advice::DontNeed);
}

/// Batches of one segment.
struct Range {
    position: u64,
    first_offset: Offset,
    end: Mark,
}

/// The part of `segment` that answers the read. `None`: nothing in it reaches `from`, look further. `Some(None)`: there
/// is nothing to read for now.
fn range(
    view: &View,
    segment: &Segment,
    from: Offset,
    upto: Offset,
    max: u64,
    at_least_one: bool,
) -> Result<Option<Option<Range>>, ReadError> {
    let Some(first) = first_batch(segment, from, view.end_of(segment).position)? else { return Ok(None) };
    if first.header.next_offset() > upto {
        return Ok(Some(None));
    }
    let limit = first.position.saturating_add(max);
    let end = end_mark(view, segment, upto)?;
    let end = if end.position <= limit { Some(end) } else { last_fitting(segment, &first, limit)? };
    let end = end.or_else(|| at_least_one.then(|| mark_behind(segment, &first)));
    Ok(Some(end.map(|end| Range { position: first.position, first_offset: first.header.base_offset, end })))
}

fn mark_behind(segment: &Segment, found: &Found) -> Mark {
    Mark { offset: found.header.next_offset(), segment: segment.base, position: found.end() }
}

/// The first batch that reaches `from`.
pub(crate) fn first_batch(segment: &Segment, from: Offset, end: u64) -> Result<Option<Found>, ReadError> {
    let start = segment.offsets.lookup(from)?.min(end);
    let mut batches = segment.walk(start, end);
    batches.find(|found| found.as_ref().map_or(true, |f| f.header.last_offset() >= from)).transpose()
}

/// Behind the last batch of `segment` that ends at or below `upto`. Readers mostly stop at the tail or at the flushed
/// offset, whose places are known.
fn end_mark(view: &View, segment: &Segment, upto: Offset) -> Result<Mark, ReadError> {
    let end = view.end_of(segment);
    let flushed = view.flushed;
    if upto >= end.offset {
        return Ok(end);
    }
    if upto == flushed.offset && flushed.segment == segment.base && flushed.position <= end.position {
        return Ok(flushed);
    }
    let start = segment.offsets.lookup(upto.plus(-1))?.min(end.position);
    let mark = Mark { offset: segment.base, segment: segment.base, position: start };
    last_while(segment, mark, end.position, |found| found.header.next_offset() <= upto)
}

/// Behind the last batch that ends at or before the position `limit`; `None` when `first` already does not.
fn last_fitting(segment: &Segment, first: &Found, limit: u64) -> Result<Option<Mark>, ReadError> {
    if first.end() > limit {
        return Ok(None);
    }
    let indexed = segment.offsets.lookup_position(limit)?;
    let mark = mark_behind(segment, first);
    if indexed <= mark.position {
        return last_while(segment, mark, segment.size(), |found| found.end() <= limit).map(Some);
    }
    let before = Mark { position: indexed, ..mark };
    let last = last_while(segment, before, segment.size(), |found| found.end() <= limit)?;
    if last.position > indexed {
        return Ok(Some(last));
    }
    // The indexed batch itself does not fit: what lies before it does.
    let behind = segment.walk(indexed, segment.size()).next().transpose()?;
    let offset = behind.map_or(last.offset, |found| found.header.base_offset);
    Ok(Some(Mark { offset, ..before }))
}

/// Walks on from `mark` while `holds`.
fn last_while(segment: &Segment, mark: Mark, end: u64, holds: impl Fn(&Found) -> bool) -> Result<Mark, ReadError> {
    let mut last = mark;
    for found in segment.walk(mark.position, end) {
        let found = found?;
        if !holds(&found) {
            break;
        }
        last = mark_behind(segment, &found);
    }
    Ok(last)
}

impl From<FileError> for std::io::Error {
    fn from(error: FileError) -> Self {
        Self::new(error.source.kind(), error)
    }
}
