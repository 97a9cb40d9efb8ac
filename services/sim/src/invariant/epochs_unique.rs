use super::{Fact, Invariant, View};
use crate::disk::Entry;
use model::LeaderEpoch;
use std::collections::BTreeMap;

/// One broker leads under a leader epoch, once, and an epoch writes an offset once (I11).
#[derive(Default)]
pub(super) struct EpochsUnique {
    leaders: BTreeMap<(usize, LeaderEpoch), usize>,
    written: BTreeMap<(usize, LeaderEpoch, usize), Entry>,
}

impl Invariant for EpochsUnique {
    fn name(&self) -> &'static str {
        "leader-epochs-unique"
    }

    fn see(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), String> {
        match fact {
            Fact::Led { partition, broker, epoch } => match self.leaders.insert((*partition, *epoch), *broker) {
                None => Ok(()),
                Some(before) => Err(format!("broker {broker} leads under {epoch}, as broker {before} did")),
            },
            Fact::Appended { partition, at, entry, .. } => {
                let known = *self.written.entry((*partition, entry.epoch, *at)).or_insert(*entry);
                if known == *entry {
                    return Ok(());
                }
                Err(format!("epoch {} wrote {known:?} and {entry:?} to offset {at}", entry.epoch))
            }
            _ => Ok(()),
        }
    }
}
