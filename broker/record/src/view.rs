use crate::header::ATTRIBUTES_AT;
use crate::records::{RecordError, Records};
use crate::{BatchError, HEADER_BYTES, Header, SIZE_PREFIX_BYTES, checksum};
use model::ByteCount;
use std::ops::Deref;

/// One whole batch, borrowed. Its [`Header`] is decoded once; its fields are reached through the view.
#[derive(Clone, Copy, Debug)]
pub struct BatchView<'a> {
    header: Header,
    bytes: &'a [u8],
}

impl<'a> BatchView<'a> {
    /// The batch at the start of `bytes`; what follows it is left alone. The checksum is not looked at.
    ///
    /// # Errors
    /// [`BatchError::Truncated`] when the batch is not there as a whole, another [`BatchError`] for a bad header.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let header = Header::parse(bytes)?;
        match bytes.get(..header.size_bytes) {
            Some(bytes) => Ok(Self { header, bytes }),
            None => Err(BatchError::Truncated { needed: header.size_bytes, available: bytes.len() }),
        }
    }

    /// The header, decoded.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The batch as it stands on disk and wire.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The records as they stand there, compressed or not.
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[HEADER_BYTES..]
    }

    /// Checks the bytes against the checksum.
    ///
    /// # Errors
    /// [`BatchError::Checksum`] when they differ.
    pub fn verify(&self) -> Result<(), BatchError> {
        let computed = checksum::crc32c(&self.bytes[ATTRIBUTES_AT..]);
        if computed == self.header.crc {
            return Ok(());
        }
        Err(BatchError::Checksum { base_offset: self.header.base_offset, stored: self.header.crc, computed })
    }

    /// Decodes the records one at a time; they may grow to `cap` when decompressed.
    ///
    /// # Errors
    /// [`RecordError`] when the compression is unknown or cannot be begun.
    pub fn records(&self, cap: ByteCount) -> Result<Records<'a>, RecordError> {
        Records::new(&self.header, self.payload(), cap)
    }

    /// The first record without a key: a compacted topic takes none (INVALID_RECORD). Decodes the records, which may
    /// grow to `cap`.
    ///
    /// # Errors
    /// [`RecordError`] when they cannot be decoded.
    pub fn first_without_key(&self, cap: ByteCount) -> Result<Option<i32>, RecordError> {
        for (index, record) in (0..).zip(self.records(cap)?) {
            if record?.key.is_none() {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }
}

impl Deref for BatchView<'_> {
    type Target = Header;

    fn deref(&self) -> &Header {
        &self.header
    }
}

/// The batches in a byte slice, in order.
///
/// A slice that ends within a batch, as answers to a fetch may, ends the iteration without an error; an impossible
/// header is an error, and the last item.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    bytes: &'a [u8],
    position: usize,
    broken: bool,
}

impl<'a> Batches<'a> {
    /// The batches of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, broken: false }
    }

    /// How many bytes the batches so far take: where the next one starts.
    pub const fn position(&self) -> usize {
        self.position
    }

    /// The bytes not yet taken; after the end: the torn batch, if any.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.position..]
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<BatchView<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.broken || self.rest().len() < SIZE_PREFIX_BYTES {
            return None;
        }
        match BatchView::parse(self.rest()) {
            Ok(batch) => {
                self.position += batch.size_bytes;
                Some(Ok(batch))
            }
            Err(BatchError::Truncated { .. }) => None,
            Err(error) => {
                self.broken = true;
                Some(Err(error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BatchBuilder;
    use model::Offset;

    fn batch(base: i64, values: usize) -> Vec<u8> {
        let builder = BatchBuilder::new().base_offset(Offset(base));
        (0..values).fold(builder, |b, n| b.record(n as i64, None, Some(b"some value"), &[])).build()
    }

    #[test]
    fn a_slice_cut_anywhere_yields_its_whole_batches() {
        let bytes = [batch(0, 3), batch(3, 1), batch(9, 2)].concat();
        let ends: Vec<_> = Batches::new(&bytes)
            .scan(0, |end, b| {
                *end += b.unwrap().size_bytes;
                Some(*end)
            })
            .collect();
        assert_eq!(ends.len(), 3);
        for cut in 0..=bytes.len() {
            let mut batches = Batches::new(&bytes[..cut]);
            let whole = batches.by_ref().map(Result::unwrap).count();
            assert_eq!(whole, ends.iter().filter(|end| **end <= cut).count(), "cut at {cut}");
            assert_eq!(batches.position() + batches.rest().len(), cut);
        }
    }

    #[test]
    fn any_flipped_bit_behind_the_checksum_is_noticed() {
        let bytes = batch(7, 2);
        assert_eq!(BatchView::parse(&bytes).unwrap().verify(), Ok(()));
        for at in ATTRIBUTES_AT..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            let noticed = BatchView::parse(&damaged).is_err_and(|_| true)
                || BatchView::parse(&damaged).is_ok_and(|view| view.verify().is_err());
            assert!(noticed, "byte {at}");
        }
    }

    #[test]
    fn a_record_without_a_key_is_found() {
        let cap = model::limits::DECOMPRESSED_BYTES_MAX;
        let without = |bytes: &[u8]| BatchView::parse(bytes).unwrap().first_without_key(cap).unwrap();
        let keyed = BatchBuilder::new().record(1, Some(b""), None, &[]).record(2, Some(b"k"), None, &[]);
        assert_eq!(without(&keyed.clone().build()), None);
        assert_eq!(without(&keyed.record(3, None, Some(b"v"), &[]).build()), Some(2));
    }

    #[test]
    fn an_impossible_header_ends_the_iteration_with_an_error() {
        let mut bytes = [batch(0, 1), batch(1, 1)].concat();
        let second = bytes.len() / 2;
        bytes[second + crate::header::MAGIC_AT] = 1;
        let all: Vec<_> = Batches::new(&bytes).collect();
        assert!(matches!(all[..], [Ok(_), Err(BatchError::Magic(1))]));
    }
}
