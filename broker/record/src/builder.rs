use crate::header::HEADER_BYTES;
use crate::{Attributes, Compression, Header, rewrite, varint};
use model::{LeaderEpoch, Offset, ProducerId, Timestamp};

/// Builds one batch: for clients of our own, internal topics, canaries and tests.
///
/// Offsets follow each other from the base offset on. A batch without a record is built as compaction leaves it:
/// a header alone, covering one offset.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    base_offset: Offset,
    leader_epoch: LeaderEpoch,
    attributes: i16,
    compression: Compression,
    producer_id: ProducerId,
    producer_epoch: i16,
    base_sequence: i32,
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
    count: i32,
    records: Vec<u8>,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self {
            base_offset: Offset::ZERO,
            leader_epoch: LeaderEpoch::NONE,
            attributes: 0,
            compression: Compression::None,
            producer_id: ProducerId::NONE,
            producer_epoch: -1,
            base_sequence: -1,
            base_timestamp: Timestamp::NONE,
            max_timestamp: Timestamp::NONE,
            count: 0,
            records: Vec::new(),
        }
    }
}

impl BatchBuilder {
    /// An empty batch at offset 0, uncompressed, of no producer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Places the first record at `offset`.
    #[must_use]
    pub const fn base_offset(mut self, offset: Offset) -> Self {
        self.base_offset = offset;
        self
    }

    /// Says that it was appended under `epoch`.
    #[must_use]
    pub const fn leader_epoch(mut self, epoch: LeaderEpoch) -> Self {
        self.leader_epoch = epoch;
        self
    }

    /// Compresses the records.
    #[must_use]
    pub const fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Says which idempotent producer wrote it, and the sequence number of its first record.
    #[must_use]
    pub const fn producer(mut self, id: ProducerId, epoch: i16, base_sequence: i32) -> Self {
        self.producer_id = id;
        self.producer_epoch = epoch;
        self.base_sequence = base_sequence;
        self
    }

    /// Makes it part of a transaction.
    #[must_use]
    pub const fn transactional(mut self) -> Self {
        self.attributes |= Attributes::TRANSACTIONAL;
        self
    }

    /// Makes it a control batch.
    #[must_use]
    pub const fn control(mut self) -> Self {
        self.attributes |= Attributes::CONTROL;
        self
    }

    /// Adds a record.
    #[must_use]
    pub fn record(
        mut self,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> Self {
        self.push(Timestamp(timestamp_ms), key, value, headers);
        self
    }

    /// Adds a record, as [`record`](Self::record) does, where chaining is in the way.
    pub fn push(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) {
        let headers: Vec<_> = headers.iter().map(|(key, value)| (key.as_bytes(), *value)).collect();
        self.push_raw(timestamp, key, value, &headers);
    }

    /// Adds a record whose headers may have names that are no text.
    pub fn push_raw(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&[u8], Option<&[u8]>)],
    ) {
        if self.count == 0 {
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let delta = timestamp.0.wrapping_sub(self.base_timestamp.0);
        put_record(&mut self.records, delta, self.count, key, value, headers);
        self.count += 1;
    }

    /// How many records it has so far.
    pub const fn count(&self) -> i32 {
        self.count
    }

    /// About how many bytes the batch has so far, before compression.
    pub const fn plain_bytes(&self) -> usize {
        HEADER_BYTES + self.records.len()
    }

    /// The batch.
    pub fn build(self) -> Vec<u8> {
        let attributes = self.attributes | self.compression.code();
        let records = self.compression.compress(self.records);
        let header = Header {
            base_offset: self.base_offset,
            size_bytes: HEADER_BYTES + records.len(),
            leader_epoch: self.leader_epoch,
            crc: 0,
            attributes: Attributes(attributes),
            last_offset_delta: (self.count - 1).max(0),
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            base_sequence: self.base_sequence,
            count: self.count,
        };
        rewrite::assemble(&header, &records)
    }
}

/// Appends one record as a batch holds it.
pub(crate) fn put_record(
    out: &mut Vec<u8>,
    time_delta: i64,
    offset_delta: i32,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[(&[u8], Option<&[u8]>)],
) {
    let headers_len: usize = headers.iter().map(|(k, v)| bytes_len(Some(k)) + bytes_len(*v)).sum();
    let count = headers.len() as i64;
    let length = 1
        + varint::len(time_delta)
        + varint::len(i64::from(offset_delta))
        + bytes_len(key)
        + bytes_len(value)
        + varint::len(count)
        + headers_len;
    varint::put(out, length as i64);
    out.push(0);
    varint::put(out, time_delta);
    varint::put(out, i64::from(offset_delta));
    put_bytes(out, key);
    put_bytes(out, value);
    varint::put(out, count);
    for (key, value) in headers {
        put_bytes(out, Some(key));
        put_bytes(out, *value);
    }
}

fn bytes_len(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |b| varint::len(b.len() as i64) + b.len())
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => varint::put(out, -1),
        Some(bytes) => {
            varint::put(out, bytes.len() as i64);
            out.extend(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BatchView;

    #[test]
    fn a_batch_without_records_covers_one_offset() {
        let bytes = BatchBuilder::new().base_offset(Offset(9)).build();
        let view = BatchView::parse(&bytes).unwrap();
        view.verify().unwrap();
        assert_eq!((view.size_bytes, view.count), (HEADER_BYTES, 0));
        assert_eq!((view.base_offset, view.next_offset()), (Offset(9), Offset(10)));
    }

    #[test]
    fn the_size_so_far_is_the_size_of_the_plain_batch() {
        let builder = BatchBuilder::new().record(1, Some(b"key"), Some(&[0; 300]), &[("a", None), ("b", Some(b"c"))]);
        let (bytes, count) = (builder.plain_bytes(), builder.count());
        assert_eq!((builder.build().len(), 1), (bytes, count));
    }
}
