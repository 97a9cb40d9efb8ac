use super::Entry;
use super::record::{Found, Record};
use crate::Position;
use bytes::Bytes;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many bytes of the newest entries stay in memory.
const CACHE_BYTES: usize = 4 << 20;
/// What stands before an entry's own bytes: header, kind, position.
const BEFORE_BODY: u64 = 12 + 1 + 24;

/// The entries of the journal, as readers see them.
#[derive(Debug, Default)]
pub(crate) struct View {
    purged: Option<Position>,
    committed: Option<Position>,
    noted: Option<Position>,
    slots: VecDeque<Slot>,
    cached_bytes: usize,
    /// How many slots at the front are not in memory.
    evicted: usize,
    /// Why the journal takes nothing more.
    sealed: Option<String>,
}

#[derive(Debug)]
struct Slot {
    position: Position,
    body: Option<Bytes>,
    place: Option<Place>,
}

#[derive(Clone, Debug)]
struct Place {
    file: Arc<File>,
    start: u64,
    len: u32,
}

/// An entry as it can be had: at once, or from a file.
pub(crate) struct Lookup {
    pub(crate) position: Position,
    source: Result<Bytes, Place>,
}

impl Lookup {
    /// How long the entry is.
    pub(crate) fn len(&self) -> usize {
        match &self.source {
            Ok(body) => body.len(),
            Err(place) => place.len as usize,
        }
    }

    /// Whether reading it touches no file.
    pub(crate) fn is_cached(&self) -> bool {
        self.source.is_ok()
    }

    /// The entry's bytes.
    pub(crate) fn read(self) -> io::Result<Entry> {
        let body = match self.source {
            Ok(body) => body,
            Err(place) => {
                let mut bytes = vec![0; place.len as usize];
                place.file.read_exact_at(&mut bytes, place.start)?;
                bytes.into()
            }
        };
        Ok(Entry { position: self.position, body })
    }
}

pub(crate) fn lock(view: &Mutex<View>) -> MutexGuard<'_, View> {
    view.lock().unwrap_or_else(PoisonError::into_inner)
}

impl View {
    /// The last entry that is gone, if any is.
    pub(crate) fn purged(&self) -> Option<Position> {
        self.purged
    }

    /// The last entry, or what was purged last where there is none.
    pub(crate) fn last(&self) -> Option<Position> {
        self.slots.back().map(|slot| slot.position).or(self.purged)
    }

    /// How far entries are known to be committed.
    pub(crate) fn committed(&self) -> Option<Position> {
        self.committed.min(self.last())
    }

    /// Takes note of a committed position; it is written down with the next entry.
    pub(crate) fn commit(&mut self, committed: Option<Position>) {
        self.committed = self.committed.max(committed);
    }

    /// Why the journal takes nothing more, if so.
    pub(crate) fn sealed(&self) -> Option<&str> {
        self.sealed.as_deref()
    }

    /// Takes nothing more, because of `error`.
    pub(super) fn seal(&mut self, error: &io::Error) {
        self.sealed.get_or_insert_with(|| error.to_string());
    }

    /// The entries in `indexes` that are here.
    pub(crate) fn lookup(&self, indexes: Range<u64>) -> Vec<Lookup> {
        let Some(first) = self.first() else { return Vec::new() };
        let end = indexes.end.saturating_sub(first).min(self.slots.len() as u64) as usize;
        let start = (indexes.start.saturating_sub(first) as usize).min(end);
        self.slots.range(start..end).filter_map(Slot::lookup).collect()
    }

    /// Makes `entries` readable, before they are written.
    pub(crate) fn push(&mut self, entries: &[Entry]) -> Result<(), String> {
        for entry in entries {
            self.check_next(entry.position)?;
            self.cached_bytes += entry.body.len();
            self.slots.push_back(Slot { position: entry.position, body: Some(entry.body.clone()), place: None });
        }
        Ok(())
    }

