use super::{Fact, Invariant, View};

/// All replicas show the same records below their watermarks (I4).
pub(super) struct CommittedPrefix;

impl Invariant for CommittedPrefix {
    fn name(&self) -> &'static str {
        "committed-prefix-equal"
    }

    fn see(&mut self, fact: &Fact<'_>, view: &View<'_>) -> Result<(), String> {
        let Fact::Advanced { partition, broker, from, to, .. } = fact else { return Ok(()) };
        let log = &view.disks[*broker].logs[*partition];
        let committed = &view.history.partitions[*partition].committed;
        for (at, known) in committed.iter().enumerate().take(*to).skip(*from) {
            let shown = log.entry(at);
            if shown != Some(*known) {
                return Err(format!("broker {broker} shows {shown:?} at offset {at}; committed is {known:?}"));
            }
        }
        Ok(())
    }
}
