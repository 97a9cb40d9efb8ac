use super::{DecodeError, Reason, Version};
use bytes::Bytes;

/// How much memory the arrays of one message may take, as a multiple of the message's own size ...
const MEMORY_PER_BYTE: usize = 32;
/// ... plus this much ...
const MEMORY_BASE: usize = 64 << 10;
/// ... but never more than this.
const MEMORY_MAX: usize = 256 << 20;

/// Reads values from bytes that nobody vouches for.
///
/// Every length is held against what is left before memory is taken, and all arrays of a message together may take
/// only a fixed multiple of the message's size. Byte fields are slices of the input.
#[derive(Debug)]
pub struct Reader {
    input: Bytes,
    at: usize,
    end: usize,
    budget: usize,
}

impl Reader {
    /// A reader at the start of `input`.
    pub fn new(input: Bytes) -> Self {
        let end = input.len();
        let budget = end.saturating_mul(MEMORY_PER_BYTE).saturating_add(MEMORY_BASE).min(MEMORY_MAX);
        Self { input, at: 0, end, budget }
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.end - self.at
    }

    /// What is left, as a slice of the input.
    pub fn rest(&mut self) -> Bytes {
        let rest = self.input.slice(self.at..self.end);
        self.at = self.end;
        rest
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// [`Reason::Trailing`] when there is.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.left() {
            0 => Ok(()),
            left => Err(Reason::Trailing(left).into()),
        }
    }

    fn advance(&mut self, len: usize) -> Result<usize, DecodeError> {
        let left = self.left();
        if len > left {
            return Err(Reason::Truncated { wanted: len, left }.into());
        }
        let start = self.at;
        self.at += len;
        Ok(start)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let start = self.advance(N)?;
        let mut array = [0; N];
        array.copy_from_slice(&self.input[start..start + N]);
        Ok(array)
    }

    /// The next `len` bytes, as a slice of the input.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn slice(&mut self, len: usize) -> Result<Bytes, DecodeError> {
        let start = self.advance(len)?;
        Ok(self.input.slice(start..start + len))
    }

    /// The next `len` bytes as text.
    ///
    /// # Errors
    /// When fewer are left, or they are not UTF-8.
    pub fn text(&mut self, len: usize) -> Result<String, DecodeError> {
        let start = self.advance(len)?;
        let text = std::str::from_utf8(&self.input[start..start + len]).map_err(|_| Reason::Utf8)?;
        Ok(text.to_owned())
    }

    /// An unsigned variable-length integer of at most 32 bits.
    ///
    /// # Errors
    /// When it is cut off or too large.
    pub fn varint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let [byte] = self.array::<1>()?;
            if shift == 28 && byte > 0x0f {
                break;
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Reason::Varint.into())
    }

    /// The length of a string; `None` is null.
    pub(crate) fn text_len(&mut self, version: Version) -> Result<Option<usize>, DecodeError> {
        if version.flexible {
            return self.compact_len();
        }
        classic_len(i32::from(i16::from_be_bytes(self.array()?)))
    }

    /// The length of bytes or an array; `None` is null.
    pub(crate) fn long_len(&mut self, version: Version) -> Result<Option<usize>, DecodeError> {
        if version.flexible {
            return self.compact_len();
        }
        classic_len(i32::from_be_bytes(self.array()?))
    }

    fn compact_len(&mut self) -> Result<Option<usize>, DecodeError> {
        Ok(self.varint()?.checked_sub(1).map(|len| len as usize))
    }

    /// Allows for `count` elements of `size_of` bytes each in memory and of at least `wire_size` bytes each in the
    /// input, or refuses before anything is allocated.
    pub(crate) fn charge(&mut self, count: usize, wire_size: usize, size_of: usize) -> Result<(), DecodeError> {
        let left = self.left();
        if count.saturating_mul(wire_size.max(1)) > left {
            return Err(Reason::Count { count, left }.into());
        }
        let wanted = count.saturating_mul(size_of);
        self.budget = self.budget.checked_sub(wanted).ok_or(Reason::Memory { wanted, budget: self.budget })?;
        Ok(())
    }

    /// Reads a value that must fill the next `len` bytes exactly.
    pub(crate) fn exactly<T>(
        &mut self,
        len: usize,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let left = self.left();
        if len > left {
            return Err(Reason::Truncated { wanted: len, left }.into());
        }
        let outer = std::mem::replace(&mut self.end, self.at + len);
        let value = read(self)?;
        self.finish()?;
        self.end = outer;
        Ok(value)
    }
}

fn classic_len(len: i32) -> Result<Option<usize>, DecodeError> {
    match len {
        -1 => Ok(None),
        _ => Ok(Some(usize::try_from(len).map_err(|_| Reason::NegativeLength(len))?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_varint_has_at_most_five_bytes_and_32_bits() {
        let varint = |bytes: &'static [u8]| Reader::new(Bytes::from_static(bytes)).varint();
        assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Ok(u32::MAX));
        assert_eq!(varint(&[0x80, 0x01]), Ok(128));
        assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0x1f]), Err(Reason::Varint.into()));
        assert_eq!(varint(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x01]), Err(Reason::Varint.into()));
        assert_eq!(varint(&[0x80]), Err(Reason::Truncated { wanted: 1, left: 0 }.into()));
    }

    #[test]
    fn the_memory_of_all_arrays_together_is_bounded() {
        let mut reader = Reader::new(Bytes::from(vec![0; 1000]));
        let budget = 1000 * MEMORY_PER_BYTE + MEMORY_BASE;
        reader.charge(1000, 1, 60).unwrap();
        let error = reader.charge(1000, 1, 60).unwrap_err();
        assert_eq!(error, Reason::Memory { wanted: 60_000, budget: budget - 60_000 }.into());
    }

    #[test]
    fn a_value_of_exact_length_may_leave_nothing_and_reach_no_further() {
        let mut reader = Reader::new(Bytes::from_static(&[1, 2, 3, 4]));
        assert_eq!(reader.exactly(2, Reader::array::<2>), Ok([1, 2]));
        assert_eq!(reader.exactly(1, Reader::array::<2>), Err(Reason::Truncated { wanted: 2, left: 1 }.into()));
        let mut reader = Reader::new(Bytes::from_static(&[1, 2, 3, 4]));
        assert_eq!(reader.exactly(3, Reader::array::<2>), Err(Reason::Trailing(1).into()));
    }
}
