//! What readers get to see.

use super::{Marks, Partition};
use log::{AbortedTransaction, ReadError, Slice};
use model::{ByteCount, Offset};

/// Which records a reader wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// Every committed record, whatever becomes of its transaction.
    Uncommitted,
    /// Only records whose transactions are decided.
    Committed,
}

impl Isolation {
    /// Kafka's number of it.
    pub(crate) fn of(level: i8) -> Self {
        if level == 1 { Self::Committed } else { Self::Uncommitted }
    }
}

/// What a read found.
#[derive(Debug)]
pub(crate) struct Readable {
    /// Where the log stood.
    pub(crate) marks: Marks,
    /// Whole batches, if there are any for this reader.
    pub(crate) slice: Option<Slice>,
    /// The transactions in it that were aborted; for readers of decided records only.
    pub(crate) aborted: Option<Vec<AbortedTransaction>>,
}

impl Marks {
    /// How far a reader may see.
    pub(crate) fn visible(&self, isolation: Isolation) -> Offset {
        match isolation {
            Isolation::Uncommitted => self.high_watermark,
            Isolation::Committed => self.last_stable,
        }
    }
}

impl Partition {
    /// Reads from `from` on, about `max` bytes; with `at_least_one` the first batch comes whatever its size.
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`] below the start or above the tail, never between the watermark and the tail.
    pub(crate) fn read(
        &self,
        from: Offset,
        isolation: Isolation,
        max: ByteCount,
        at_least_one: bool,
    ) -> Result<Readable, ReadError> {
        // One look at the marks: a second could show what the first decided about differently (KAFKA-9807).
        let marks = self.marks();
        let slice = self.reader.read(from, marks.visible(isolation), max, at_least_one)?;
        let aborted = match (isolation, &slice) {
            (Isolation::Uncommitted, _) => None,
            (Isolation::Committed, None) => Some(Vec::new()),
            (Isolation::Committed, Some(slice)) => Some(self.reader.aborted_transactions(from, slice.next_offset)),
        };
        Ok(Readable { marks, slice, aborted })
    }
}
