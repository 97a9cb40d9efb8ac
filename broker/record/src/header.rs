use crate::{Compression, UnknownCompression};
use model::{LeaderEpoch, Offset, ProducerId, Timestamp, limits};

/// The bytes of a batch before its records.
pub const HEADER_BYTES: usize = 61;
/// The bytes before the part that the length field counts: base offset and the length itself.
pub const SIZE_PREFIX_BYTES: usize = 12;
/// The bytes a log rewrites when it takes a batch in: base offset, length, leader epoch. The checksum leaves them out.
pub const PREFIX_BYTES: usize = 16;

pub(crate) const LENGTH_AT: usize = 8;
pub(crate) const LEADER_EPOCH_AT: usize = 12;
pub(crate) const MAGIC_AT: usize = 16;
pub(crate) const CRC_AT: usize = 17;
pub(crate) const ATTRIBUTES_AT: usize = 21;
pub(crate) const LAST_OFFSET_DELTA_AT: usize = 23;
pub(crate) const BASE_TIMESTAMP_AT: usize = 27;
pub(crate) const MAX_TIMESTAMP_AT: usize = 35;
pub(crate) const PRODUCER_ID_AT: usize = 43;
pub(crate) const PRODUCER_EPOCH_AT: usize = 51;
pub(crate) const BASE_SEQUENCE_AT: usize = 53;
pub(crate) const COUNT_AT: usize = 57;
pub(crate) const MAGIC: i8 = 2;

/// Why bytes are not a record batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The bytes end before the batch does.
    #[error("the batch needs {needed} bytes but only {available} are there")]
    Truncated {
        /// How many bytes the batch has, or its header while its length is not known.
        needed: usize,
        /// How many there are.
        available: usize,
    },
    /// Another format than v2.
    #[error("the batch has message format {0}; only format 2 is accepted")]
    Magic(i8),
    /// A length no batch can have.
    #[error("the batch says it is {0} bytes long, which no batch can be")]
    Length(i32),
    /// A field with a value it cannot have.
    #[error("the batch has {field} {value}, which is not possible")]
    Field {
        /// The field's name.
        field: &'static str,
        /// What stands there.
        value: i64,
    },
    /// Damaged bytes.
    #[error("the batch at offset {base_offset} has checksum {stored:#010x} but its bytes give {computed:#010x}")]
    Checksum {
        /// The batch's base offset.
        base_offset: Offset,
        /// What its header says.
        stored: u32,
        /// What its bytes say.
        computed: u32,
    },
}

/// The attribute bits of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes(pub i16);

impl Attributes {
    pub(crate) const APPEND_TIME: i16 = 1 << 3;
    pub(crate) const TRANSACTIONAL: i16 = 1 << 4;
    pub(crate) const CONTROL: i16 = 1 << 5;
    pub(crate) const DELETE_HORIZON: i16 = 1 << 6;
    pub(crate) const COMPRESSION: i16 = 0b111;

    /// How the records are compressed.
    ///
    /// # Errors
    /// [`UnknownCompression`] for the codes Kafka has not given out.
    pub fn compression(self) -> Result<Compression, UnknownCompression> {
        Compression::of_code(self.0 & Self::COMPRESSION)
    }

    /// Whether the time of the records is the time they were appended.
    pub const fn is_append_time(self) -> bool {
        self.0 & Self::APPEND_TIME != 0
    }

    /// Whether the batch belongs to a transaction.
    pub const fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Whether the batch is a control batch: written by brokers, hidden from applications.
    pub const fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }
}

/// The decoded header of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The offset of the first record.
    pub base_offset: Offset,
    /// The whole batch, header included.
    pub size_bytes: usize,
    /// The leader epoch it was appended under.
    pub leader_epoch: LeaderEpoch,
    /// The CRC-32C of everything behind it.
    pub crc: u32,
    /// Compression, kind of time, transactional, control.
    pub attributes: Attributes,
    /// Offset of the last record, relative to the first.
    pub last_offset_delta: i32,
    /// What the records' timestamps are relative to.
    pub base_timestamp: Timestamp,
    /// The largest timestamp of its records.
    pub max_timestamp: Timestamp,
    /// Who produced it; [`ProducerId::NONE`] without idempotence.
    pub producer_id: ProducerId,
    /// The producer's epoch; -1 without idempotence.
    pub producer_epoch: i16,
    /// The sequence number of the first record; -1 without idempotence.
    pub base_sequence: i32,
    /// How many records it holds; 0 when compaction emptied it.
    pub count: i32,
}

