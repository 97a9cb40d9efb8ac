//! Keys of records, which are all that is decoded for.

use mirror_core::active::KeyedRecord;
use model::limits::DECOMPRESSED_BYTES_MAX;
use model::{Offset, ProducerId};
use record::{BatchError, BatchView, Batches, CheckedBatch, ProduceError, ProduceRules, Record, RecordError, adopted};
use std::sync::Arc;

/// Records that cannot be decoded, or are not what they are said to be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadRecords {
    /// A batch is damaged.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// Its records are.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// It is none that a log takes.
    #[error(transparent)]
    Refused(#[from] ProduceError),
    /// There are others than was said.
    #[error("{found} records came where {expected} were announced")]
    Count {
        /// How many were announced.
        expected: u64,
        /// How many came.
        found: u64,
    },
    /// A batch does not hold the offset looked for.
    #[error("no record is at offset {0}")]
    Missing(Offset),
}

/// A batch and the keys of its records, each with its index.
pub(super) struct KeyedBatch {
    pub(super) count: u32,
    pub(super) keys: Vec<KeyedRecord>,
}

impl KeyedBatch {
    pub(super) fn of(batch: &BatchView<'_>) -> Result<Self, BadRecords> {
        let (mut keys, mut count) = (Vec::new(), 0);
        for record in batch.records(DECOMPRESSED_BYTES_MAX)? {
            keys.extend(record?.key.map(|key| KeyedRecord { index: count, key: key.into() }));
            count += 1;
        }
        Ok(Self { count, keys })
    }
}

/// The key of the record at an offset.
pub(super) type KeyAt = (Offset, Arc<[u8]>);

/// The keyed records of whole batches, with their offsets.
pub(super) fn keys_of(batches: &[u8]) -> Result<Vec<KeyAt>, BadRecords> {
    let mut found = Vec::new();
    for batch in Batches::new(batches) {
        let batch = batch?;
        for record in batch.records(DECOMPRESSED_BYTES_MAX)? {
            let record = record?;
            found.extend(record.key.map(|key| (record.offset, Arc::from(key))));
        }
    }
    Ok(found)
}

/// The record at `offset` in whole batches.
pub(super) fn record_at(batches: &[u8], offset: Offset) -> Result<Record, BadRecords> {
    for batch in Batches::new(batches) {
        let batch = batch?;
        if batch.next_offset() <= offset {
            continue;
        }
        for record in batch.records(DECOMPRESSED_BYTES_MAX)? {
            let record = record?;
            if record.offset == offset {
                return Ok(record);
            }
        }
        break;
    }
    Err(BadRecords::Missing(offset))
}

/// Batches to append, and the keys of all their records.
pub(super) type Adopted = (Vec<CheckedBatch>, Vec<KeyedRecord>);

/// Batches as they came from another region, as this one appends them: the producer that wrote them is another
/// region's, and is of no meaning here.
pub(super) fn adopt(batches: &[u8], expected: u64) -> Result<Adopted, BadRecords> {
    let (mut adopted_batches, mut keys, mut found) = (Vec::new(), Vec::new(), 0_u32);
    let mut all = Batches::new(batches);
    for batch in &mut all {
        let batch = batch?;
        batch.verify()?;
        let keyed = KeyedBatch::of(&batch)?;
        let shifted = keyed.keys.into_iter().map(|record| KeyedRecord { index: record.index + found, ..record });
        keys.extend(shifted);
        found = found.saturating_add(keyed.count);
        let bytes = adopted(&batch, ProducerId::NONE, -1, -1);
        adopted_batches.push(CheckedBatch::check(bytes.into(), &ProduceRules::BROKER)?);
    }
    let is_whole = all.rest().is_empty() && u64::from(found) == expected;
    if is_whole { Ok((adopted_batches, keys)) } else { Err(BadRecords::Count { expected, found: found.into() }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::BatchBuilder;

    fn batch(base: i64, keys: &[Option<&[u8]>]) -> Vec<u8> {
        let mut builder = BatchBuilder::new().producer(ProducerId(7), 1, 3);
        keys.iter().for_each(|key| builder.push(model::Timestamp(5), *key, Some(b"v"), &[]));
        let mut bytes = builder.build();
        record::set_base_offset(&mut bytes, Offset(base));
        bytes
    }

    #[test]
    fn adopted_batches_keep_their_records_and_lose_their_producer() {
        let bytes = [batch(4, &[Some(b"a"), None]), batch(6, &[Some(b"b")])].concat();
        let (batches, keys) = adopt(&bytes, 3).unwrap();
        assert!(batches.iter().all(|batch| batch.header().producer_id == ProducerId::NONE));
        let keys: Vec<_> = keys.iter().map(|record| (record.index, record.key.to_vec())).collect();
        assert_eq!(keys, [(0, b"a".to_vec()), (2, b"b".to_vec())]);
        assert!(matches!(adopt(&bytes, 4), Err(BadRecords::Count { expected: 4, found: 3 })));
        assert!(adopt(&bytes[..bytes.len() - 1], 3).is_err());
        let mut damaged = bytes;
        *damaged.last_mut().unwrap() ^= 1;
        assert!(matches!(adopt(&damaged, 3), Err(BadRecords::Batch(_))));
    }

    #[test]
    fn a_record_is_found_by_its_offset() {
        let bytes = [batch(4, &[Some(b"a"), None]), batch(6, &[Some(b"b")])].concat();
        assert_eq!(record_at(&bytes, Offset(6)).unwrap().key.as_deref(), Some(&b"b"[..]));
        assert!(matches!(record_at(&bytes, Offset(9)), Err(BadRecords::Missing(Offset(9)))));
        let keys: Vec<_> = keys_of(&bytes).unwrap().into_iter().map(|(offset, _)| offset.0).collect();
        assert_eq!(keys, [4, 6]);
    }
}
