//! Comparing logs without sending them.

use crate::walk::Found;
use crate::{ReadError, Reader};
use model::{ByteCount, Offset, OffsetRange};
use record::BatchError;
use std::fmt;
use std::ops::ControlFlow;

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

/// A hash of batches as they are on the disk, under way: made step by step, so that no step takes long.
///
/// Sound batches give the [`ContentHash`] of the range. Of one that is not, the checksum that its bytes have counts in
/// place of the one it carries: a bit that flipped on the disk makes another hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredHash {
    /// Where it goes on.
    pub next: Offset,
    /// How many batches it covers.
    pub batches: u32,
    /// Their hash.
    pub hash: ContentHash,
    /// Where the first batch begins that is not what it was written as, if one is not.
    pub damaged: Option<Offset>,
}

impl StoredHash {
    /// Nothing yet, of what begins at `from`.
    pub const fn from(from: Offset) -> Self {
        Self { next: from, batches: 0, hash: ContentHash::EMPTY, damaged: None }
    }

    fn take(&mut self, mut header: record::Header, is_sound: Result<(), BatchError>) {
        if let Err(error) = is_sound {
            self.damaged.get_or_insert(header.base_offset);
            header.crc = if let BatchError::Checksum { computed, .. } = error { computed } else { !header.crc };
        }
        self.batches = self.batches.saturating_add(1);
        self.hash = self.hash.and(&header);
        self.next = header.next_offset();
    }

    /// What follows cannot be told apart into batches.
    fn give_up(&mut self, position: u64, end: Offset) {
        self.damaged.get_or_insert(self.next);
        self.hash = ContentHash(mix(!self.hash.0 ^ position));
        self.batches = self.batches.saturating_add(1);
        self.next = end;
    }
}

impl Reader {
    /// Takes about `max` bytes more of the batches that begin in `[so_far.next, end)` into a hash; `next` is `end` once it
    /// has them all.
    ///
    /// # Errors
    /// [`ReadError`] when the log was cut meanwhile or the system does not read it. Damage is none.
    pub fn hash_stored(&self, so_far: StoredHash, end: Offset, max: ByteCount) -> Result<StoredHash, ReadError> {
        let (truncations, mut hash, mut taken) = (self.shared.truncations(), so_far, 0);
        let walked = self.each_batch(OffsetRange::new(so_far.next, end), |segment, found| {
            if taken >= max.0 {
                return Ok(ControlFlow::Break(()));
            }
            taken += found.header.size_bytes as u64;
            match segment.with_batch(found.position, &found.header, |batch| Ok(batch.verify())) {
                Ok(is_sound) => hash.take(found.header, is_sound),
                Err(ReadError::Damaged { error, .. }) => hash.take(found.header, Err(error)),
                Err(error) => return Err(error),
            }
            Ok(ControlFlow::Continue(()))
        });
        match walked {
            Ok(ControlFlow::Break(())) => {}
            Ok(ControlFlow::Continue(())) => hash.next = end,
            Err(ReadError::Damaged { position, .. }) => hash.give_up(position, end),
            Err(error) => return Err(error),
        }
        self.check_intact(truncations)?;
        Ok(hash)
    }

    /// The hash over the batches that begin in `range`.
    ///
    /// # Errors
    /// [`ReadError`] when the log cannot be read there.
    pub fn content_hash(&self, range: OffsetRange) -> Result<ContentHash, ReadError> {
        let mut hash = ContentHash::EMPTY;
        let _all = self.each_batch(range, |_, found| {
            hash = hash.and(&found.header);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(hash)
    }

    /// Reads the batches that begin in `range` and checks them against their checksums. Gives how many there are.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] names the first that is not sound.
    pub fn verify(&self, range: OffsetRange) -> Result<u64, ReadError> {
        let mut batches = 0;
        let _all = self.each_batch(range, |segment, found| {
            batches += 1;
            segment.with_batch(found.position, &found.header, |batch| {
                let damaged =
                    |error| ReadError::Damaged { path: segment.path.clone(), position: found.position, error };
                batch.verify().map(ControlFlow::Continue).map_err(damaged)
            })
        })?;
        Ok(batches)
    }

    /// Hands on the batches that begin in `range`.
    pub(crate) fn each_batch(
        &self,
        range: OffsetRange,
        mut each: impl FnMut(&crate::segment::Segment, &Found) -> Result<ControlFlow<()>, ReadError>,
    ) -> Result<ControlFlow<()>, ReadError> {
        let truncations = self.shared.truncations();
        let view = self.shared.view();
        for segment in view.segments_from(range.start.max(Offset::ZERO)) {
            let end = view.end_of(segment).position;
            let start = segment.offsets.lookup(range.start)?.min(end);
            for found in segment.walk(start, end) {
                let found = found?;
                if found.header.base_offset >= range.end {
                    return self.check_intact(truncations).map(ControlFlow::Continue);
                }
                if found.header.base_offset >= range.start && each(segment, &found)?.is_break() {
                    return self.check_intact(truncations).map(ControlFlow::Break);
                }
            }
        }
        self.check_intact(truncations).map(ControlFlow::Continue)
    }

    fn check_intact(&self, truncations: u64) -> Result<(), ReadError> {
        if self.shared.truncations() == truncations { Ok(()) } else { Err(ReadError::Truncated) }
    }
}