impl Header {
    /// Decodes the header at the start of `bytes`. The records need not be there yet, and nothing says that they are
    /// sound: see [`crate::BatchView::verify`].
    ///
    /// # Errors
    /// [`BatchError::Truncated`] when less than a header is there; another [`BatchError`] for a header no batch has.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        if bytes.len() < HEADER_BYTES {
            return Err(BatchError::Truncated { needed: HEADER_BYTES, available: bytes.len() });
        }
        let magic = i8::from_be_bytes(field(bytes, MAGIC_AT));
        if magic != MAGIC {
            return Err(BatchError::Magic(magic));
        }
        Self::decode(bytes)?.plausible()
    }

    fn decode(bytes: &[u8]) -> Result<Self, BatchError> {
        Ok(Self {
            base_offset: Offset(i64::from_be_bytes(field(bytes, 0))),
            size_bytes: size(i32::from_be_bytes(field(bytes, LENGTH_AT)))?,
            leader_epoch: LeaderEpoch(i32::from_be_bytes(field(bytes, LEADER_EPOCH_AT))),
            crc: u32::from_be_bytes(field(bytes, CRC_AT)),
            attributes: Attributes(i16::from_be_bytes(field(bytes, ATTRIBUTES_AT))),
            last_offset_delta: i32::from_be_bytes(field(bytes, LAST_OFFSET_DELTA_AT)),
            base_timestamp: Timestamp(i64::from_be_bytes(field(bytes, BASE_TIMESTAMP_AT))),
            max_timestamp: Timestamp(i64::from_be_bytes(field(bytes, MAX_TIMESTAMP_AT))),
            producer_id: ProducerId(i64::from_be_bytes(field(bytes, PRODUCER_ID_AT))),
            producer_epoch: i16::from_be_bytes(field(bytes, PRODUCER_EPOCH_AT)),
            base_sequence: i32::from_be_bytes(field(bytes, BASE_SEQUENCE_AT)),
            count: i32::from_be_bytes(field(bytes, COUNT_AT)),
        })
    }

    fn plausible(self) -> Result<Self, BatchError> {
        let delta = i64::from(self.last_offset_delta);
        let offset_limit = i64::MAX - i64::from(i32::MAX) - 1;
        for (field, value, sound) in [
            ("base offset", self.base_offset.0, (0..=offset_limit).contains(&self.base_offset.0)),
            ("last offset delta", delta, delta >= 0),
            ("record count", i64::from(self.count), self.count >= 0 && i64::from(self.count) <= delta + 1),
        ] {
            if !sound {
                return Err(BatchError::Field { field, value });
            }
        }
        Ok(self)
    }

    /// The offset of the last record.
    pub const fn last_offset(&self) -> Offset {
        self.base_offset.plus(self.last_offset_delta as i64)
    }

    /// The offset behind the last record.
    pub const fn next_offset(&self) -> Offset {
        self.base_offset.plus(self.last_offset_delta as i64 + 1)
    }

    /// Whether an idempotent producer wrote it.
    pub const fn is_idempotent(&self) -> bool {
        self.producer_id.0 >= 0
    }

    /// Whether this batch, coming next behind `tail`, opens its epoch across a hole: the control batch of no producer
    /// that lies further on. Only an unplanned promote writes one, and a copy may take it only when its tail is the
    /// common end.
    pub fn opens_hole_behind(&self, tail: Offset) -> bool {
        self.base_offset > tail && self.attributes.is_control() && !self.is_idempotent()
    }

    /// The sequence number of the last record; -1 without idempotence.
    pub const fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return -1;
        }
        crate::rewrite::sequence_after(self.base_sequence, self.last_offset_delta)
    }
}

/// The bytes of the whole batch whose length field says `length`.
fn size(length: i32) -> Result<usize, BatchError> {
    let least = (HEADER_BYTES - SIZE_PREFIX_BYTES) as i32;
    let most = limits::BATCH_BYTES_LIMIT.0 - SIZE_PREFIX_BYTES as u64;
    if length < least || length as u64 > most {
        return Err(BatchError::Length(length));
    }
    Ok(length as usize + SIZE_PREFIX_BYTES)
}

/// The `N` bytes at `at`; the caller has checked that a header is there.
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the slice has just that length")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BatchBuilder;

    #[test]
    fn a_short_header_says_how_much_is_missing() {
        assert_eq!(Header::parse(&[0; 60]), Err(BatchError::Truncated { needed: 61, available: 60 }));
    }

    #[test]
    fn a_header_no_batch_can_have_is_refused() {
        let batch = BatchBuilder::new().record(1, None, Some(b"v"), &[]).build();
        let with = |at: usize, bytes: &[u8]| {
            let mut damaged = batch.to_vec();
            damaged[at..at + bytes.len()].copy_from_slice(bytes);
            Header::parse(&damaged).unwrap_err()
        };
        assert_eq!(with(MAGIC_AT, &[1]), BatchError::Magic(1));
        assert_eq!(with(LENGTH_AT, &48i32.to_be_bytes()), BatchError::Length(48));
        assert_eq!(with(LENGTH_AT, &i32::MAX.to_be_bytes()), BatchError::Length(i32::MAX));
        assert!(matches!(with(0, &(-1i64).to_be_bytes()), BatchError::Field { field: "base offset", .. }));
        assert!(matches!(with(0, &i64::MAX.to_be_bytes()), BatchError::Field { field: "base offset", .. }));
        assert!(matches!(with(COUNT_AT, &i32::MAX.to_be_bytes()), BatchError::Field { field: "record count", .. }));
        let delta = with(LAST_OFFSET_DELTA_AT, &(-1i32).to_be_bytes());
        assert!(matches!(delta, BatchError::Field { field: "last offset delta", .. }));
    }
}
