//! The durable log of a quorum: entries, vote, and hints, in files of our own format.
//!
//! ```text
//! dir/vote                       the last vote, replaced atomically
//! dir/00000000000000000000.log   segments: a chain of records (see `record`), named after their first entry
//! dir/00000000000000004711.log
//! ```
//!
//! - entries are consecutive; an entry whose flush was reported survives any crash;
//! - a torn tail is cut off when the journal is opened; damage below it is refused with the place;
//! - after a failed write or flush the journal takes nothing more: what the disk then holds is unknown (fail-stop).
//!
//! It does not know Raft: an entry is a position and bytes.

mod disk;
mod record;
mod segment;
mod view;
mod writer;

pub(crate) use disk::{replace, sync_dir};
pub(crate) use view::{Lookup, View};
pub(crate) use writer::Writer;

use crate::Position;
use bytes::Bytes;
use record::Record;
use segment::Segment;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// A segment that has grown to this size is followed by a new one.
const SEGMENT_BYTES: u64 = 4 << 20;

/// One entry on its way into the journal.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) position: Position,
    pub(crate) body: Bytes,
}

/// The files, as their only writer sees them.
pub(crate) struct Journal {
    dir: PathBuf,
    segments: Vec<Segment>,
    view: Arc<Mutex<View>>,
    sync: fn(&File) -> io::Result<()>,
}

fn corrupt(path: &Path, what: impl std::fmt::Display) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!(
            "{} is damaged: {what}; this node's log cannot be trusted: rejoin as a new incarnation",
            path.display()
        ),
    )
}

impl Journal {
    /// Opens the journal in `dir`, which exists, or begins an empty one there.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let view = Arc::new(Mutex::new(View::default()));
        let mut journal = Self { dir: dir.to_owned(), segments: Vec::new(), view, sync: File::sync_data };
        for path in disk::segments(dir)? {
            journal.recover(&path)?;
        }
        journal.drop_torn_creation()?;
        if journal.segments.is_empty() {
            journal.roll(None)?;
        }
        journal.lock().settle();
        Ok(journal)
    }

    /// The journal, with another way to flush.
    #[cfg(test)]
    pub(crate) fn syncing_by(mut self, sync: fn(&File) -> io::Result<()>) -> Self {
        self.sync = sync;
        self
    }

    /// What readers see.
    pub(crate) fn view(&self) -> Arc<Mutex<View>> {
        Arc::clone(&self.view)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, View> {
        view::lock(&self.view)
    }

    fn active(&mut self) -> &mut Segment {
        self.segments.last_mut().expect("a journal has a segment from its opening on")
    }

    fn recover(&mut self, path: &Path) -> io::Result<()> {
        if let Some(torn) = self.segments.last().filter(|last| last.torn) {
            return Err(corrupt(&torn.path, "it ends in the middle of a record, and is not the last"));
        }
        let (mut segment, found) = Segment::recover(path)?;
        let previous = match found.first().map(|found| &found.record) {
            Some(Record::Start { previous }) => *previous,
            _ if segment.tail == 0 => {
                self.segments.push(segment);
                return Ok(());
            }
            _ => return Err(corrupt(path, "it does not begin with its first record")),
        };
        let last = self.lock().last();
        if previous > last {
            // Everything before was covered by a snapshot; a crash came between making this file and removing those.
            self.remove_all()?;
            self.lock().restart_after(previous);
        }
        for found in found {
            segment.note(&found);
            self.lock().recovered(found, &segment.file).map_err(|what| corrupt(path, what))?;
        }
        self.segments.push(segment);
        Ok(())
    }

    /// Removes a last segment that a crash left without its first record.
    fn drop_torn_creation(&mut self) -> io::Result<()> {
        if self.segments.last().is_some_and(|last| last.tail == 0)
            && let Some(torn) = self.segments.pop()
        {
            disk::remove(&torn.path)?;
        }
        if let Some(last) = self.segments.last_mut() {
            last.cut()?;
        }
        Ok(())
    }

    fn remove_all(&mut self) -> io::Result<()> {
        while !self.segments.is_empty() {
            disk::remove(&self.segments.remove(0).path)?;
        }
        Ok(())
    }

    /// Begins a new segment for what follows `previous`.
    fn roll(&mut self, previous: Option<Position>) -> io::Result<()> {
        let first = previous.map_or(0, |position| position.index + 1);
        let segment = Segment::create(&self.dir, first, previous)?;
        self.segments.push(segment);
        Ok(())
    }

    /// Writes `entries`, which the view already has; they are durable after the next [`flush`](Self::flush).
    fn append(&mut self, entries: &[Entry]) -> io::Result<()> {
        if self.active().tail >= SEGMENT_BYTES && self.active().first.is_some() {
            self.flush()?;
            let previous = entries.first().and_then(|first| self.lock().before(first.position.index));
            self.roll(previous)?;
        }
        let committed = self.lock().committed_to_note();
        let active = self.active();
        let places = active.append(entries, committed)?;
        let file = Arc::clone(&active.file);
        self.lock().placed(entries, &places, &file);
        Ok(())
    }

    /// Makes everything written so far durable.
    fn flush(&mut self) -> io::Result<()> {
        let sync = self.sync;
        let active = self.active();
        sync(&active.file)?;
        active.durable = active.tail;
        self.lock().flushed();
        Ok(())
    }

    /// Removes all entries from `since` on.
    fn truncate(&mut self, since: u64) -> io::Result<()> {
        let Some(start) = self.lock().start_of(since) else { return Ok(()) };
        while self.segments.len() > 1 && self.active().first.is_none_or(|first| first > since) {
            let last = self.segments.pop().expect("there are two");
            disk::remove(&last.path)?;
        }
        self.active().truncate(start, since)?;
        self.lock().truncated(since);
        Ok(())
    }

    /// Forgets all entries up to `upto`, which a snapshot covers.
    fn purge(&mut self, upto: Position) -> io::Result<()> {
        if !self.lock().purged_to(upto) {
            return Ok(());
        }
        if self.lock().is_empty() {
            return self.restart_after(upto);
        }
        self.active().note_purged(upto)?;
        while self.segments.get(1).and_then(|next| next.first).is_some_and(|first| first <= upto.index + 1) {
            disk::remove(&self.segments.remove(0).path)?;
        }
        Ok(())
    }

    /// Puts one empty segment in the place of all others.
    fn restart_after(&mut self, upto: Position) -> io::Result<()> {
        let old = std::mem::take(&mut self.segments);
        self.roll(Some(upto))?;
        for segment in old.iter().filter(|segment| segment.path != self.segments[0].path) {
            disk::remove(&segment.path)?;
        }
        Ok(())
    }

    /// Writes down the committed position for a clean stop.
    fn close(&mut self) -> io::Result<()> {
        let committed = self.lock().committed_to_note();
        self.active().append(&[], committed)?;
        self.flush()
    }
}

#[cfg(test)]
mod tests;
