//! What compaction leaves of a batch (KIP-534 for the delete horizon).
//!
//! A batch keeps its place whatever becomes of its records: base and last offset, epochs, producer and sequence numbers
//! stay. One whose records are all gone may have to stay too, empty.

use crate::builder::put_record;
use crate::header::Attributes;
use crate::{BatchView, Compression, Header, Record, RecordError, rewrite};
use model::Timestamp;

impl BatchView<'_> {
    /// The batch with `kept`, some of its records in their order, and nothing else. With a `horizon` the batch says
    /// when its tombstones, or itself as a transaction's marker, may go.
    ///
    /// # Errors
    /// [`RecordError::Compression`] when it is compressed in a way that does not exist.
    pub fn with_records(&self, kept: &[Record], horizon: Option<Timestamp>) -> Result<Vec<u8>, RecordError> {
        if kept.is_empty() {
            return Ok(self.emptied());
        }
        let compression = self.attributes.compression()?;
        let mut header = Header { count: kept.len() as i32, ..*self.header() };
        if let Some(horizon) = horizon {
            header.attributes.0 |= Attributes::DELETE_HORIZON;
            header.base_timestamp = horizon;
        }
        if !header.attributes.is_append_time() {
            header.max_timestamp = kept.iter().map(|record| record.timestamp).max().unwrap_or(header.max_timestamp);
        }
        let mut plain = Vec::with_capacity(self.payload().len());
        kept.iter().for_each(|record| put(&mut plain, record, &header));
        Ok(rewrite::assemble(&header, &compression.compress(plain)))
    }

    /// The batch without its records: it still says which offsets it covered, and what its producer wrote last.
    pub fn emptied(&self) -> Vec<u8> {
        let attributes = self.attributes.without_compression();
        rewrite::assemble(&Header { count: 0, attributes, ..*self.header() }, &[])
    }
}

fn put(out: &mut Vec<u8>, record: &Record, header: &Header) {
    let headers: Vec<_> = record.headers.iter().map(|header| (&header.key[..], header.value.as_deref())).collect();
    let time_delta = record.timestamp.0.wrapping_sub(header.base_timestamp.0);
    let offset_delta = record.offset.since(header.base_offset) as i32;
    put_record(out, time_delta, offset_delta, record.key.as_deref(), record.value.as_deref(), &headers);
}

impl Header {
    /// When the tombstones of the batch may go, once compaction has said so (KIP-534).
    pub fn delete_horizon(&self) -> Option<Timestamp> {
        (self.attributes.0 & Attributes::DELETE_HORIZON != 0).then_some(self.base_timestamp)
    }
}

impl Attributes {
    const fn without_compression(self) -> Self {
        Self(self.0 & !Self::COMPRESSION | Compression::None.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BatchBuilder, Compression};
    use model::{LeaderEpoch, Offset, ProducerId};

    const CAP: model::ByteCount = model::limits::DECOMPRESSED_BYTES_MAX;

    fn batch(compression: Compression) -> Vec<u8> {
        let builder = BatchBuilder::new().base_offset(Offset(40)).leader_epoch(LeaderEpoch(9)).compression(compression);
        let builder = builder.producer(ProducerId(7), 3, 100);
        (0..10i64)
            .fold(builder, |b, n| {
                let value = (n % 3 > 0).then_some(&b"value"[..]);
                b.record(1000 - n, Some(&[n as u8]), value, &[("a", None), ("b", Some(b"c"))])
            })
            .build()
    }

    fn records(bytes: &[u8]) -> Vec<Record> {
        let view = BatchView::parse(bytes).unwrap();
        view.verify().unwrap();
        view.records(CAP).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn what_is_kept_is_as_it_was() {
        for compression in Compression::ALL {
            let bytes = batch(compression);
            let view = BatchView::parse(&bytes).unwrap();
            let kept: Vec<_> = records(&bytes).into_iter().filter(|record| record.offset.0 % 3 == 0).collect();
            for horizon in [None, Some(Timestamp(1 << 41)), Some(Timestamp(5))] {
                let less = view.with_records(&kept, horizon).unwrap();
                assert_eq!(records(&less), kept);
                let found = BatchView::parse(&less).unwrap();
                assert_eq!(found.delete_horizon(), horizon);
                assert_eq!((found.base_offset, found.next_offset()), (view.base_offset, view.next_offset()));
                assert_eq!((found.producer_id, found.base_sequence, found.last_sequence()), (ProducerId(7), 100, 109));
                assert_eq!((found.leader_epoch, found.count), (LeaderEpoch(9), kept.len() as i32));
                assert_eq!(found.max_timestamp, kept[0].timestamp);
                let again = found.with_records(&kept[1..], None).unwrap();
                assert_eq!(BatchView::parse(&again).unwrap().delete_horizon(), horizon, "a horizon stays");
                assert_eq!(records(&again), kept[1..]);
            }
        }
    }

    #[test]
    fn an_emptied_batch_covers_the_same_offsets() {
        for compression in Compression::ALL {
            let bytes = batch(compression);
            let view = BatchView::parse(&bytes).unwrap();
            let empty = view.with_records(&[], None).unwrap();
            assert_eq!(records(&empty), []);
            let found = BatchView::parse(&empty).unwrap();
            assert_eq!((found.base_offset, found.next_offset(), found.count), (Offset(40), Offset(50), 0));
            assert_eq!((found.last_sequence(), found.max_timestamp), (109, view.max_timestamp));
        }
    }
}
