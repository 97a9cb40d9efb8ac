use super::limits::DIGEST_KEYS_MAX;
use model::Offset;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fmt;

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
#[error("the partition has more than {DIGEST_KEYS_MAX} keys; compare it by its checkpoints, or split it")]
pub struct TooManyKeys;

/// Makes a digest of the latest value per key, from the records of a log in order, below [`digest_offset`].
///
/// A key whose latest record is a tombstone counts as one that was never there: the cleaner may have taken the
/// tombstone from one side already. It tells accidents apart, not forgeries; each key costs about 40 bytes meanwhile.
#[derive(Clone, Debug, Default)]
pub struct KeyDigest {
    latest: HashMap<[u8; 16], u64>,
}

impl KeyDigest {
    /// Takes the next record.
    ///
    /// # Errors
    /// [`TooManyKeys`]: no digest is made.
    pub fn take(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), TooManyKeys> {
        let name = *first(&Sha256::digest(key));
        let Some(value) = value else {
            self.latest.remove(&name);
            return Ok(());
        };
        if self.latest.len() >= DIGEST_KEYS_MAX && !self.latest.contains_key(&name) {
            return Err(TooManyKeys);
        }
        let of_both = Sha256::new().chain_update(name).chain_update(value).finalize();
        self.latest.insert(name, u64::from_be_bytes(*first(&of_both)));
        Ok(())
    }

    /// The digest of everything so far.
    pub fn digest(&self) -> Digest {
        let hash = self.latest.values().fold(0_u64, |sum, hash| sum.wrapping_add(*hash));
        Digest { keys: self.latest.len() as u64, hash }
    }
}

fn first<const N: usize>(hash: &[u8]) -> &[u8; N] {
    hash.first_chunk().expect("a SHA-256 has 32 bytes")
}

/// One side of a compacted partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DigestSide {
    /// Below it the cleaner may have taken away what a later record replaces.
    pub cleaned_to: Offset,
    /// Its high watermark.
    pub high_watermark: Offset,
}

/// Up to where digests of both sides can be compared: neither was cleaned above it, so each still has, of every key,
/// the latest record below it. `None` while one side has cleaned more than the other has: then later.
pub fn digest_offset(one: DigestSide, other: DigestSide) -> Option<Offset> {
    let to = one.high_watermark.min(other.high_watermark);
    (one.cleaned_to.max(other.cleaned_to) <= to).then_some(to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digest(records: &[(u8, Option<u8>)]) -> Digest {
        let mut digest = KeyDigest::default();
        for (key, value) in records {
            digest.take(&[*key], value.as_ref().map(std::slice::from_ref)).unwrap();
        }
        digest.digest()
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
    fn digests_are_compared_where_neither_side_was_cleaned() {
        let side = |cleaned_to, high_watermark| DigestSide {
            cleaned_to: Offset(cleaned_to),
            high_watermark: Offset(high_watermark),
        };
        assert_eq!(digest_offset(side(5, 90), side(20, 80)), Some(Offset(80)));
        assert_eq!(digest_offset(side(85, 90), side(20, 80)), None);
    }

    #[test]
    fn a_deleted_key_is_one_that_never_was() {
        assert_eq!(digest(&[(1, Some(2)), (1, None)]), digest(&[]));
        assert_eq!(digest(&[(1, Some(2))]).keys, 1);
    }
}