    fn first(&self) -> Option<u64> {
        self.slots.front().map(|slot| slot.position.index)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn check_next(&self, next: Position) -> Result<(), String> {
        match self.slots.back() {
            Some(last) if next.index != last.position.index + 1 => {
                Err(format!("entry {} does not follow entry {}", next.index, last.position.index))
            }
            _ => Ok(()),
        }
    }

    /// The position before the entry `index`.
    pub(super) fn before(&self, index: u64) -> Option<Position> {
        match self.first() {
            Some(first) if index > first => self.slots.get((index - first - 1) as usize).map(|slot| slot.position),
            _ => self.purged,
        }
    }

    /// A committed position that is not yet in the file.
    pub(super) fn committed_to_note(&mut self) -> Option<Position> {
        if self.committed == self.noted {
            return None;
        }
        self.noted = self.committed;
        self.committed
    }

    pub(super) fn placed(&mut self, entries: &[Entry], starts: &[u64], file: &Arc<File>) {
        let Some(first) = self.first() else { return };
        for (entry, start) in entries.iter().zip(starts) {
            let place = Place { file: Arc::clone(file), start: *start, len: entry.body.len() as u32 };
            if let Some(slot) = entry.position.index.checked_sub(first).and_then(|at| self.slots.get_mut(at as usize)) {
                slot.place = Some(place);
            }
        }
    }

    /// Everything placed is durable: old entries may leave the memory.
    pub(super) fn flushed(&mut self) {
        while self.cached_bytes > CACHE_BYTES
            && let Some(slot) = self.slots.get_mut(self.evicted)
            && slot.place.is_some()
        {
            self.cached_bytes -= slot.body.take().map_or(0, |body| body.len());
            self.evicted += 1;
        }
    }

    /// Where the record of the entry `index` begins in its file.
    pub(super) fn start_of(&self, index: u64) -> Option<u64> {
        let slot = self.slots.get(index.checked_sub(self.first()?)? as usize)?;
        slot.place.as_ref().map(|place| place.start - BEFORE_BODY)
    }

    pub(super) fn truncated(&mut self, since: u64) {
        while self.slots.back().is_some_and(|last| last.position.index >= since) {
            let last = self.slots.pop_back().and_then(|slot| slot.body);
            self.cached_bytes -= last.map_or(0, |body| body.len());
        }
        self.evicted = self.evicted.min(self.slots.len());
    }

    /// Forgets entries up to `upto`; `false` when they had been forgotten before.
    pub(super) fn purged_to(&mut self, upto: Position) -> bool {
        let nothing_left = self.first().is_none_or(|first| first > upto.index);
        if nothing_left && self.purged.is_some_and(|purged| purged.index >= upto.index) {
            return false;
        }
        while self.slots.front().is_some_and(|slot| slot.position.index <= upto.index) {
            let first = self.slots.pop_front().and_then(|slot| slot.body);
            self.cached_bytes -= first.map_or(0, |body| body.len());
            self.evicted = self.evicted.saturating_sub(1);
        }
        self.purged = Some(upto);
        true
    }

    /// Begins again after `previous`, with no entries.
    pub(super) fn restart_after(&mut self, previous: Option<Position>) {
        *self = Self { purged: previous, ..Self::default() };
    }

    /// Takes in a record that was found in `file` when the journal was opened.
    pub(super) fn recovered(&mut self, found: Found, file: &Arc<File>) -> Result<(), String> {
        match found.record {
            Record::Start { previous } if self.slots.is_empty() => self.purged = self.purged.max(previous),
            Record::Start { previous } if previous == self.last() => {}
            Record::Start { previous } => return Err(format!("it follows {previous:?}, not {:?}", self.last())),
            Record::Committed(position) => self.commit(Some(position)),
            Record::Purged(position) => _ = self.purged_to(position),
            Record::Entry { position, body } => {
                self.check_next(position)?;
                let place = Place { file: Arc::clone(file), start: found.body_start as u64, len: body.len() as u32 };
                self.cached_bytes += body.len();
                // Its own copy: a slice would keep the whole segment in memory.
                let body = Some(Bytes::copy_from_slice(&body));
                self.slots.push_back(Slot { position, body, place: Some(place) });
                self.flushed();
            }
        }
        Ok(())
    }

    /// Ends the recovery.
    pub(super) fn settle(&mut self) {
        self.committed = self.committed.min(self.last());
        self.noted = self.committed;
    }
}

impl Slot {
    fn lookup(&self) -> Option<Lookup> {
        let source = match (&self.body, &self.place) {
            (Some(body), _) => Ok(body.clone()),
            (None, Some(place)) => Err(place.clone()),
            (None, None) => return None,
        };
        Some(Lookup { position: self.position, source })
    }
}
