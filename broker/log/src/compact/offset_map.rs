//! Where each key was last, in bounded memory: keys are kept as 128-bit hashes.

use model::{ByteCount, Offset};
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

/// What one key takes, at the load at which the table grows.
const ENTRY_BYTES: u64 = 96;

/// Two hashes of a key under secrets of this process: what two keys share by accident, or because somebody looked for
/// it, is beyond reach (128 bits, as Kafka's own map has).
type Digest = [u64; 2];

pub(super) struct OffsetMap {
    secrets: [RandomState; 2],
    offsets: HashMap<Digest, Offset, BuildHasherDefault<FirstWord>>,
    entries_max: usize,
    /// Every record below was noted.
    pub(super) end: Offset,
}

impl OffsetMap {
    /// An empty map that takes no more than `memory`, for records from `from` on.
    pub(super) fn within(memory: ByteCount, from: Offset) -> Self {
        let entries_max = usize::try_from(memory.0 / ENTRY_BYTES).unwrap_or(usize::MAX).max(1);
        let secrets = [RandomState::new(), RandomState::new()];
        Self { secrets, offsets: HashMap::default(), entries_max, end: from }
    }

    /// Whether as many more keys fit; the first ones always do.
    pub(super) fn has_room_for(&self, keys: usize) -> bool {
        self.offsets.is_empty() || self.offsets.len() + keys <= self.entries_max
    }

    pub(super) fn note(&mut self, key: &[u8], offset: Offset) {
        self.offsets.insert(self.digest(key), offset);
    }

    /// Whether no later record of `key` was noted than the one at `offset`.
    pub(super) fn is_latest(&self, key: &[u8], offset: Offset) -> bool {
        self.offsets.get(&self.digest(key)).is_none_or(|latest| offset >= *latest)
    }

    fn digest(&self, key: &[u8]) -> Digest {
        [0, 1].map(|at: usize| {
            let mut hasher = self.secrets[at].build_hasher();
            hasher.write(key);
            hasher.finish()
        })
    }
}

/// A digest needs no hashing again.
#[derive(Default)]
pub(super) struct FirstWord(u64);

impl Hasher for FirstWord {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let first = bytes.first_chunk().map_or(0, |word| u64::from_ne_bytes(*word));
        self.0 ^= first;
    }

    fn write_usize(&mut self, _length: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_offset_of_a_key_counts() {
        let mut map = OffsetMap::within(ByteCount::mib(1), Offset(0));
        map.note(b"a", Offset(1));
        map.note(b"b", Offset(2));
        map.note(b"a", Offset(3));
        assert_eq!([1, 3, 4].map(|offset| map.is_latest(b"a", Offset(offset))), [false, true, true]);
        assert!(map.is_latest(b"b", Offset(2)) && map.is_latest(b"c", Offset(0)));
    }

    #[test]
    fn memory_is_bounded_but_for_the_first_batch() {
        let mut map = OffsetMap::within(ByteCount(ENTRY_BYTES * 3), Offset(0));
        assert!(map.has_room_for(9));
        map.note(b"a", Offset(1));
        assert!(map.has_room_for(2) && !map.has_room_for(3));
    }

    #[test]
    fn many_keys_are_told_apart() {
        let mut map = OffsetMap::within(ByteCount::mib(64), Offset(0));
        for n in 0..50_000i64 {
            map.note(&n.to_be_bytes(), Offset(n));
        }
        assert_eq!(map.offsets.len(), 50_000);
        assert!(
            (0..50_000i64)
                .all(|n| map.is_latest(&n.to_be_bytes(), Offset(n)) && !map.is_latest(&n.to_be_bytes(), Offset(n - 1)))
        );
    }
}
