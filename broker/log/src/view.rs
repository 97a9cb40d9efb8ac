//! What the owner of a log publishes to its readers.

use crate::epochs::Epochs;
use crate::segment::Segment;
use crate::{FileError, ReadError, Sealed};
use model::{Baseline, Offset};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// An offset together with the place behind the last batch before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) offset: Offset,
    /// The base of the segment.
    pub(crate) segment: Offset,
    pub(crate) position: u64,
}

impl Mark {
    pub(crate) fn end_of(segment: &Segment) -> Self {
        Self { offset: segment.next(), segment: segment.base, position: segment.size() }
    }
}

/// One consistent state of the log.
#[derive(Clone)]
pub(crate) struct View {
    pub(crate) start: Offset,
    pub(crate) tail: Mark,
    pub(crate) flushed: Mark,
    /// Ascending; never empty.
    pub(crate) segments: Arc<Vec<Arc<Segment>>>,
    pub(crate) epochs: Arc<Epochs>,
    pub(crate) baseline: Baseline,
}

impl View {
    /// The segments that can hold a batch that reaches beyond `offset`, first to last.
    pub(crate) fn segments_from(&self, offset: Offset) -> &[Arc<Segment>] {
        let behind = self.segments.partition_point(|segment| segment.base <= offset);
        &self.segments[behind.saturating_sub(1)..]
    }

    pub(crate) fn active(&self) -> &Arc<Segment> {
        self.segments.last().expect("a log has a segment")
    }

    /// The end of `segment` in this view. The segment itself may have grown since.
    pub(crate) fn end_of(&self, segment: &Segment) -> Mark {
        if segment.base == self.tail.segment { self.tail } else { Mark::end_of(segment) }
    }

    /// Checks that `offset` is in the log or its tail.
    pub(crate) fn check(&self, offset: Offset) -> Result<(), ReadError> {
        if self.start <= offset && offset <= self.tail.offset {
            return Ok(());
        }
        Err(ReadError::OutOfRange { offset, start: self.start, tail: self.tail.offset })
    }
}

/// What owner, readers and flush jobs share. The lock is held for the copying of a few words only.
pub(crate) struct Shared {
    view: RwLock<View>,
    seal: OnceLock<Sealed>,
    /// What the system said when the disk did not do what it should.
    disk_failure: OnceLock<String>,
    truncations: AtomicU64,
    /// Held while checkpoints are written beside the owner.
    checkpoints: Mutex<()>,
}

impl Shared {
    pub(crate) fn new(view: View) -> Self {
        Self {
            view: RwLock::new(view),
            seal: OnceLock::new(),
            disk_failure: OnceLock::new(),
            truncations: AtomicU64::new(0),
            checkpoints: Mutex::new(()),
        }
    }

    pub(crate) fn view(&self) -> View {
        self.read().clone()
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, View> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all writes, for good.
    pub(crate) fn seal(&self, reason: String) -> Sealed {
        self.seal.get_or_init(|| Sealed(reason)).clone()
    }

    /// Ends all writes, for good, because of `error`.
    pub(crate) fn seal_for(&self, error: &FileError) -> Sealed {
        self.note(error);
        self.seal(format!("{error}: {}", error.source))
    }

    /// Takes note of an error that says something about the disk.
    pub(crate) fn note(&self, error: &FileError) {
        if error.is_disk_failure() {
            self.disk_failure.get_or_init(|| format!("{error}: {}", error.source));
        }
    }

    /// The same of a read.
    pub(crate) fn note_read(&self, error: &ReadError) {
        if let ReadError::File(error) = error {
            self.note(error);
        }
    }

    pub(crate) fn disk_failure(&self) -> Option<&str> {
        self.disk_failure.get().map(String::as_str)
    }

    pub(crate) fn sealed(&self) -> Option<&Sealed> {
        self.seal.get()
    }

    pub(crate) fn check_open(&self) -> Result<(), Sealed> {
        self.seal.get().map_or(Ok(()), |sealed| Err(sealed.clone()))
    }

    /// How many times the log was cut: bytes read across a cut may be of both lineages.
    pub(crate) fn truncations(&self) -> u64 {
        self.truncations.load(Ordering::Acquire)
    }

    /// Counts a cut and does what has to be done first.
    pub(crate) fn cut<T>(&self, first: impl FnOnce() -> T) -> T {
        let _guard = self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner);
        self.truncations.fetch_add(1, Ordering::AcqRel);
        first()
    }

    /// Does `write` unless the log was cut since there were `truncations`; no cut comes in between.
    pub(crate) fn unless_cut<T>(&self, truncations: u64, write: impl FnOnce() -> T) -> Option<T> {
        let _guard = self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner);
        (self.truncations() == truncations).then(write)
    }
}
