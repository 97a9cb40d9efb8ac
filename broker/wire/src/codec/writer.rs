use super::{EncodeError, Version};
use bytes::{BufMut, Bytes, BytesMut};

/// Bytes of at least this size are handed on as a piece of their own instead of being copied.
const SHARED_BYTES_MIN: usize = 2048;

/// A part of an encoded message, in the order it is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// These bytes.
    Bytes(Bytes),
    /// So many bytes that come from elsewhere: the content of the next [`Records::Placeholder`](super::Records).
    Placeholder(usize),
}

impl Piece {
    /// How many bytes it stands for.
    #[expect(clippy::len_without_is_empty, reason = "no piece is empty")]
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Placeholder(len) => *len,
        }
    }
}

/// Writes values one after the other, in one piece or with large byte fields left out.
///
/// The first fault sticks and comes out at the end, so writing itself cannot fail.
#[derive(Debug, Default)]
pub struct Writer {
    buffer: BytesMut,
    /// What comes between the bytes of the buffer, and where.
    spliced: Vec<(usize, Piece)>,
    in_pieces: bool,
    framed: bool,
    fault: Option<EncodeError>,
}

impl Writer {
    /// A writer into one piece.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A writer that hands large bytes on as they are and accepts placeholders.
    pub(crate) fn in_pieces() -> Self {
        Self { in_pieces: true, ..Self::default() }
    }

    /// The same, with the frame's length in front.
    pub(crate) fn framed(mut self) -> Self {
        self.buffer.reserve(256);
        self.buffer.put_i32(0);
        self.framed = true;
        self
    }

    /// Appends `bytes` as they are, copied.
    pub fn put(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Appends `bytes`, shared when that pays.
    pub(crate) fn share(&mut self, bytes: &Bytes) {
        if self.in_pieces && bytes.len() >= SHARED_BYTES_MIN {
            self.spliced.push((self.buffer.len(), Piece::Bytes(bytes.clone())));
        } else {
            self.put(bytes);
        }
    }

    /// Leaves out `len` bytes that come from elsewhere.
    pub(crate) fn leave_out(&mut self, len: usize) {
        if len == 0 {
            return;
        }
        if !self.in_pieces {
            self.fail(EncodeError::Placeholder(len));
        }
        self.spliced.push((self.buffer.len(), Piece::Placeholder(len)));
    }

    /// Appends an unsigned variable-length integer.
    pub fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.buffer.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.buffer.put_u8(value as u8);
    }

    /// The length of a string; `None` is null.
    pub(crate) fn text_len(&mut self, len: Option<usize>, version: Version) {
        if version.flexible {
            return self.compact_len(len);
        }
        let len = self.fitting(len, i16::MAX as usize);
        self.buffer.put_i16(len as i16);
    }

    /// The length of bytes or an array; `None` is null.
    pub(crate) fn long_len(&mut self, len: Option<usize>, version: Version) {
        if version.flexible {
            return self.compact_len(len);
        }
        let len = self.fitting(len, i32::MAX as usize);
        self.buffer.put_i32(len as i32);
    }

    fn compact_len(&mut self, len: Option<usize>) {
        let len = self.fitting(len, i32::MAX as usize - 1);
        self.varint((len + 1) as u32);
    }

    /// The length as a number, -1 for null; a length over the limit is a fault.
    fn fitting(&mut self, len: Option<usize>, limit: usize) -> i64 {
        match len {
            None => -1,
            Some(len) if len <= limit => len as i64,
            Some(len) => {
                self.fail(EncodeError::TooLong { len, limit });
                0
            }
        }
    }

    fn fail(&mut self, fault: EncodeError) {
        self.fault.get_or_insert(fault);
    }

    /// Takes over the fault of `other`, which wrote a part of the same message.
    pub(crate) fn finish_part(&mut self, other: Self) -> Bytes {
        if let Some(fault) = other.fault {
            self.fail(fault);
        }
        other.buffer.freeze()
    }

    fn seal(&mut self) -> Result<(), EncodeError> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        if self.framed {
            let len = self.buffer.len() - 4 + self.spliced.iter().map(|(_, piece)| piece.len()).sum::<usize>();
            let limit = i32::MAX as usize;
            let prefix = i32::try_from(len).map_err(|_| EncodeError::TooLong { len, limit })?;
            self.buffer[..4].copy_from_slice(&prefix.to_be_bytes());
        }
        Ok(())
    }

    /// Everything written, in one piece.
    ///
    /// # Errors
    /// The first fault there was.
    pub(crate) fn finish(mut self) -> Result<Bytes, EncodeError> {
        assert!(!self.in_pieces, "a message written in pieces is finished in pieces");
        self.seal()?;
        Ok(self.buffer.freeze())
    }

    /// Everything written, piece by piece; no piece is empty.
    ///
    /// # Errors
    /// The first fault there was.
    pub(crate) fn finish_in_pieces(mut self) -> Result<Vec<Piece>, EncodeError> {
        self.seal()?;
        let mut pieces = Vec::with_capacity(2 * self.spliced.len() + 1);
        let mut rest = self.buffer.freeze();
        let mut taken = 0;
        for (at, piece) in self.spliced {
            if at > taken {
                pieces.push(Piece::Bytes(rest.split_to(at - taken)));
                taken = at;
            }
            pieces.push(piece);
        }
        if !rest.is_empty() {
            pieces.push(Piece::Bytes(rest));
        }
        Ok(pieces)
    }
}
