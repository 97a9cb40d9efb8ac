//! What really happened, and what has to follow from it: told by sets of records, not by vectors.

use mirror_core::active::{Dot, HybridTime, Policy};
use std::collections::{BTreeMap, BTreeSet};

/// Some of the records of a run, by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Records(Vec<u64>);

impl Records {
    pub(super) fn add(&mut self, record: usize) {
        if self.0.len() <= record / 64 {
            self.0.resize(record / 64 + 1, 0);
        }
        self.0[record / 64] |= 1 << (record % 64);
    }

    pub(super) fn has(&self, record: usize) -> bool {
        self.0.get(record / 64).is_some_and(|word| word & 1 << (record % 64) != 0)
    }

    /// Whether all of `other` are among them.
    pub(super) fn includes(&self, other: &Self) -> bool {
        other.0.iter().enumerate().all(|(at, word)| word & !self.0.get(at).copied().unwrap_or_default() == 0)
    }
}

/// One record as it was written.
#[derive(Clone, Debug)]
pub(super) struct Truth {
    pub(super) dot: Dot,
    pub(super) key: Option<u8>,
    pub(super) time: HybridTime,
    /// What its region's log held before it.
    pub(super) held: Records,
    /// Whether the client was told that it is safe.
    pub(super) acked: bool,
    /// Whether a crash took it before anybody could have seen it.
    pub(super) gone: bool,
}

/// What has to be in every region in the end.
#[derive(Debug, Default)]
pub(super) struct Expected {
    /// The last record of each key.
    pub(super) standing: BTreeMap<u8, usize>,
    /// The versions that lost to one that knew nothing of them.
    pub(super) lost: BTreeSet<Dot>,
}

pub(super) fn expected(truths: &[Truth], policy: &Policy) -> Expected {
    let mut expected = Expected::default();
    let mut keys: BTreeMap<u8, Vec<usize>> = BTreeMap::new();
    for (record, truth) in truths.iter().enumerate().filter(|(_, truth)| !truth.gone) {
        keys.entry(truth.key.unwrap_or(u8::MAX)).or_default().push(record);
    }
    keys.remove(&u8::MAX);
    for (key, records) in keys {
        let knows = |one: usize, other: usize| truths[one].held.has(other);
        let better = |one: usize, other: usize| beats(policy, &truths[one], &truths[other]);
        for one in &records {
            let rivals = records.iter().filter(|other| *other != one && !knows(*one, **other) && !knows(**other, *one));
            if rivals.clone().any(|other| better(*other, *one)) {
                expected.lost.insert(truths[*one].dot);
            }
        }
        let last = records.iter().copied().filter(|one| !records.iter().any(|other| knows(*other, *one)));
        let standing = last.reduce(|one, other| if better(other, one) { other } else { one });
        expected.standing.extend(standing.map(|record| (key, record)));
    }
    expected
}

/// Whether `one` stands over `other`, which knew nothing of each other.
fn beats(policy: &Policy, one: &Truth, other: &Truth) -> bool {
    let later = (one.time, one.dot) > (other.time, other.dot);
    match policy {
        Policy::LastWriterWins | Policy::KeepBoth => later,
        Policy::Quarantine => one.time < other.time || one.time == other.time && one.dot > other.dot,
        Policy::RegionPriority { order } => {
            let place =
                |truth: &Truth| order.iter().position(|region| *region == truth.dot.origin).unwrap_or(usize::MAX);
            place(one) < place(other) || place(one) == place(other) && later
        }
    }
}
