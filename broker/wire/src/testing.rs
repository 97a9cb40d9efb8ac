//! Generated messages, for tests: every field that a version has, filled from a seed.

use crate::codec::{Double, Records, Tags, Version};
use bytes::Bytes;
use model::TopicId;
use uuid::Uuid;

/// A value made up from a seed.
pub trait Generate: Sized {
    /// The next one.
    fn generate(random: &mut Random, version: Version) -> Self;
}

/// A small reproducible source of numbers (splitmix64).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.bits() % limit
    }

    /// True once in `n` times.
    pub fn chance(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Fewer than `limit` bytes.
    pub fn bytes(&mut self, limit: u64) -> Vec<u8> {
        (0..self.below(limit)).map(|_| self.bits() as u8).collect()
    }

    /// Now and then tagged fields that no version has.
    pub(crate) fn unknown_tags(&mut self) -> Tags {
        let mut tags = Tags::default();
        if self.chance(6) {
            tags.push(1000 + self.below(100) as u32, self.bytes(200).into());
            tags.push(100_000 + self.below(1 << 20) as u32, self.bytes(20).into());
        }
        tags
    }
}

macro_rules! generate_numbers {
    ($($number:ty),*) => { $(
        impl Generate for $number {
            fn generate(random: &mut Random, _: Version) -> Self {
                match random.below(8) {
                    0 => 0,
                    1 => <$number>::MAX,
                    2 => <$number>::MIN,
                    _ => random.bits() as $number,
                }
            }
        }
    )* };
}
generate_numbers!(i8, i16, i32, i64, u16);

impl Generate for bool {
    fn generate(random: &mut Random, _: Version) -> Self {
        random.chance(2)
    }
}

impl Generate for Double {
    fn generate(random: &mut Random, _: Version) -> Self {
        Self(f64::from_bits(random.bits()))
    }
}

impl Generate for Uuid {
    fn generate(random: &mut Random, _: Version) -> Self {
        Uuid::from_u64_pair(random.bits(), random.bits())
    }
}

impl Generate for crate::ErrorCode {
    fn generate(random: &mut Random, _: Version) -> Self {
        Self(random.below(140) as i16 - 1)
    }
}

impl Generate for TopicId {
    fn generate(random: &mut Random, version: Version) -> Self {
        Self(Uuid::generate(random, version))
    }
}

impl Generate for String {
    fn generate(random: &mut Random, _: Version) -> Self {
        const ALPHABET: [char; 8] = ['a', 'b', 'z', '.', '-', '7', 'ß', '岸'];
        let limit = if random.chance(20) { 300 } else { 12 };
        (0..random.below(limit)).map(|_| ALPHABET[random.below(8) as usize]).collect()
    }
}

impl Generate for Bytes {
    fn generate(random: &mut Random, _: Version) -> Self {
        let limit = if random.chance(20) { 5000 } else { 40 };
        random.bytes(limit).into()
    }
}

impl Generate for Records {
    fn generate(random: &mut Random, version: Version) -> Self {
        Self::Bytes(Bytes::generate(random, version))
    }
}

impl<T: Generate> Generate for Vec<T> {
    fn generate(random: &mut Random, version: Version) -> Self {
        let limit = if random.chance(30) { 140 } else { 4 };
        (0..random.below(limit)).map(|_| T::generate(random, version)).collect()
    }
}

impl<T> Generate for Option<Vec<T>>
where
    Vec<T>: Generate,
{
    fn generate(random: &mut Random, version: Version) -> Self {
        (!random.chance(4)).then(|| Vec::generate(random, version))
    }
}

macro_rules! generate_options {
    ($($type:ty),*) => { $(
        impl Generate for Option<$type> {
            fn generate(random: &mut Random, version: Version) -> Self {
                (!random.chance(4)).then(|| <$type>::generate(random, version))
            }
        }
    )* };
}
generate_options!(String, Bytes);
