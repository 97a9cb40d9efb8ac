//! What a broker checks before it takes a produced batch, from its header and checksum alone (Kafka's `LogValidator`).

use crate::{BatchError, BatchView, Header, UnknownCompression};
use bytes::Bytes;
use model::{ByteCount, Offset, limits};

/// What is allowed in a produced batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProduceRules {
    /// The largest batch, as it arrives (the topic's `max.message.bytes`).
    pub batch_bytes_max: ByteCount,
    /// Whether it may belong to a transaction.
    pub transactional: bool,
    /// Whether it may be a control batch: brokers write those, never clients.
    pub control: bool,
}

impl Default for ProduceRules {
    /// What any client may send.
    fn default() -> Self {
        Self { batch_bytes_max: limits::BATCH_BYTES_MAX, transactional: false, control: false }
    }
}

impl ProduceRules {
    /// What the broker itself may append.
    pub const BROKER: Self = Self { batch_bytes_max: limits::BATCH_BYTES_LIMIT, transactional: true, control: true };
}

/// Why a produced batch is refused. Each names the Kafka error that says the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProduceError {
    /// No bytes at all (INVALID_RECORD).
    #[error("the partition's record data is empty; one batch is expected")]
    Empty,
    /// Damaged or cut off (CORRUPT_MESSAGE); for [`BatchError::Magic`] UNSUPPORTED_FOR_MESSAGE_FORMAT.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// More than one batch, or something behind it (INVALID_RECORD).
    #[error("{0} bytes follow the first batch; a partition takes exactly one batch per request")]
    MoreThanOne(usize),
    /// Above the topic's limit (MESSAGE_TOO_LARGE).
    #[error("the batch has {size_bytes} bytes; the topic's max.message.bytes allows {limit_bytes}")]
    TooLarge {
        /// Its size.
        size_bytes: usize,
        /// The topic's limit.
        limit_bytes: u64,
    },
    /// A client must not choose offsets (INVALID_RECORD).
    #[error("the batch has base offset {0}; clients send 0")]
    BaseOffset(Offset),
    /// Offsets and records do not match (INVALID_RECORD).
    #[error("the batch covers {offsets} offsets with {records} records; a produced batch has one record each")]
    Count {
        /// How many offsets it covers.
        offsets: i64,
        /// How many records it has.
        records: i32,
    },
    /// An idempotent producer without a sequence number or epoch (INVALID_RECORD).
    #[error("the batch of producer {producer_id} has epoch {epoch} and sequence {sequence}; both must be 0 or more")]
    Sequence {
        /// The producer.
        producer_id: model::ProducerId,
        /// Its epoch.
        epoch: i16,
        /// The first sequence number.
        sequence: i32,
    },
    /// Written by brokers only (INVALID_RECORD).
    #[error("control batches are not accepted from clients")]
    Control,
    /// Transactions are not offered here (INVALID_TXN_STATE or as the broker decides).
    #[error("transactional batches are not accepted")]
    Transactional,
    /// Compressed in a way that does not exist (UNSUPPORTED_COMPRESSION_TYPE).
    #[error(transparent)]
    Compression(#[from] UnknownCompression),
}

/// A batch that passed every check, checksum included. A log takes it without looking again.
#[derive(Clone, Debug)]
pub struct CheckedBatch {
    header: Header,
    bytes: Bytes,
}

impl CheckedBatch {
    /// Checks `bytes`, which must be exactly one batch.
    ///
    /// # Errors
    /// [`ProduceError`] says what is wrong with it.
    pub fn check(bytes: Bytes, rules: &ProduceRules) -> Result<Self, ProduceError> {
        if bytes.is_empty() {
            return Err(ProduceError::Empty);
        }
        let view = BatchView::parse(&bytes)?;
        check_size(&view, bytes.len(), rules)?;
        check_kind(&view, rules)?;
        check_numbers(&view)?;
        view.verify()?;
        Ok(Self { header: *view.header(), bytes })
    }

    /// The header as the client sent it.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The batch as the client sent it.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// A view of it.
    pub fn view(&self) -> BatchView<'_> {
        BatchView::parse(&self.bytes).expect("it was parsed before")
    }
}

fn check_size(batch: &Header, available: usize, rules: &ProduceRules) -> Result<(), ProduceError> {
    if batch.size_bytes as u64 > rules.batch_bytes_max.0 {
        return Err(ProduceError::TooLarge { size_bytes: batch.size_bytes, limit_bytes: rules.batch_bytes_max.0 });
    }
    match available - batch.size_bytes {
        0 => Ok(()),
        more => Err(ProduceError::MoreThanOne(more)),
    }
}

