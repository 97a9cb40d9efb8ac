//! What a log writes into a batch it takes in.
//!
//! Base offset and leader epoch stand before the checksum and are free to change. The append time is covered by it.

use crate::header::{ATTRIBUTES_AT, CRC_AT, LEADER_EPOCH_AT, MAGIC, MAX_TIMESTAMP_AT};
use crate::{Attributes, BatchView, HEADER_BYTES, Header, PREFIX_BYTES, SIZE_PREFIX_BYTES, checksum};
use model::{LeaderEpoch, Offset, ProducerId, Timestamp};

/// Writes `offset` as the base offset of the batch at the start of `batch`.
///
/// # Panics
/// When less than a header is there.
pub fn set_base_offset(batch: &mut [u8], offset: Offset) {
    batch[..8].copy_from_slice(&offset.0.to_be_bytes());
}

/// Writes `epoch` as the leader epoch of the batch at the start of `batch`.
///
/// # Panics
/// When less than a header is there.
pub fn set_leader_epoch(batch: &mut [u8], epoch: LeaderEpoch) {
    batch[LEADER_EPOCH_AT..PREFIX_BYTES].copy_from_slice(&epoch.0.to_be_bytes());
}

/// The first [`PREFIX_BYTES`] of a batch of `size_bytes` that is appended at `offset` under `epoch`.
pub fn encode_prefix(offset: Offset, size_bytes: usize, epoch: LeaderEpoch) -> [u8; PREFIX_BYTES] {
    let mut prefix = [0; PREFIX_BYTES];
    set_base_offset(&mut prefix, offset);
    prefix[8..SIZE_PREFIX_BYTES].copy_from_slice(&((size_bytes - SIZE_PREFIX_BYTES) as i32).to_be_bytes());
    set_leader_epoch(&mut prefix, epoch);
    prefix
}

