use super::{Fact, Invariant, View};
use model::LeaderEpoch;
use std::collections::BTreeMap;

/// What a leader shows grows, and no replica shows more than some leader has committed (I9).
#[derive(Default)]
pub(super) struct WatermarkMonotone {
    shown: BTreeMap<(usize, LeaderEpoch), usize>,
}

impl Invariant for WatermarkMonotone {
    fn name(&self) -> &'static str {
        "watermark-monotone"
    }

    fn see(&mut self, fact: &Fact<'_>, view: &View<'_>) -> Result<(), String> {
        let Fact::Advanced { partition, broker, leads, to, .. } = fact else { return Ok(()) };
        let Some(epoch) = leads else {
            let committed = view.history.partitions[*partition].committed.len();
            let is_known = *to <= committed;
            return is_known.then_some(()).ok_or_else(|| {
                format!("broker {broker} follows and shows up to {to}; no leader has committed more than {committed}")
            });
        };
        let shown = self.shown.entry((*partition, *epoch)).or_default();
        if to < shown {
            return Err(format!("the leader of {epoch} shows up to {to} and showed up to {shown}"));
        }
        *shown = *to;
        Ok(())
    }
}