fn check_kind(batch: &Header, rules: &ProduceRules) -> Result<(), ProduceError> {
    if batch.attributes.is_control() && !rules.control {
        return Err(ProduceError::Control);
    }
    if batch.attributes.is_transactional() && !rules.transactional {
        return Err(ProduceError::Transactional);
    }
    batch.attributes.compression()?;
    Ok(())
}

fn check_numbers(batch: &Header) -> Result<(), ProduceError> {
    if batch.base_offset != Offset::ZERO {
        return Err(ProduceError::BaseOffset(batch.base_offset));
    }
    let offsets = i64::from(batch.last_offset_delta) + 1;
    if i64::from(batch.count) != offsets {
        return Err(ProduceError::Count { offsets, records: batch.count });
    }
    let sequenced = batch.base_sequence >= 0 || batch.attributes.is_control();
    if batch.is_idempotent() && !(sequenced && batch.producer_epoch >= 0) {
        return Err(ProduceError::Sequence {
            producer_id: batch.producer_id,
            epoch: batch.producer_epoch,
            sequence: batch.base_sequence,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BatchBuilder, end_txn_marker};
    use model::{ProducerId, Timestamp};

    fn check(bytes: Vec<u8>) -> Result<CheckedBatch, ProduceError> {
        CheckedBatch::check(bytes.into(), &ProduceRules::default())
    }

    fn builder() -> BatchBuilder {
        BatchBuilder::new().record(1, None, Some(b"v"), &[])
    }

    fn with(at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut batch = builder().build();
        batch[at..at + bytes.len()].copy_from_slice(bytes);
        batch
    }

    #[test]
    fn a_plain_batch_passes() {
        let batch = check(builder().producer(ProducerId(5), 0, 17).build()).unwrap();
        assert_eq!(batch.header().base_sequence, 17);
        assert_eq!(batch.view().bytes(), batch.bytes());
    }

    #[test]
    fn each_defect_has_its_own_error() {
        use ProduceError as E;
        assert_eq!(check(Vec::new()).unwrap_err(), E::Empty);
        assert_eq!(check(with(16, &[1])).unwrap_err(), E::Batch(BatchError::Magic(1)));
        assert_eq!(check([builder().build(), vec![1, 2]].concat()).unwrap_err(), E::MoreThanOne(2));
        assert_eq!(check(builder().base_offset(Offset(3)).build()).unwrap_err(), E::BaseOffset(Offset(3)));
        assert_eq!(check(BatchBuilder::new().build()).unwrap_err(), E::Count { offsets: 1, records: 0 });
        assert_eq!(check(builder().control().build()).unwrap_err(), E::Control);
        assert_eq!(check(builder().transactional().build()).unwrap_err(), E::Transactional);
        assert_eq!(check(with(22, &[7])).unwrap_err(), E::Compression(UnknownCompression(7)));
        assert!(matches!(check(with(17, &[0; 4])).unwrap_err(), E::Batch(BatchError::Checksum { .. })));
        let unsequenced = check(builder().producer(ProducerId(5), 0, -1).build()).unwrap_err();
        assert!(matches!(unsequenced, E::Sequence { sequence: -1, .. }));
        let whole = builder().build();
        let torn = check(whole[..whole.len() - 1].to_vec()).unwrap_err();
        assert_eq!(torn, E::Batch(BatchError::Truncated { needed: whole.len(), available: whole.len() - 1 }));
    }

    #[test]
    fn a_batch_above_the_topics_limit_names_both_sizes() {
        let batch = builder().build();
        let rules = ProduceRules { batch_bytes_max: ByteCount(batch.len() as u64 - 1), ..Default::default() };
        let error = CheckedBatch::check(batch.clone().into(), &rules).unwrap_err();
        assert_eq!(error, ProduceError::TooLarge { size_bytes: batch.len(), limit_bytes: batch.len() as u64 - 1 });
    }

    #[test]
    fn the_broker_may_write_what_clients_may_not() {
        let marker = end_txn_marker(false, ProducerId(5), 0, 0, Timestamp(1));
        assert_eq!(check(marker.clone()).unwrap_err(), ProduceError::Control);
        CheckedBatch::check(marker.into(), &ProduceRules::BROKER).unwrap();
    }
}
