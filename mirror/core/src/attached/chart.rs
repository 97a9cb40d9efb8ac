//! The map of one partition as records of a compacted topic, which is kept in both clusters of a link.
//!
//! ```text
//! key  orders/3/head        what is copied to where, how far, under which numbers; how many runs, and where they end
//! key  orders/3/000…000     the runs from source offset 0 on, some hundred of them
//! key  orders/3/000…8192    the next ones
//! ```
//!
//! A map only grows, so a change is the head and the last records of runs. Whoever reads it believes it only when all runs
//! are there that the head counts: a head that is older than its runs cuts them off, any other mixture is no map.

use super::{Copy, Entry, OffsetMap, Run, journal};
use model::Offset;
use std::collections::BTreeMap;

/// How many runs one record has at most.
const RUNS_PER_RECORD: usize = 512;
/// The version of the head.
const VERSION: u8 = 1;
/// The head before its entries: version, runs, where they end in the target.
const HEAD_BYTES: usize = 1 + 8 + 8;
const HEAD: &str = "head";

/// One record: the latest one of a key counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its key.
    pub key: String,
    /// Its value; `None` takes back what was there.
    pub value: Option<Vec<u8>>,
}

/// A partition, by topic and number.
pub type Place = (String, i32);

/// What of one partition's map is in a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chart {
    head: Option<Vec<u8>>,
    /// The records of runs by where they begin.
    runs: BTreeMap<Offset, Vec<u8>>,
}

impl Chart {
    /// Takes note of the next record of a topic.
    pub fn take_into(charts: &mut BTreeMap<Place, Self>, record: Record) {
        if let Some((place, part)) = parsed(&record.key) {
            charts.entry(place).or_default().take(part, record.value);
        }
    }

    fn take(&mut self, part: Option<Offset>, value: Option<Vec<u8>>) {
        match (part, value) {
            (None, value) => self.head = value,
            (Some(from), Some(value)) => _ = self.runs.insert(from, value),
            (Some(from), None) => _ = self.runs.remove(&from),
        }
    }

    /// The copy it tells of; `None` when it is not whole.
    pub fn copy(&self) -> Option<Copy> {
        let head = self.head.as_deref()?;
        let (fixed, entries) = head.split_at_checked(HEAD_BYTES)?;
        let (version, fixed) = fixed.split_first()?;
        let (count, target_end) = fixed.split_first_chunk::<8>()?;
        let (count, target_end) = (u64::from_be_bytes(*count), i64::from_be_bytes(target_end.try_into().ok()?));
        let mut copy = Copy::replay(whole(entries)?).ok()??;
        let runs = self.runs(copy.map().start().0, copy.position())?;
        let is_whole = *version == VERSION && runs.len() as u64 == count;
        copy.apply(&Entry::Runs(runs)).ok()?;
        (is_whole && copy.map().target_end() == Offset(target_end)).then_some(copy)
    }

    /// The runs between two source offsets, cut off there.
    fn runs(&self, start: Offset, end: Offset) -> Option<Vec<Run>> {
        let mut runs = Vec::new();
        for value in self.runs.values() {
            for entry in whole(value)? {
                let Entry::Runs(found) = entry else { return None };
                runs.extend(found.into_iter().filter(|run| run.source >= start).filter_map(|run| run.until(end)));
            }
        }
        Some(runs)
    }

    /// What has to be written so that the topic tells of `copy`, and what it then tells.
    pub fn follow(&self, place: &Place, copy: &Copy) -> (Vec<Record>, Self) {
        self.over(self.kept(copy.map()), place, copy)
    }

    /// The same when what it tells is of another copy, or of none.
    pub fn replace(&self, place: &Place, copy: &Copy) -> (Vec<Record>, Self) {
        self.over(BTreeMap::new(), place, copy)
    }

    fn over(&self, kept: BTreeMap<Offset, Vec<u8>>, place: &Place, copy: &Copy) -> (Vec<Record>, Self) {
        let mut next = Self { head: Some(head(copy)), runs: kept };
        let from = next.runs.pop_last().map(|(from, _)| from);
        let runs = copy.map().runs();
        let rest = &runs[runs.partition_point(|run| from.is_some_and(|from| run.source < from))..];
        for (index, chunk) in rest.chunks(RUNS_PER_RECORD).enumerate() {
            let key = from.filter(|_| index == 0).unwrap_or(chunk[0].source);
            next.runs.insert(key, Entry::Runs(chunk.to_vec()).encode());
        }
        (next.changes_since(self, place), next)
    }

    /// Below which source offset the map that was written had runs left out.
    fn thinned_below(&self) -> Offset {
        let entries = self.head.as_deref().and_then(|head| head.get(HEAD_BYTES..)).and_then(whole).unwrap_or_default();
        let thinned = entries.iter().find_map(|entry| match entry {
            Entry::Thinned { below } => Some(*below),
            _ => None,
        });
        thinned.unwrap_or(Offset(i64::MIN))
    }

    /// The records of runs that go on to count; all but the last never change, unless runs are left out.
    fn kept(&self, map: &OffsetMap) -> BTreeMap<Offset, Vec<u8>> {
        if self.thinned_below() != map.thinned_below() {
            return BTreeMap::new();
        }
        let start = map.start().0;
        let first = self.runs.range(..=start).next_back().map_or(start, |(from, _)| *from);
        self.runs.range(first..).map(|(from, value)| (*from, value.clone())).collect()
    }

    fn changes_since(&self, before: &Self, place: &Place) -> Vec<Record> {
        let gone = before.runs.keys().filter(|from| !self.runs.contains_key(from));
        let mut records: Vec<_> = gone.map(|from| Record { key: key(place, Some(*from)), value: None }).collect();
        let changed = self.runs.iter().filter(|(from, value)| before.runs.get(from) != Some(*value));
        records
            .extend(changed.map(|(from, value)| Record { key: key(place, Some(*from)), value: Some(value.clone()) }));
        // The head comes last: until it is there, it counts fewer runs than there are.
        if self.head != before.head {
            records.push(Record { key: key(place, None), value: self.head.clone() });
        }
        records
    }
}

impl Run {
    /// Its part before the source offset `end`.
    fn until(self, end: Offset) -> Option<Self> {
        let count = self.count.min(end.since(self.source));
        (count > 0).then_some(Self { count, ..self })
    }
}

fn whole(bytes: &[u8]) -> Option<Vec<Entry>> {
    let (entries, read) = journal::read(bytes);
    (read == bytes.len()).then_some(entries)
}

fn head(copy: &Copy) -> Vec<u8> {
    let map = copy.map();
    let mut head = vec![VERSION];
    head.extend((map.runs().len() as u64).to_be_bytes());
    head.extend(map.target_end().0.to_be_bytes());
    let told = copy.snapshot().into_iter().filter(|entry| !matches!(entry, Entry::Runs(_) | Entry::Plan(_)));
    head.extend(told.flat_map(|entry| entry.encode()));
    head
}

fn key((topic, partition): &Place, from: Option<Offset>) -> String {
    from.map_or_else(|| format!("{topic}/{partition}/{HEAD}"), |from| format!("{topic}/{partition}/{:020}", from.0))
}

fn parsed(key: &str) -> Option<(Place, Option<Offset>)> {
    let mut parts = key.rsplitn(3, '/');
    let (part, partition, topic) = (parts.next()?, parts.next()?, parts.next()?);
    let part = if part == HEAD { None } else { Some(Offset(part.parse().ok()?)) };
    Some(((topic.to_owned(), partition.parse().ok()?), part))
}

#[cfg(test)]
mod tests;
