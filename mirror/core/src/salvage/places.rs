//! Where the records of a tail lie, and where they went.

use super::{SalvageError, Tally, Writer};
use crate::attached::Run;
use model::Offset;
use record::{BatchView, sequence_after};

/// Where records lie in a log, in their order: offsets that follow each other are kept as one stretch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places(Vec<(Offset, u64)>);

impl Places {
    /// The next `count` records lie from `start` on, which is behind all before.
    pub fn push(&mut self, start: Offset, count: u64) {
        match self.0.last_mut() {
            Some((first, so_far)) if first.plus(*so_far as i64) == start => *so_far += count,
            _ => self.0.push((start, count)),
        }
    }

    /// How many records they are.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// Takes note of a batch of the log that was written to, those of others included.
    ///
    /// # Errors
    /// [`SalvageError::NotInOrder`] when `writer` has written something else in between.
    pub fn note(&mut self, writer: &Writer, batch: &BatchView<'_>) -> Result<(), SalvageError> {
        let header = batch.header();
        if !writer.has_written(batch) {
            return Ok(());
        }
        let expected = self.count();
        if header.base_sequence as u64 != expected {
            return Err(SalvageError::NotInOrder { at: header.base_offset, found: header.base_sequence, expected });
        }
        let count = sequence_after(header.last_sequence(), 1) as u64 - expected;
        self.push(header.base_offset, count);
        Ok(())
    }

    /// Where each record went, given where the same records lie in another log.
    pub fn runs_to(&self, other: &Self) -> Vec<Run> {
        let (mut from, mut to) = (self.0.iter().copied(), other.0.iter().copied());
        let (mut here, mut there, mut runs) = (from.next(), to.next(), vec![]);
        while let (Some((source, left)), Some((target, room))) = (here, there) {
            let count = left.min(room);
            runs.push(Run { source, target, count });
            here = behind(source, left, count).or_else(|| from.next());
            there = behind(target, room, count).or_else(|| to.next());
        }
        runs
    }
}

/// What of a stretch is left behind the first `taken`.
fn behind(start: Offset, count: u64, taken: u64) -> Option<(Offset, u64)> {
    (taken < count).then(|| (start.plus(taken as i64), count - taken))
}

/// A tail that has been published in a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Its records: those that are sent are in the topic, as they are.
    pub tally: Tally,
    /// Where each of them went, in order.
    pub runs: Vec<Run>,
}
