//! Comparing logs without sending them.

use crate::walk::Found;
use crate::{ReadError, Reader};
use model::{Offset, OffsetRange};
use std::fmt;

/// A hash over the batches of a range: two logs whose hashes are equal hold the same batches at the same offsets.
///
/// It is a chain over (base offset, size, leader epoch, CRC-32C) of each batch, and the CRC covers the rest of the
/// batch; so no payload is read. It tells accidents apart, not forgeries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentHash(pub u64);

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl ContentHash {
    /// The hash of no batch at all.
    pub const EMPTY: Self = Self(0x6a09_e667_f3bc_c908);

    /// The hash with one batch more.
    #[must_use]
    pub fn and(self, batch: &record::Header) -> Self {
        let words = [
            batch.base_offset.0 as u64,
            (batch.size_bytes as u64) << 32 | u64::from(batch.leader_epoch.0 as u32),
            u64::from(batch.crc),
        ];
        Self(words.into_iter().fold(self.0, |hash, word| mix(hash ^ word)))
    }
}

/// The finalizer of SplitMix64: a bijection in which every input bit reaches every output bit.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl Reader {
    /// The hash over the batches that begin in `range`.
    ///
    /// # Errors
    /// [`ReadError`] when the log cannot be read there.
    pub fn content_hash(&self, range: OffsetRange) -> Result<ContentHash, ReadError> {
        let mut hash = ContentHash::EMPTY;
        self.each_batch(range, |_, found| {
            hash = hash.and(&found.header);
            Ok(())
        })?;
        Ok(hash)
    }

    /// Reads the batches that begin in `range` and checks them against their checksums. Gives how many there are.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] names the first that is not sound.
    pub fn verify(&self, range: OffsetRange) -> Result<u64, ReadError> {
        let mut batches = 0;
        self.each_batch(range, |segment, found| {
            batches += 1;
            segment.with_batch(found.position, &found.header, |batch| {
                let damaged =
                    |error| ReadError::Damaged { path: segment.path.clone(), position: found.position, error };
                batch.verify().map_err(damaged)
            })
        })?;
        Ok(batches)
    }

    fn each_batch(
        &self,
        range: OffsetRange,
        mut each: impl FnMut(&crate::segment::Segment, &Found) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let truncations = self.shared.truncations();
        let view = self.shared.view();
        for segment in view.segments_from(range.start.max(Offset::ZERO)) {
            let end = view.end_of(segment).position;
            let start = segment.offsets.lookup(range.start)?.min(end);
            for found in segment.walk(start, end) {
                let found = found?;
                if found.header.base_offset >= range.end {
                    return self.check_intact(truncations);
                }
                if found.header.base_offset >= range.start {
                    each(segment, &found)?;
                }
            }
        }
        self.check_intact(truncations)
    }

    fn check_intact(&self, truncations: u64) -> Result<(), ReadError> {
        if self.shared.truncations() == truncations { Ok(()) } else { Err(ReadError::Truncated) }
    }
}
