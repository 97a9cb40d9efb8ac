//! The two ends of a link between regions that take writes: what a source gives, and what a target takes.

use super::super::append::enter;
use super::super::{Closed, Held, Partition, Refused};
use super::keys::Adopted;
use super::{Active, ActiveError, BadRecords, Brought, keys};
use bytes::{Bytes, BytesMut};
use log::ReadError;
use mirror_core::active::{Ask, Carried, Drift, Portion, Refusal, Row, Vector, select};
use model::{ByteCount, Incarnation, LeaderEpoch, OffsetRange};
use record::{Batches, CheckedBatch};
use std::sync::Arc;

/// What a source gives.
#[derive(Debug, Default)]
pub(crate) struct Selected {
    /// Records, in the order in which they are to be taken.
    pub(crate) portions: Vec<Carried>,
    /// What is known of what others have received.
    pub(crate) rows: Vec<Row>,
    /// What this region has received.
    pub(crate) received: Vector,
}

/// Why an answer, or the rest of it, was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeError {
    /// It takes no part, or is led no more.
    #[error("the partition is not led here for several regions")]
    NotActive,
    /// Nothing is written now.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The story does not go on so. Another ask says what is here.
    #[error(transparent)]
    Story(#[from] Refusal),
    /// Its records are not what they are said to be.
    #[error(transparent)]
    Records(#[from] BadRecords),
    /// The log takes no more writes.
    #[error(transparent)]
    Failed(#[from] ActiveError),
}

impl Partition {
    /// What it has received of every region; `None` where it takes no part.
    pub(crate) fn received(&self) -> Option<Vector> {
        Some(self.held().active.as_ref()?.partition.received().clone())
    }

    /// How many of its records were looked at once more when it was opened.
    pub(crate) fn replayed(&self) -> Option<u64> {
        Some(self.held().active.as_ref()?.replayed)
    }

    /// What links brought.
    pub(crate) fn brought(&self) -> Option<Brought> {
        Some(self.held().active.as_ref()?.brought)
    }

    /// What a target that asks so lacks, about `max` bytes of it; `None` where it takes no part.
    ///
    /// # Errors
    /// [`ReadError`]: the log cannot be read.
    pub(crate) fn select(&self, ask: &Ask, max: ByteCount) -> Result<Option<Selected>, ReadError> {
        let (portions, mut selected) = {
            let held = self.held();
            let Some(active) = &held.active else { return Ok(None) };
            let readable = self.public().marks.high_watermark;
            let (rows, received) = (active.partition.rows(readable), active.partition.received().clone());
            (select(active.partition.log(), readable, ask), Selected { portions: Vec::new(), rows, received })
        };
        let mut left = max.0;
        for portion in portions {
            let (wanted, batches) = (portion.range, self.batches(portion.range, left, selected.portions.is_empty())?);
            let Some((range, batches)) = batches else { break };
            left = left.saturating_sub(batches.len() as u64);
            selected.portions.push(Carried { portion: Portion { range, ..portion }, batches });
            if range.end < wanted.end {
                break;
            }
        }
        Ok(Some(selected))
    }

    /// The whole batches at the beginning of `range`, about `max` bytes; at least one where `at_least_one`.
    fn batches(
        &self,
        range: OffsetRange,
        max: u64,
        at_least_one: bool,
    ) -> Result<Option<(OffsetRange, Bytes)>, ReadError> {
        let (mut found, mut next) = (BytesMut::new(), range.start);
        while next < range.end {
            let left = ByteCount(max.saturating_sub(found.len() as u64));
            let slice = self.reader.read(next, range.end, left, at_least_one && found.is_empty())?;
            let Some(slice) = slice else { break };
            found.extend_from_slice(&slice.to_bytes()?);
            next = slice.next_offset;
        }
        let begins = Batches::new(&found).next().and_then(Result::ok).map(|batch| batch.base_offset);
        // Runs begin and end with batches.
        let is_whole = begins == Some(range.start) && next <= range.end;
        Ok(is_whole.then(|| (OffsetRange::new(range.start, next), found.freeze())))
    }

    /// Takes what a link has brought, in order, then repeats what no longer stands last. It may block. What was taken is
    /// durable once it is flushed, and told to nobody before; readers see all of an answer, repeats included, or nothing.
    ///
    /// # Errors
    /// [`TakeError`]: the rest of it is not taken.
    pub(crate) fn take(self: &Arc<Self>, answer: &[Carried], rows: &[Row]) -> Result<(), TakeError> {
        // Decoded before anything is held.
        let adopted = |portioned: &Carried| keys::adopt(&portioned.batches, portioned.portion.range.len());
        let adopted: Vec<_> = answer.iter().map(adopted).collect();
        let mut held = self.held();
        let taken = self.take_all(&mut held, answer, adopted);
        let ended = self.end_answer(&mut held, rows);
        drop(held);
        self.storage.flusher.request(self);
        taken.and(ended)
    }

    fn take_all(
        &self,
        held: &mut Held,
        answer: &[Carried],
        adopted: Vec<Result<Adopted, BadRecords>>,
    ) -> Result<(), TakeError> {
        let bytes: usize = answer.iter().map(|portioned| portioned.batches.len()).sum();
        held.active.as_mut().ok_or(TakeError::NotActive)?.brought.bytes += bytes as u64;
        answer.iter().zip(adopted).try_for_each(|(portioned, adopted)| self.take_one(held, portioned, &adopted?))
    }

    fn take_one(
        &self,
        held: &mut Held,
        Carried { portion, batches: bytes }: &Carried,
        (batches, keys): &Adopted,
    ) -> Result<(), TakeError> {
        let (reading, epoch) = (self.reading(), self.admit(held)?);
        let active = held.active.as_mut().ok_or(TakeError::NotActive)?;
        let taken = active.partition.take(reading, portion, keys)?;
        let origin = portion.written.origin;
        self.note_drift(active, origin, taken.drift);
        if let Some(gap) = &taken.gap {
            tracing::info!(partition = %self.name, %origin, %gap, "no records of clients");
        }
        let Some(run) = taken.run else { return Ok(()) };
        active.note_run(&run);
        active.note_conflicts(taken.conflicts, false);
        active.brought.records += portion.range.len();
        active.brought.bytes_taken += bytes.len() as u64;
        // The story goes on already: a log that does not go on with it has to be recovered.
        let appended = self.append_all(held, batches, epoch);
        self.or_fail(held, appended)
    }

    /// Says once that a region's clock is wrong.
    fn note_drift(&self, active: &mut Active, origin: Incarnation, drift: Option<Drift>) {
        match drift {
            Some(drift) if active.drifting.insert(origin) => {
                tracing::warn!(partition = %self.name, %origin, %drift, "a region's clock is wrong");
            }
            Some(_) => {}
            None => _ = active.drifting.remove(&origin),
        }
    }

    fn append_all(&self, held: &mut Held, batches: &[CheckedBatch], epoch: LeaderEpoch) -> Result<(), ActiveError> {
        let log = held.log.as_mut().ok_or(Closed)?;
        let now = self.storage.clock.now();
        for batch in batches {
            log.append(batch, epoch, now)?;
        }
        Ok(())
    }

    fn end_answer(&self, held: &mut Held, rows: &[Row]) -> Result<(), TakeError> {
        let epoch = self.admit(held)?;
        let repeated = self.repeat_standing(held, epoch);
        self.or_fail(held, repeated)?;
        held.active.as_mut().ok_or(TakeError::NotActive)?.partition.note(rows);
        self.publish(held);
        Ok(())
    }

    /// Whether this broker may write to it now, and under which epoch.
    pub(super) fn admit(&self, held: &Held) -> Result<LeaderEpoch, Refused> {
        let (epoch, _) = enter(&held.standing, self.storage.clock.boot())?;
        if let Some(reason) = self.failed() {
            return Err(Refused::Failed(reason));
        }
        if self.dir.disk().has_room() { Ok(epoch) } else { Err(Refused::NoRoom) }
    }

    pub(super) fn or_fail(&self, held: &mut Held, done: Result<(), ActiveError>) -> Result<(), TakeError> {
        Ok(done.inspect_err(|error| self.fail(held, error))?)
    }
}
