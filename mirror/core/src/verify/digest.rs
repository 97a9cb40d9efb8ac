use super::limits::{DIGEST_KEYS_MAX, DIGEST_PASSES_MAX};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;

/// What two copies of a compacted topic have in common when the latest value of every key is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Keys that have a value.
    pub keys: u64,
    /// A sum over the hashes of keys and values: the order does not matter.
    pub hash: u64,
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys, {:016x}", self.keys, self.hash)
    }
}

/// More keys than a digest is made over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "after {DIGEST_PASSES_MAX} passes over the partition there are keys left; compare it by its checkpoints, or split it"
)]
pub struct TooManyKeys;

/// Makes a digest of the latest value per key, from the records of a log in order, in as many passes over them as memory
/// asks for: each takes the keys whose hashes lie in one range, as many as fit.
///
/// ```text
///   hashes of keys   0 ........... | ..................... | ....... MAX
///                      first pass         second pass         third
/// ```
///
/// A key whose latest record is a tombstone counts as one that was never there: the cleaner may have taken the
/// tombstone from one side already. It tells accidents apart, not forgeries.
#[derive(Clone, Debug)]
pub struct KeyDigest {
    latest: HashMap<[u8; 16], u64>,
    /// Which names this pass takes, by their first eight bytes.
    names: RangeInclusive<u64>,
    keys_max: usize,
    passes: u32,
    done: Digest,
}

impl Default for KeyDigest {
    fn default() -> Self {
        Self::within(DIGEST_KEYS_MAX)
    }
}

impl KeyDigest {
    /// One that holds so many keys at a time, each of which costs about 30 bytes.
    pub fn within(keys_max: usize) -> Self {
        assert!(keys_max > 0, "a pass gets on by at least one key");
        let done = Digest { keys: 0, hash: 0 };
        Self { latest: HashMap::new(), names: 0..=u64::MAX, keys_max, passes: 0, done }
    }

    /// Takes the next record of this pass.
    pub fn take(&mut self, key: &[u8], value: Option<&[u8]>) {
        let name = *first(&Sha256::digest(key));
        if !self.names.contains(&rank(&name)) {
            return;
        }
        let Some(value) = value else {
            self.latest.remove(&name);
            return;
        };
        let of_both = Sha256::new().chain_update(name).chain_update(value).finalize();
        self.latest.insert(name, u64::from_be_bytes(*first(&of_both)));
        while self.latest.len() > self.keys_max && self.names.start() < self.names.end() {
            self.narrow();
        }
    }

    /// Leaves half of the names to a later pass.
    fn narrow(&mut self) {
        let (first, last) = (*self.names.start(), *self.names.end());
        let names = first..=first + (last - first) / 2;
        self.latest.retain(|name, _| names.contains(&rank(name)));
        self.names = names;
    }

    /// All records were taken in this pass: the digest of them, or nothing when they are to be taken once more.
    ///
    /// # Errors
    /// [`TooManyKeys`]: no digest is made.
    pub fn end_pass(&mut self) -> Result<Option<Digest>, TooManyKeys> {
        let hash = self.latest.values().fold(self.done.hash, |sum, hash| sum.wrapping_add(*hash));
        self.done = Digest { keys: self.done.keys + self.latest.len() as u64, hash };
        self.latest.clear();
        self.passes += 1;
        let Some(next) = self.names.end().checked_add(1) else { return Ok(Some(self.done)) };
        self.names = next..=u64::MAX;
        if self.passes < DIGEST_PASSES_MAX { Ok(None) } else { Err(TooManyKeys) }
    }
}

fn first<const N: usize>(hash: &[u8]) -> &[u8; N] {
    hash.first_chunk().expect("it has so many bytes")
}

fn rank(name: &[u8; 16]) -> u64 {
    u64::from_be_bytes(*first(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digest(records: &[(u8, Option<u8>)]) -> Digest {
        made(KeyDigest::default(), records).unwrap()
    }

    fn made(mut digest: KeyDigest, records: &[(u8, Option<u8>)]) -> Result<Digest, TooManyKeys> {
        loop {
            records.iter().for_each(|(key, value)| digest.take(&[*key], value.as_ref().map(std::slice::from_ref)));
            if let Some(digest) = digest.end_pass()? {
                return Ok(digest);
            }
        }
    }

    /// What compaction leaves: the latest record of each key, in order, and perhaps no tombstones.
    fn compacted(records: &[(u8, Option<u8>)], tombstones: bool) -> Vec<(u8, Option<u8>)> {
        let is_latest = |at: usize| records[at + 1..].iter().all(|(key, _)| *key != records[at].0);
        let kept = (0..records.len()).filter(|at| is_latest(*at)).map(|at| records[at]);
        kept.filter(|(_, value)| tombstones || value.is_some()).collect()
    }

    proptest! {
        #[test]
        fn compaction_changes_no_digest(
            records in prop::collection::vec((0..6_u8, prop::option::of(0..3_u8)), 0..40),
            cleaned in 0..40_usize,
            tombstones: bool,
        ) {
            let whole = digest(&records);
            prop_assert_eq!(whole, digest(&compacted(&records, tombstones)));
            let (head, tail) = records.split_at(cleaned.min(records.len()));
            // A cleaner that has come to the middle keeps tombstones that hide nothing before them.
            prop_assert_eq!(whole, digest(&[&compacted(head, tombstones)[..], tail].concat()));
        }

        #[test]
        fn memory_costs_passes_and_changes_no_digest(
            records in prop::collection::vec((any::<u8>(), prop::option::of(0..3_u8)), 0..200),
            keys_max in 8..100_usize,
        ) {
            prop_assert_eq!(made(KeyDigest::within(keys_max), &records), Ok(digest(&records)));
        }

        #[test]
        fn another_value_is_another_digest(
            records in prop::collection::vec((0..6_u8, prop::option::of(0..3_u8)), 1..40),
            at: prop::sample::Index,
        ) {
            let mut other = compacted(&records, false);
            prop_assume!(!other.is_empty());
            let at = at.index(other.len());
            other[at].1 = Some(9);
            prop_assert_ne!(digest(&records), digest(&other));
            other.remove(at);
            prop_assert_ne!(digest(&records), digest(&other));
        }
    }

    #[test]
    fn more_keys_than_all_passes_take_have_no_digest() {
        let records: Vec<_> = (0..=255).map(|key| (key, Some(1))).collect();
        assert_eq!(made(KeyDigest::within(1), &records), Err(TooManyKeys));
        assert_eq!(made(KeyDigest::within(1), &records[..8]).map(|digest| digest.keys), Ok(8));
    }

    #[test]
    fn a_deleted_key_is_one_that_never_was() {
        assert_eq!(digest(&[(1, Some(2)), (1, None)]), digest(&[]));
        assert_eq!(digest(&[(1, Some(2))]).keys, 1);
    }
}