/// The batch that `header` describes, but for its size and checksum, with these records.
pub(crate) fn assemble(header: &Header, records: &[u8]) -> Vec<u8> {
    let size_bytes = HEADER_BYTES + records.len();
    let mut out = Vec::with_capacity(size_bytes);
    out.extend(encode_prefix(header.base_offset, size_bytes, header.leader_epoch));
    out.extend(MAGIC.to_be_bytes());
    out.extend([0; 4]);
    out.extend(header.attributes.0.to_be_bytes());
    out.extend(header.last_offset_delta.to_be_bytes());
    out.extend(header.base_timestamp.0.to_be_bytes());
    out.extend(header.max_timestamp.0.to_be_bytes());
    out.extend(header.producer_id.0.to_be_bytes());
    out.extend(header.producer_epoch.to_be_bytes());
    out.extend(header.base_sequence.to_be_bytes());
    out.extend(header.count.to_be_bytes());
    debug_assert_eq!((out.len(), PREFIX_BYTES + 1), (HEADER_BYTES, CRC_AT));
    out.extend(records);
    let crc = checksum::crc32c(&out[ATTRIBUTES_AT..]);
    out[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
    out
}

/// The batch as an idempotent producer of another log sends it: its records as they stand, compressed or not, under that
/// producer's numbers. It begins at offset 0 of no leader epoch, and belongs to no transaction; when compaction may take
/// its tombstones is the other log's to say.
///
/// Only a batch without holes whose times are its records' own can go this way: a broker takes no other (KIP-32, KIP-98).
pub fn adopted(batch: &BatchView<'_>, producer: ProducerId, epoch: i16, base_sequence: i32) -> Vec<u8> {
    let attributes = Attributes(batch.attributes.0 & !(Attributes::TRANSACTIONAL | Attributes::DELETE_HORIZON));
    let header = Header {
        base_offset: Offset::ZERO,
        leader_epoch: LeaderEpoch::NONE,
        attributes,
        producer_id: producer,
        producer_epoch: epoch,
        base_sequence,
        ..*batch.header()
    };
    assemble(&header, batch.payload())
}

/// The header of `batch` with its time made the append time `now` (KIP-32): attribute bit 3, the largest timestamp,
/// and the checksum, which covers both. The records stay as they are.
pub fn stamped_header(batch: &BatchView<'_>, now: Timestamp) -> [u8; HEADER_BYTES] {
    let mut header: [u8; HEADER_BYTES] = batch.bytes()[..HEADER_BYTES].try_into().expect("a view holds a header");
    let attributes = batch.attributes.0 | Attributes::APPEND_TIME;
    header[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&attributes.to_be_bytes());
    header[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8].copy_from_slice(&now.0.to_be_bytes());
    let crc = checksum::crc32c_of_parts(&[&header[ATTRIBUTES_AT..], batch.payload()]);
    header[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
    header
}

/// Makes `now` the append time of the batch at the start of `batch`, in place; see [`stamped_header`].
///
/// # Errors
/// [`crate::BatchError`] when no whole batch is there.
pub fn stamp_append_time(batch: &mut [u8], now: Timestamp) -> Result<(), crate::BatchError> {
    let header = stamped_header(&BatchView::parse(batch)?, now);
    batch[..HEADER_BYTES].copy_from_slice(&header);
    Ok(())
}

/// The sequence number `steps` behind `sequence`: after `i32::MAX` comes 0.
pub const fn sequence_after(sequence: i32, steps: i32) -> i32 {
    ((sequence as i64 + steps as i64).rem_euclid(1 << 31)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BatchBuilder;

    #[test]
    fn offset_and_epoch_change_without_the_checksum() {
        let mut batch = BatchBuilder::new().record(5, Some(b"k"), Some(b"v"), &[]).build();
        let size = batch.len();
        set_base_offset(&mut batch, Offset(1 << 40));
        set_leader_epoch(&mut batch, LeaderEpoch(4097));
        let view = BatchView::parse(&batch).unwrap();
        view.verify().unwrap();
        assert_eq!((view.base_offset, view.leader_epoch), (Offset(1 << 40), LeaderEpoch(4097)));
        assert_eq!(batch[..PREFIX_BYTES], encode_prefix(Offset(1 << 40), size, LeaderEpoch(4097)));
    }

    #[test]
    fn append_time_replaces_the_time_of_every_record() {
        let mut batch = BatchBuilder::new().record(5, None, Some(b"a"), &[]).record(9, None, Some(b"b"), &[]).build();
        stamp_append_time(&mut batch, Timestamp(77)).unwrap();
        let view = BatchView::parse(&batch).unwrap();
        view.verify().unwrap();
        assert!(view.attributes.is_append_time());
        assert_eq!((view.base_timestamp, view.max_timestamp), (Timestamp(5), Timestamp(77)));
        let times: Vec<_> =
            view.records(model::limits::DECOMPRESSED_BYTES_MAX).unwrap().map(|r| r.unwrap().timestamp.0).collect();
        assert_eq!(times, [77, 77]);
    }

    #[test]
    fn an_adopted_batch_keeps_its_records_and_takes_other_numbers() {
        let source = BatchBuilder::new()
            .base_offset(Offset(700))
            .leader_epoch(LeaderEpoch(9))
            .compression(crate::Compression::Zstd)
            .producer(ProducerId(5), 3, 40)
            .transactional()
            .record(7, Some(b"k"), Some(b"v"), &[("h", None)])
            .record(9, None, Some(b"w"), &[])
            .build();
        let source = BatchView::parse(&source).unwrap();
        let bytes = adopted(&source, ProducerId(77), 1, 12);
        let view = BatchView::parse(&bytes).unwrap();
        view.verify().unwrap();
        assert_eq!(view.payload(), source.payload());
        assert_eq!((view.base_offset, view.leader_epoch), (Offset::ZERO, LeaderEpoch::NONE));
        assert_eq!((view.producer_id, view.producer_epoch, view.base_sequence), (ProducerId(77), 1, 12));
        assert!(!view.attributes.is_transactional());
        let cap = model::limits::DECOMPRESSED_BYTES_MAX;
        let told = |view: &BatchView<'_>| -> Vec<_> {
            let records = view.records(cap).unwrap().map(Result::unwrap);
            records.map(|record| (record.timestamp, record.key, record.value, record.headers)).collect()
        };
        assert_eq!(told(&view), told(&source));
    }

    #[test]
    fn sequence_numbers_wrap_to_zero() {
        assert_eq!(sequence_after(i32::MAX, 1), 0);
        assert_eq!(sequence_after(i32::MAX - 1, 3), 1);
        assert_eq!(sequence_after(7, 0), 7);
        assert_eq!(sequence_after(0, -1), i32::MAX);
    }
}
