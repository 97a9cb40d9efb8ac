use super::{Fact, Invariant, View};
use model::LeaderEpoch;
use std::collections::BTreeMap;

/// Nothing is acknowledged under a leader epoch after the first ack under a later one (R5).
#[derive(Default)]
pub(super) struct AckEpochsMonotone {
    last: BTreeMap<usize, LeaderEpoch>,
}

impl Invariant for AckEpochsMonotone {
    fn name(&self) -> &'static str {
        "no-ack-after-new-epoch"
    }

    fn see(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), String> {
        let Fact::Acked { partition, epoch, at, .. } = fact else { return Ok(()) };
        let last = self.last.entry(*partition).or_insert(*epoch);
        if epoch < last {
            return Err(format!("offset {at} is acknowledged under {epoch} after an ack under {last}"));
        }
        *last = *epoch;
        Ok(())
    }
}
