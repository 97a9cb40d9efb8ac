use super::{Fact, Invariant, View};
use crate::disk::Entry;
use std::collections::BTreeMap;

/// An offset is acknowledged to acks=all for one record only, and a record at one offset only.
#[derive(Default)]
pub(super) struct OneContentPerOffset {
    by_offset: BTreeMap<(usize, usize), Entry>,
    by_value: BTreeMap<i64, (usize, usize)>,
}

impl Invariant for OneContentPerOffset {
    fn name(&self) -> &'static str {
        "one-content-per-offset"
    }

    fn see(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), String> {
        let Fact::Acked { partition, all: true, at, entry, .. } = fact else { return Ok(()) };
        let place = (*partition, *at);
        let known = *self.by_offset.entry(place).or_insert(*entry);
        if known != *entry {
            return Err(format!("offset {at} was acknowledged as {known:?} and as {entry:?}"));
        }
        let first = *self.by_value.entry(entry.value).or_insert(place);
        if first == place { Ok(()) } else { Err(format!("{entry:?} was acknowledged at {first:?} and at {place:?}")) }
    }
}
