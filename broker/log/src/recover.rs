//! Recovery: from the bytes of a segment to the batches that can be trusted. Pure.

use model::{LeaderEpoch, Offset};
use record::{BatchError, BatchView, Header};

/// What the next batch of a segment must go with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    /// The segment's base.
    pub(crate) base: Offset,
    /// The tail before the batch.
    pub(crate) next: Offset,
    /// The epoch of the batch before.
    pub(crate) epoch: LeaderEpoch,
}

/// Why a segment ends where it does, other than by its file's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Defect {
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error("a batch begins at offset {base_offset}, before the tail {tail}")]
    Overlap { base_offset: Offset, tail: Offset },
    #[error("a batch ends at offset {last_offset}, too far from the segment's base {base}")]
    TooFar { last_offset: Offset, base: Offset },
    #[error("a batch has leader epoch {epoch} behind epoch {latest}")]
    EpochWentBack { epoch: LeaderEpoch, latest: LeaderEpoch },
}

impl Expected {
    /// Whether a batch with this header can come next.
    pub(crate) fn check(&self, header: &Header) -> Result<(), Defect> {
        let Header { base_offset, leader_epoch: epoch, .. } = *header;
        let (tail, latest, last_offset, base) = (self.next, self.epoch, header.last_offset(), self.base);
        if base_offset < tail {
            return Err(Defect::Overlap { base_offset, tail });
        }
        if epoch < latest {
            return Err(Defect::EpochWentBack { epoch, latest });
        }
        if base_offset < base || last_offset.since(base) > i32::MAX as u64 {
            return Err(Defect::TooFar { last_offset, base });
        }
        Ok(())
    }

    /// Where the epoch of a batch that came next starts.
    pub(crate) fn epoch_start(&self, header: &Header) -> Offset {
        if header.opens_hole_behind(self.next) { self.next } else { header.base_offset }
    }

    pub(crate) fn advance(&mut self, header: &Header) {
        self.next = header.next_offset();
        self.epoch = header.leader_epoch;
    }
}

/// Hands every batch that can be trusted to `each`, until one cannot. Gives the bytes taken, and why it stopped;
/// [`BatchError::Truncated`] may mean that more bytes are to come.
pub(crate) fn scan(
    bytes: &[u8],
    expected: &mut Expected,
    mut each: impl FnMut(&BatchView<'_>, &Expected),
) -> (usize, Option<Defect>) {
    let mut position = 0;
    while position < bytes.len() {
        match next_batch(&bytes[position..], expected) {
            Ok(batch) => {
                each(&batch, expected);
                expected.advance(&batch);
                position += batch.size_bytes;
            }
            Err(defect) => return (position, Some(defect)),
        }
    }
    (position, None)
}

fn next_batch<'a>(bytes: &'a [u8], expected: &Expected) -> Result<BatchView<'a>, Defect> {
    let batch = BatchView::parse(bytes)?;
    batch.verify()?;
    expected.check(&batch)?;
    Ok(batch)
}

/// Whether a sound batch follows the bad one at the front of `bytes`: then this is damage, not the torn end of what was
/// written last.
pub(crate) fn sound_behind(bytes: &[u8]) -> bool {
    let behind = Header::parse(bytes).ok().and_then(|header| bytes.get(header.size_bytes..));
    behind.is_some_and(|rest| BatchView::parse(rest).is_ok_and(|batch| batch.verify().is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::BatchBuilder;

    fn batch(offset: i64, epoch: i32) -> Vec<u8> {
        let builder = BatchBuilder::new().base_offset(Offset(offset)).leader_epoch(LeaderEpoch(epoch));
        builder.record(1, Some(b"key"), Some(b"a value"), &[]).record(2, None, None, &[]).build()
    }

    fn expected() -> Expected {
        Expected { base: Offset(10), next: Offset(10), epoch: LeaderEpoch(2) }
    }

    fn scanned(bytes: &[u8]) -> (usize, Option<Defect>, Offset) {
        let mut expected = expected();
        let mut batches = 0;
        let (_, defect) = scan(bytes, &mut expected, |_, _| batches += 1);
        (batches, defect, expected.next)
    }

    #[test]
    fn a_log_cut_at_any_byte_keeps_its_whole_batches() {
        let batches = [batch(10, 2), batch(12, 2), batch(20, 3)];
        let bytes = batches.concat();
        for cut in 0..=bytes.len() {
            let whole = cut / batches[0].len();
            let (found, defect, next) = scanned(&bytes[..cut]);
            assert_eq!((found, defect.is_none()), (whole, cut % batches[0].len() == 0), "cut at {cut}");
            assert_eq!(next.0, [10, 12, 14, 22][whole]);
        }
    }

    #[test]
    fn a_log_with_any_bit_flipped_keeps_what_lies_before() {
        let batches = [batch(10, 2), batch(12, 2)];
        let bytes = batches.concat();
        for at in batches[0].len()..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x40;
            // Base offset and epoch are not covered by the checksum: a change forward cannot be told from a gap.
            let in_prefix = (0..8).contains(&(at - batches[0].len())) || (12..16).contains(&(at - batches[0].len()));
            let (found, defect, _) = scanned(&damaged);
            assert!(in_prefix || (found == 1 && defect.is_some()), "byte {at}: {found} {defect:?}");
        }
    }

    #[test]
    fn batches_that_go_back_are_defects() {
        let after = |second: Vec<u8>| scanned(&[batch(10, 2), second].concat()).1;
        assert!(matches!(after(batch(11, 2)), Some(Defect::Overlap { .. })));
        assert!(matches!(after(batch(12, 1)), Some(Defect::EpochWentBack { .. })));
        assert!(matches!(after(batch(10 + (1 << 31), 2)), Some(Defect::TooFar { .. })));
        assert_eq!(after(batch(9 + (1 << 31) - 1, 2)), None);
        assert!(matches!(after(vec![0; 4096]), Some(Defect::Batch(BatchError::Magic(0)))));
    }

    #[test]
    fn damage_is_told_from_a_torn_end() {
        let mut bytes = [batch(10, 2), batch(12, 2)].concat();
        let half = bytes.len() / 2;
        bytes[half - 1] ^= 1;
        assert!(sound_behind(&bytes));
        assert!(!sound_behind(&bytes[..half]));
        assert!(!sound_behind(&bytes[..half + 70]));
    }
}
