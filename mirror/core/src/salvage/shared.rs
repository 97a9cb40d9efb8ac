use model::{Offset, OffsetRange};
use record::Header;
use std::cmp::Ordering;

/// The offsets at which a tail has what another region's tail has, too. Regions that copied from one owner archive the same
/// batches under the same offsets; who lost more, or got more before it was cut off, has a longer tail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shared(Vec<OffsetRange>);

impl Shared {
    /// Takes note of the next batch of each tail. Answers how they lie to each other: what lies before the other is done
    /// with, and both are where they are equal.
    pub fn meet(&mut self, ours: &Header, theirs: &Header) -> Ordering {
        let order = ours.base_offset.cmp(&theirs.base_offset);
        if order.is_eq() && is_copy(ours, theirs) {
            self.push(OffsetRange::new(ours.base_offset, ours.next_offset()));
        }
        order
    }

    fn push(&mut self, range: OffsetRange) {
        match self.0.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.0.push(range),
        }
    }

    /// Whether both have the batch that begins there.
    pub fn contains(&self, offset: Offset) -> bool {
        let before = self.0.partition_point(|range| range.start <= offset);
        before.checked_sub(1).is_some_and(|at| self.0[at].contains(offset))
    }
}

/// Whether two batches are one, whoever led the partition where each was stored: their checksum covers all else.
fn is_copy(one: &Header, other: &Header) -> bool {
    Header { leader_epoch: other.leader_epoch, ..*one } == *other
}
