use crate::header::Header;
use crate::varint::{self, BadVarint};
use crate::{Attributes, UnknownCompression};
use model::{ByteCount, Offset, Timestamp};
use std::io::{self, Read};

/// Memory is taken in steps of this size while a record is read, whatever length it claims.
const STEP_BYTES: usize = 64 << 10;

/// Why the records of a batch cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Compressed in a way that does not exist.
    #[error(transparent)]
    Compression(#[from] UnknownCompression),
    /// The compressed bytes are damaged, or grow beyond the cap.
    #[error("the records cannot be decompressed")]
    Decompress(#[source] io::Error),
    /// The records grow beyond what was allowed.
    #[error("the records of one batch grow beyond {0}")]
    TooLarge(ByteCount),
    /// A record that is not one.
    #[error("record {index} of the batch has a bad {field}")]
    Corrupt {
        /// Which record of the batch, from 0.
        index: i32,
        /// Which part of it.
        field: &'static str,
    },
    /// Bytes behind the last record.
    #[error("bytes follow the last of the batch's {0} records")]
    Trailing(i32),
}

impl RecordError {
    /// A reader of compressed bytes says so by the kind of its error when they grow beyond `cap`.
    fn of_reader(error: io::Error, cap: ByteCount) -> Self {
        if error.kind() == io::ErrorKind::FileTooLarge { Self::TooLarge(cap) } else { Self::Decompress(error) }
    }
}

/// A header of a record. The key is UTF-8 by Kafka's convention; nothing checks that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// Its name; the same name may come twice.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Option<Vec<u8>>,
}

/// One record, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its position in the partition.
    pub offset: Offset,
    /// Its own time, or the append time of its batch.
    pub timestamp: Timestamp,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Its headers, in order.
    pub headers: Vec<RecordHeader>,
}

/// The records of one batch, decoded one at a time. An error ends the iteration.
pub struct Records<'a> {
    plain: Box<dyn Read + Send + 'a>,
    header: Header,
    cap: ByteCount,
    plain_bytes_left: u64,
    index: i32,
    done: bool,
}

impl<'a> Records<'a> {
    pub(crate) fn new(header: &Header, payload: &'a [u8], cap: ByteCount) -> Result<Self, RecordError> {
        let plain = header.attributes.compression()?.reader(payload, cap);
        let plain = plain.map_err(|error| RecordError::of_reader(error, cap))?;
        Ok(Self { plain, header: *header, cap, plain_bytes_left: cap.0, index: 0, done: false })
    }

    fn next_record(&mut self) -> Result<Record, RecordError> {
        let length = varint::read(5, || next_byte(&mut self.plain)).map_err(|error| self.bad_length(error))?;
        let length = u64::try_from(length).map_err(|_| self.corrupt("length"))?;
        self.plain_bytes_left = self.plain_bytes_left.checked_sub(length).ok_or(RecordError::TooLarge(self.cap))?;
        let mut body = Vec::with_capacity(STEP_BYTES.min(length as usize));
        let read = (&mut self.plain).take(length).read_to_end(&mut body);
        if read.map_err(|error| RecordError::of_reader(error, self.cap))? as u64 != length {
            return Err(self.corrupt("length"));
        }
        Body { rest: &body }.record(&self.header).map_err(|field| self.corrupt(field))
    }

    fn end(&mut self) -> Result<(), RecordError> {
        match self.plain.read(&mut [0]).map_err(|error| RecordError::of_reader(error, self.cap))? {
            0 => Ok(()),
            _ => Err(RecordError::Trailing(self.header.count)),
        }
    }

    fn bad_length(&self, error: LengthError) -> RecordError {
        match error {
            LengthError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                RecordError::of_reader(error, self.cap)
            }
            LengthError::Io(_) | LengthError::Bad => self.corrupt("length"),
        }
    }

    const fn corrupt(&self, field: &'static str) -> RecordError {
        RecordError::Corrupt { index: self.index, field }
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        if self.index == self.header.count {
            self.done = true;
            return self.end().err().map(Err);
        }
        let record = self.next_record();
        self.done = record.is_err();
        self.index += 1;
        Some(record)
    }
}

