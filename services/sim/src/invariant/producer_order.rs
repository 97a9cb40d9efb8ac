use super::{Fact, Invariant, View};
use std::collections::BTreeMap;

/// What an idempotent producer wrote is committed once each and in order (I13).
#[derive(Default)]
pub(super) struct ProducerOrder {
    next: BTreeMap<(usize, i64), i32>,
}

impl Invariant for ProducerOrder {
    fn name(&self) -> &'static str {
        "producer-order"
    }

    fn see(&mut self, fact: &Fact<'_>, view: &View<'_>) -> Result<(), String> {
        let Fact::Committed { partition, from } = fact else { return Ok(()) };
        let committed = view.history.partitions[*partition].committed.iter().enumerate().skip(*from);
        for (at, entry) in committed.filter(|(_, entry)| entry.producer.0 >= 0) {
            let next = self.next.entry((*partition, entry.producer.0)).or_default();
            if entry.sequence != *next {
                return Err(format!("{entry:?} is committed at offset {at}; sequence {next} comes next"));
            }
            *next += 1;
        }
        Ok(())
    }
}
