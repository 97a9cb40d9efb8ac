use super::{Fact, Invariant, View};

/// What was acknowledged to acks=all is committed, and is in the log of whoever leads later (I6).
pub(super) struct AckedNeverLost;

impl Invariant for AckedNeverLost {
    fn name(&self) -> &'static str {
        "acked-never-lost"
    }

    fn see(&mut self, fact: &Fact<'_>, view: &View<'_>) -> Result<(), String> {
        match fact {
            Fact::Acked { partition, all: true, at, entry, .. } => {
                match view.history.partitions[*partition].committed.get(*at) {
                    Some(committed) if committed == entry => Ok(()),
                    other => Err(format!("offset {at} was acknowledged as {entry:?}, committed is {other:?}")),
                }
            }
            Fact::Led { partition, broker, epoch } => {
                let log = &view.disks[*broker].logs[*partition];
                let promised = &view.history.partitions[*partition];
                let mut earlier = promised.acked.iter().filter(|(at, _)| promised.acked_under.get(at) < Some(epoch));
                match earlier.find(|(at, entry)| log.entry(**at) != Some(**entry)) {
                    None => Ok(()),
                    Some((at, entry)) => Err(format!(
                        "broker {broker} leads under {epoch} without the acknowledged {entry:?} at offset {at}"
                    )),
                }
            }
            _ => Ok(()),
        }
    }
}
