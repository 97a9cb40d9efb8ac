//! Appending as a copy: offsets and epochs come with the batches, from a leader, a link or an archive.

use crate::append::WriteFailure;
use crate::{CopyError, Log};
use model::{LeaderEpoch, Offset, Timestamp};
use record::{BatchView, Batches, ControlRecord, Header};
use std::io::IoSlice;

/// What became of copied batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The log's tail behind them.
    pub tail: Offset,
    /// How many batches were taken.
    pub batches: usize,
    /// How many bytes they took of what was handed in; less than all when the last batch was cut off.
    pub bytes: usize,
    /// The latest leader epoch now.
    pub epoch: LeaderEpoch,
}

impl Log {
    /// Appends `batches` as they are, at `now`. They may skip offsets, never go back; a batch that opens a new epoch
    /// across a hole ([`Header::opens_hole_behind`]) goes into a new segment, and its epoch starts at the tail before
    /// it: the caller has made sure that this is the common end. A last batch that is cut off is left out. Sequence numbers are taken
    /// note of, not checked.
    ///
    /// # Errors
    /// [`CopyError`]. Damage, overlap and epochs that go back are found before anything is written; when a write
    /// fails, the tail says how far it got.
    pub fn append_copy(&mut self, batches: &[u8], now: Timestamp) -> Result<Copied, CopyError> {
        self.shared.check_open()?;
        let (count, bytes) = self.check_copy(batches)?;
        let mut rest = &batches[..bytes];
        while !rest.is_empty() {
            let group = self.copy_group(rest, now).map_err(|failure| self.copy_failed(failure))?;
            rest = &rest[group..];
        }
        Ok(Copied { tail: self.tail(), batches: count, bytes, epoch: self.latest_epoch() })
    }

    /// Checks every batch; says how many there are and how many bytes they take.
    fn check_copy(&self, bytes: &[u8]) -> Result<(usize, usize), CopyError> {
        let (mut tail, mut latest, mut count) = (self.tail(), self.latest_epoch(), 0);
        let mut batches = Batches::new(bytes);
        for batch in batches.by_ref() {
            let batch = batch.and_then(|batch| batch.verify().map(|()| batch));
            let batch = batch.map_err(|error| CopyError::Batch { tail, error })?;
            check_order(&batch, tail, latest)?;
            (tail, latest, count) = (batch.next_offset(), batch.leader_epoch, count + 1);
        }
        Ok((count, batches.position()))
    }

    /// Writes the batches at the front that go into one segment. They were checked.
    fn copy_group(&mut self, bytes: &[u8], now: Timestamp) -> Result<usize, WriteFailure> {
        let mut batches = whole(bytes);
        let first = batches.next().expect("there is at least one batch");
        self.make_room(first.header())?;
        let (mut end, mut before) = (first.size_bytes, first.next_offset());
        for batch in batches {
            if batch.opens_hole_behind(before) || self.tail.is_full_for(end as u64, &batch, &self.config) {
                break;
            }
            end += batch.size_bytes;
            before = batch.next_offset();
        }
        self.write(&mut [IoSlice::new(&bytes[..end])])?;
        for batch in whole(&bytes[..end]) {
            self.note(batch.header(), ControlRecord::of(&batch), now);
        }
        self.publish_tail();
        Ok(end)
    }

    fn copy_failed(&self, failure: WriteFailure) -> CopyError {
        match failure {
            WriteFailure::DiskFull(error) => CopyError::DiskFull(error),
            WriteFailure::Fatal(error) => CopyError::Sealed(self.shared.seal_for(&error)),
        }
    }
}

fn whole(bytes: &[u8]) -> impl Iterator<Item = BatchView<'_>> {
    Batches::new(bytes).map(|batch| batch.expect("it was checked before"))
}

fn check_order(batch: &Header, tail: Offset, latest: LeaderEpoch) -> Result<(), CopyError> {
    let (base_offset, epoch) = (batch.base_offset, batch.leader_epoch);
    if base_offset < tail {
        return Err(CopyError::Overlap { base_offset, tail });
    }
    if epoch < latest {
        return Err(CopyError::EpochWentBack { base_offset, epoch, latest });
    }
    Ok(())
}
