//! Whether the batches of an answer may follow what is in the log.

use super::{Answer, Fence, Follower, LogView, Trouble};
use bytes::Bytes;
use model::{LeaderEpoch, Offset};
use record::{Batches, Header};

/// Batches that may be appended.
pub(super) struct Taken {
    /// Whole ones.
    pub(super) batches: Bytes,
    /// Where the first begins.
    pub(super) first: Offset,
}

/// What comes next.
struct Next {
    offset: Offset,
    epoch: LeaderEpoch,
}

impl Follower {
    /// The whole batches of `answer`.
    pub(super) fn check(&self, answer: &Answer, log: &impl LogView) -> Result<Taken, Trouble> {
        let mut next = Next { offset: log.tail(), epoch: log.last_epoch() };
        let mut first = None;
        let mut batches = Batches::new(&answer.batches);
        for batch in batches.by_ref() {
            let batch = batch.and_then(|batch| batch.verify().map(|()| batch));
            let batch = batch.map_err(|error| Trouble::Damaged { at: next.offset, error })?;
            if first.is_none() {
                first = Some(batch.base_offset);
                next.offset = beginning(answer, &batch, log)?;
            }
            self.check_next(&batch, &next)?;
            next = Next { offset: batch.next_offset(), epoch: batch.leader_epoch };
        }
        let len = batches.position();
        Ok(Taken { batches: answer.batches.slice(..len), first: first.unwrap_or(log.tail()) })
    }

    fn check_next(&self, batch: &Header, next: &Next) -> Result<(), Trouble> {
        let (at, epoch, after) = (batch.base_offset, batch.leader_epoch, next.epoch);
        if at < next.offset {
            return Err(Trouble::OutOfOrder { expected: next.offset, found: at });
        }
        if epoch < after || epoch > self.latest_possible() {
            return Err(Trouble::WrongEpoch { at, epoch, after });
        }
        if batch.opens_hole_behind(next.offset) { self.check_hole(batch, next.offset) } else { Ok(()) }
    }

    /// A copy's leader has no epoch of its own: its batches bear those of other regions.
    fn latest_possible(&self) -> LeaderEpoch {
        match self.leadership.fence {
            Fence::Epoch(epoch) => epoch,
            Fence::Term(_) => LeaderEpoch(i32::MAX),
        }
    }

    /// A lineage that began before the region held the partition is in the leader's log only.
    fn check_hole(&self, batch: &Header, tail: Offset) -> Result<(), Trouble> {
        let ownership = batch.leader_epoch.ownership();
        let known = self.lineages.iter().find(|lineage| lineage.ownership_epoch == ownership);
        match known {
            Some(lineage) if (lineage.common_end, lineage.base) != (tail, batch.base_offset) => {
                Err(Trouble::WrongHole { tail, base: batch.base_offset })
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Where the first batch may begin at the earliest: the tail; in an empty log that begins within a batch, where that
/// batch does.
fn beginning(answer: &Answer, first: &Header, log: &impl LogView) -> Result<Offset, Trouble> {
    let (tail, found) = (log.tail(), first.base_offset);
    if found != answer.first_offset {
        return Err(Trouble::OutOfOrder { expected: answer.first_offset, found });
    }
    let is_within = log.start() == tail && answer.log_start == tail && found < tail && first.next_offset() > tail;
    Ok(if is_within { found } else { tail })
}
