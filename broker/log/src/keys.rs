//! The records of a log as its keys have them.

use crate::compact::aborted;
use crate::segment::Segment;
use crate::walk::Found;
use crate::{ReadError, Reader};
use model::{ByteCount, Offset, OffsetRange, limits};
use std::ops::ControlFlow;

impl Reader {
    /// Hands the key and the value of each record that compaction may keep to `take`, in order: those that have a key and
    /// are of no aborted transaction, in about `max` bytes of the batches that begin in `range`. Gives where to go on, which
    /// is the end of the range once it has handed on all of them, and how many bytes it read.
    ///
    /// # Errors
    /// [`ReadError`]: what was handed on is not all there is.
    pub fn read_keys(
        &self,
        range: OffsetRange,
        max: ByteCount,
        mut take: impl FnMut(&[u8], Option<&[u8]>),
    ) -> Result<(Offset, ByteCount), ReadError> {
        let aborted = aborted(&self.shared.view().segments);
        let (mut next, mut read) = (range.start, 0);
        let walked = self.each_batch(range, |segment, found| {
            if read >= max.0 {
                return Ok(ControlFlow::Break(()));
            }
            read += found.header.size_bytes as u64;
            if !found.header.attributes.is_control() && !aborted.covers(&found.header) {
                hand_on(segment, found, &mut take)?;
            }
            next = found.header.next_offset();
            Ok(ControlFlow::Continue(()))
        })?;
        Ok((if walked.is_continue() { range.end } else { next }, ByteCount(read)))
    }
}

fn hand_on(segment: &Segment, found: &Found, take: &mut impl FnMut(&[u8], Option<&[u8]>)) -> Result<(), ReadError> {
    let base_offset = found.header.base_offset;
    segment.with_batch(found.position, &found.header, |batch| {
        let damaged = |error| ReadError::Damaged { path: segment.path.clone(), position: found.position, error };
        batch.verify().map_err(damaged)?;
        let undecodable = |error| ReadError::Records { base_offset, error };
        for record in batch.records(limits::DECOMPRESSED_BYTES_MAX).map_err(undecodable)? {
            let record = record.map_err(undecodable)?;
            record.key.iter().for_each(|key| take(key, record.value.as_deref()));
        }
        Ok(())
    })
}
