//! Producer snapshots on disk, and the state rebuilt from them and the log.

use crate::epochs::Epochs;
use crate::producers::Producers;
use crate::reader::first_batch;
use crate::segment::Segment;
use crate::view::View;
use crate::walk::Found;
use crate::{FileError, Log, OpenError, ReadError, files};
use model::Offset;
use record::ControlRecord;
use std::path::Path;
use std::sync::Arc;

impl Log {
    /// Writes the producer state at `offset`, the tail or the base of the segment that is about to begin there. Only
    /// the snapshots at segment bases are kept beside it.
    pub(crate) fn snapshot(&self, offset: Offset) -> Result<(), FileError> {
        files::replace(&files::of_offset(&self.dir, offset, files::SNAPSHOT), &self.producers.encode())?;
        self.remove_snapshots(|other| other != offset && !self.is_segment_base(other))
    }

    pub(crate) fn snapshot_durably(&self, offset: Offset) -> Result<(), FileError> {
        files::replace_durably(&files::of_offset(&self.dir, offset, files::SNAPSHOT), &self.producers.encode())?;
        self.remove_snapshots(|other| other != offset && !self.is_segment_base(other))
    }

    fn is_segment_base(&self, offset: Offset) -> bool {
        self.shared.read().segments.iter().any(|segment| segment.base == offset)
    }

    pub(crate) fn remove_snapshots(&self, which: impl Fn(Offset) -> bool) -> Result<(), FileError> {
        remove_snapshots(&self.dir, which)
    }

    /// From here on every producer known so far may skip forward once, as after a restore: what it wrote last may not
    /// be here. Durable on return. A hole opens the same jumps by itself.
    ///
    /// # Errors
    /// [`FileError`]: the jumps are open, but a restart would forget them; call it again.
    pub fn open_jumps(&mut self) -> Result<(), FileError> {
        self.producers.open_jumps();
        self.tail.segment.txns.sync()?;
        self.snapshot_durably(self.tail())
    }
}

fn remove_snapshots(dir: &Path, which: impl Fn(Offset) -> bool) -> Result<(), FileError> {
    let found = files::offsets(dir, files::SNAPSHOT)?;
    let mut unwanted = found.into_iter().filter(|offset| which(*offset));
    unwanted.try_for_each(|offset| files::remove(&files::of_offset(dir, offset, files::SNAPSHOT)))
}

/// The producer state at the tail of `view`: from the newest snapshot that is sound, and the batches behind it. The
/// indexes of aborted transactions are rebuilt on the way.
pub(crate) fn restore(dir: &Path, view: &View) -> Result<Producers, ReadError> {
    let (mut producers, from) = newest(dir, view)?.unwrap_or((Producers::default(), view.start));
    for segment in view.segments_from(from) {
        segment.txns.truncate(from);
        replay(segment, from.max(view.start), &view.epochs, &mut producers)?;
    }
    Ok(producers)
}

/// The newest snapshot that is sound; those of another tail, and those that are not, are removed.
fn newest(dir: &Path, view: &View) -> Result<Option<(Producers, Offset)>, FileError> {
    for offset in files::offsets(dir, files::SNAPSHOT)?.into_iter().rev() {
        let path = files::of_offset(dir, offset, files::SNAPSHOT);
        let decode = |bytes: Option<Vec<u8>>| bytes.as_deref().and_then(Producers::decode);
        // Snapshots are not synced: after a power cut one may be empty or torn.
        match (offset <= view.tail.offset).then(|| files::read(&path)).transpose()?.and_then(decode) {
            Some(producers) => return Ok(Some((producers, offset))),
            None => files::remove(&path)?,
        }
    }
    Ok(None)
}

fn replay(segment: &Arc<Segment>, from: Offset, epochs: &Epochs, producers: &mut Producers) -> Result<(), ReadError> {
    let Some(first) = first_batch(segment, from, segment.size())? else { return Ok(()) };
    for found in segment.walk(first.position, segment.size()) {
        let found = found?;
        if opens_hole(&found, epochs) {
            producers.open_jumps();
        }
        let control = control_record(segment, &found)?;
        if let Some(aborted) = producers.note(&found.header, control) {
            segment.txns.push(aborted);
        }
    }
    Ok(())
}

fn opens_hole(found: &Found, epochs: &Epochs) -> bool {
    let hole = epochs.hole_before(found.header.base_offset);
    hole.is_some_and(|hole| hole.base == found.header.base_offset && found.header.opens_hole_behind(hole.start))
}

fn control_record(segment: &Segment, found: &Found) -> Result<Option<ControlRecord>, ReadError> {
    if !found.header.attributes.is_control() {
        return Ok(None);
    }
    segment.with_batch(found.position, &found.header, |batch| Ok(ControlRecord::of(batch)))
}

impl From<ReadError> for OpenError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::File(error) => Self::File(error),
            other => Self::Read(other),
        }
    }
}