enum LengthError {
    Io(io::Error),
    Bad,
}

impl From<BadVarint> for LengthError {
    fn from(_: BadVarint) -> Self {
        Self::Bad
    }
}

fn next_byte(plain: &mut dyn Read) -> Result<u8, LengthError> {
    let mut byte = [0];
    plain.read_exact(&mut byte).map_err(LengthError::Io)?;
    Ok(byte[0])
}

/// The bytes of one record behind its length. Methods name the field they fail on.
struct Body<'a> {
    rest: &'a [u8],
}

impl Body<'_> {
    fn record(mut self, batch: &Header) -> Result<Record, &'static str> {
        let (_attributes, rest) = self.rest.split_first().ok_or("attributes")?;
        self.rest = rest;
        let time_delta = varint::take_long(&mut self.rest).map_err(|_| "timestamp")?;
        let offset_delta = varint::take(&mut self.rest).map_err(|_| "offset")?;
        let record = Record {
            offset: offset(batch, offset_delta).ok_or("offset")?,
            timestamp: timestamp(batch, time_delta),
            key: self.bytes().ok_or("key")?,
            value: self.bytes().ok_or("value")?,
            headers: self.headers().ok_or("header")?,
        };
        if self.rest.is_empty() { Ok(record) } else { Err("length") }
    }

    /// Bytes that may be null: `Some(None)`. `None` when they are not there.
    fn bytes(&mut self) -> Option<Option<Vec<u8>>> {
        let length = varint::take(&mut self.rest).ok()?;
        if length == -1 {
            return Some(None);
        }
        let (bytes, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        Some(Some(bytes.to_vec()))
    }

    fn headers(&mut self) -> Option<Vec<RecordHeader>> {
        let count = usize::try_from(varint::take(&mut self.rest).ok()?).ok()?;
        // Each takes two bytes or more, so a count beyond that is a lie.
        if count > self.rest.len() / 2 {
            return None;
        }
        (0..count).map(|_| Some(RecordHeader { key: self.bytes()??, value: self.bytes()? })).collect()
    }
}

fn offset(batch: &Header, delta: i32) -> Option<Offset> {
    (0..=batch.last_offset_delta).contains(&delta).then(|| batch.base_offset.plus(i64::from(delta)))
}

