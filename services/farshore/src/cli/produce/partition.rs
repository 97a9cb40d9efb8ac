//! Which partition a record goes to.

use std::collections::BTreeMap;

/// Keys decide as in Apache Kafka's own clients; records without one take turns.
pub(super) struct Partitioner {
    count: i32,
    fixed: Option<i32>,
    next: i32,
}

impl Partitioner {
    /// Over `count` partitions, or always the `fixed` one.
    pub(super) fn new(count: i32, fixed: Option<i32>) -> Self {
        Self { count, fixed, next: 0 }
    }

    /// The messages by partition, each partition's in their order.
    pub(super) fn split<T>(&mut self, messages: Vec<T>, key: impl Fn(&T) -> Option<&str>) -> BTreeMap<i32, Vec<T>> {
        let mut parts: BTreeMap<i32, Vec<T>> = BTreeMap::new();
        for message in messages {
            let partition = self.of(key(&message));
            parts.entry(partition).or_default().push(message);
        }
        parts
    }

    fn of(&mut self, key: Option<&str>) -> i32 {
        match (self.fixed, key) {
            (Some(fixed), _) => fixed,
            (None, Some(key)) => (murmur2(key.as_bytes()) & 0x7fff_ffff) as i32 % self.count,
            (None, None) => {
                self.next = (self.next + 1) % self.count;
                self.next
            }
        }
    }
}

/// The hash by which Kafka's Java client spreads keys: MurmurHash2 with its seed.
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    let mut hash = SEED ^ data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let k = u32::from_le_bytes(*word).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ (k ^ (k >> R)).wrapping_mul(M);
    }
    if !rest.is_empty() {
        let last = rest.iter().rev().fold(0_u32, |last, byte| (last << 8) | u32::from(*byte));
        hash = (hash ^ last).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_hash_as_in_apache_kafka() {
        // From the tests of org.apache.kafka.common.utils.Utils.
        let known = [("21", -973_932_308), ("foobar", -790_332_482), ("a-little-bit-long-string", -985_981_536)];
        for (key, hash) in known {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }

    #[test]
    fn records_without_a_key_take_turns() {
        let parts = Partitioner::new(3, None).split(vec![1, 2, 3, 4, 5, 6], |_| None);
        assert_eq!(parts.values().map(Vec::len).collect::<Vec<_>>(), [2, 2, 2]);
        let parts = Partitioner::new(3, Some(1)).split(vec![1, 2], |_| Some("k"));
        assert_eq!(parts, BTreeMap::from([(1, vec![1, 2])]));
    }
}
