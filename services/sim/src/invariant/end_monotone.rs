use super::{Fact, Invariant, View};
use model::LeaderEpoch;
use std::collections::BTreeMap;

/// The end that a leader tells is not before one that was told under its epoch or an earlier one (KIP-207).
#[derive(Default)]
pub(super) struct EndMonotone {
    told: BTreeMap<(usize, LeaderEpoch), usize>,
}

impl Invariant for EndMonotone {
    fn name(&self) -> &'static str {
        "end-monotone"
    }

    fn see(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), String> {
        let Fact::End { partition, epoch, end } = fact else { return Ok(()) };
        let earlier = self.told.range((*partition, LeaderEpoch(i32::MIN))..=(*partition, *epoch));
        let told = earlier.map(|(_, end)| *end).max().unwrap_or(0);
        if *end < told {
            return Err(format!("epoch {epoch} tells end {end} after {told} was told"));
        }
        self.told.insert((*partition, *epoch), *end);
        Ok(())
    }
}