fn timestamp(batch: &Header, delta: i64) -> Timestamp {
    if Attributes::is_append_time(batch.attributes) {
        batch.max_timestamp
    } else {
        Timestamp(batch.base_timestamp.0.wrapping_add(delta))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BatchBuilder, BatchView, Compression, HEADER_BYTES};
    use proptest::prelude::*;

    const CAP: ByteCount = model::limits::DECOMPRESSED_BYTES_MAX;

    type Bytes = Vec<u8>;
    type Parts = (i64, Option<Bytes>, Option<Bytes>, Vec<(String, Option<Bytes>)>);

    fn some_record() -> impl Strategy<Value = Parts> {
        let bytes = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40));
        (-5i64..1 << 45, bytes(), bytes(), proptest::collection::vec(("[a-z]{0,6}", bytes()), 0..4))
    }

    proptest! {
        #[test]
        fn what_was_built_is_decoded(
            parts in proptest::collection::vec(some_record(), 1..20),
            code in 0i16..5,
            base in 0i64..1 << 50,
        ) {
            let compression = Compression::of_code(code).unwrap();
            let mut builder = BatchBuilder::new().base_offset(Offset(base)).compression(compression);
            for (time, key, value, headers) in &parts {
                let headers: Vec<_> = headers.iter().map(|(k, v)| (k.as_str(), v.as_deref())).collect();
                builder = builder.record(*time, key.as_deref(), value.as_deref(), &headers);
            }
            let bytes = builder.build();
            let view = BatchView::parse(&bytes).unwrap();
            view.verify().unwrap();
            prop_assert_eq!(view.max_timestamp.0, parts.iter().map(|p| p.0).max().unwrap());
            let records: Vec<_> = view.records(CAP).unwrap().collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(records.len(), parts.len());
            for (n, (record, (time, key, value, headers))) in records.into_iter().zip(parts).enumerate() {
                prop_assert_eq!(record.offset, Offset(base + n as i64));
                prop_assert_eq!((record.timestamp.0, record.key, record.value), (time, key, value));
                let found: Vec<_> =
                    record.headers.into_iter().map(|h| (String::from_utf8(h.key).unwrap(), h.value)).collect();
                prop_assert_eq!(found, headers);
            }
        }

        #[test]
        fn damaged_records_are_an_error_or_other_records_but_never_a_panic(
            at in 0usize..200,
            bits in 1u8..,
            code in 0i16..5,
        ) {
            let mut bytes = BatchBuilder::new()
                .compression(Compression::of_code(code).unwrap())
                .record(5, Some(b"key"), Some(&[9; 100]), &[("h", Some(b"x"))])
                .record(6, None, None, &[])
                .build();
            let at = HEADER_BYTES + at % (bytes.len() - HEADER_BYTES);
            bytes[at] ^= bits;
            let view = BatchView::parse(&bytes).unwrap();
            prop_assert!(view.records(CAP).map_or(0, Iterator::count) <= 3);
        }
    }

    fn with_payload(count: i32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = BatchBuilder::new().record(0, None, None, &[]).build();
        bytes.truncate(HEADER_BYTES);
        bytes.extend(payload);
        let length = (bytes.len() - crate::SIZE_PREFIX_BYTES) as i32;
        bytes[crate::header::LENGTH_AT..][..4].copy_from_slice(&length.to_be_bytes());
        bytes[crate::header::LAST_OFFSET_DELTA_AT..][..4].copy_from_slice(&(count - 1).to_be_bytes());
        bytes[crate::header::COUNT_AT..][..4].copy_from_slice(&count.to_be_bytes());
        bytes
    }

    fn first_error(bytes: &[u8]) -> RecordError {
        let view = BatchView::parse(bytes).unwrap();
        view.records(CAP).unwrap().find_map(Result::err).expect("an error")
    }

    #[test]
    fn a_count_of_two_billion_takes_no_memory() {
        let bytes = with_payload(i32::MAX, &[]);
        assert!(matches!(first_error(&bytes), RecordError::Corrupt { index: 0, field: "length" }));
    }

    #[test]
    fn a_record_that_claims_more_than_is_there_is_corrupt() {
        let mut length = Vec::new();
        varint::put(&mut length, 100 << 20);
        assert!(matches!(first_error(&with_payload(1, &length)), RecordError::Corrupt { field: "length", .. }));
        let mut length = Vec::new();
        varint::put(&mut length, i64::from(i32::MAX));
        assert!(matches!(first_error(&with_payload(1, &length)), RecordError::TooLarge(_)));
    }

    #[test]
    fn bytes_behind_the_last_record_are_noticed() {
        let mut bytes = BatchBuilder::new().record(0, None, Some(b"v"), &[]).build();
        bytes.push(0);
        let payload = bytes.split_off(HEADER_BYTES);
        assert!(matches!(first_error(&with_payload(1, &payload)), RecordError::Trailing(1)));
    }

    #[test]
    fn header_names_may_repeat_and_a_header_count_may_not_lie() {
        let twice = BatchBuilder::new().record(0, None, None, &[("h", Some(b"1")), ("h", None)]).build();
        let record = BatchView::parse(&twice).unwrap().records(CAP).unwrap().next().unwrap().unwrap();
        assert_eq!(record.headers.len(), 2);
        let lie = with_payload(1, &[24, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0, 0]);
        assert!(matches!(first_error(&lie), RecordError::Corrupt { field: "header", .. }));
    }
}
