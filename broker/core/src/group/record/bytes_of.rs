use super::RecordError;
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Reads the primitives of Kafka's records; every length is held against what is left.
pub(super) struct Reader(pub(super) Bytes);

macro_rules! fixed {
    ($name:ident, $method:ident, $type:ty) => {
        pub(super) fn $name(&mut self) -> Result<$type, RecordError> {
            self.0.$method().map_err(|_| RecordError::Malformed)
        }
    };
}

impl Reader {
    fixed!(i8, try_get_i8, i8);
    fixed!(i16, try_get_i16, i16);
    fixed!(i32, try_get_i32, i32);
    fixed!(i64, try_get_i64, i64);
    fixed!(u128, try_get_u128, u128);

    fn take(&mut self, length: usize) -> Result<Bytes, RecordError> {
        if length > self.0.remaining() { Err(RecordError::Malformed) } else { Ok(self.0.split_to(length)) }
    }

    fn taken_text(&mut self, length: usize) -> Result<String, RecordError> {
        String::from_utf8(self.take(length)?.to_vec()).map_err(|_| RecordError::Malformed)
    }

    pub(super) fn nullable_text(&mut self) -> Result<Option<String>, RecordError> {
        match self.i16()? {
            -1 => Ok(None),
            length => self.taken_text(usize::try_from(length).map_err(|_| RecordError::Malformed)?).map(Some),
        }
    }

    pub(super) fn text(&mut self) -> Result<String, RecordError> {
        self.nullable_text()?.ok_or(RecordError::Malformed)
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes, RecordError> {
        let length = usize::try_from(self.i32()?).map_err(|_| RecordError::Malformed)?;
        self.take(length)
    }

    /// The length of an array whose elements take at least `least` bytes each.
    pub(super) fn count(&mut self, least: usize) -> Result<usize, RecordError> {
        let count = usize::try_from(self.i32()?).map_err(|_| RecordError::Malformed)?;
        if count > self.0.remaining() / least { Err(RecordError::Malformed) } else { Ok(count) }
    }

    pub(super) fn varint(&mut self) -> Result<u32, RecordError> {
        let mut value = 0_u32;
        for shift in (0..32).step_by(7) {
            let byte = self.0.try_get_u8().map_err(|_| RecordError::Malformed)?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(RecordError::Malformed)
    }

    fn compact_length(&mut self) -> Result<Option<usize>, RecordError> {
        Ok(self.varint()?.checked_sub(1).map(|length| length as usize))
    }

    pub(super) fn compact_nullable_text(&mut self) -> Result<Option<String>, RecordError> {
        self.compact_length()?.map(|length| self.taken_text(length)).transpose()
    }

    pub(super) fn compact_text(&mut self) -> Result<String, RecordError> {
        self.compact_nullable_text()?.ok_or(RecordError::Malformed)
    }

    pub(super) fn compact_bytes(&mut self) -> Result<Bytes, RecordError> {
        let length = self.compact_length()?.ok_or(RecordError::Malformed)?;
        self.take(length)
    }

    /// The length of a compact array whose elements take at least `least` bytes each; null is none.
    pub(super) fn compact_count(&mut self, least: usize) -> Result<usize, RecordError> {
        let count = self.compact_length()?.unwrap_or(0);
        if count > self.0.remaining() / least { Err(RecordError::Malformed) } else { Ok(count) }
    }

    /// Hands each tagged field to `field`.
    pub(super) fn tagged(
        &mut self,
        mut field: impl FnMut(u32, Reader) -> Result<(), RecordError>,
    ) -> Result<(), RecordError> {
        for _ in 0..self.varint()? {
            let (tag, length) = (self.varint()?, self.varint()?);
            field(tag, Reader(self.take(length as usize)?))?;
        }
        Ok(())
    }
}

pub(super) fn put_text(out: &mut BytesMut, text: &str) {
    out.put_i16(i16::try_from(text.len()).expect("names come from the protocol, which counts them in 16 bits"));
    out.put_slice(text.as_bytes());
}

pub(super) fn put_nullable_text(out: &mut BytesMut, text: Option<&str>) {
    match text {
        Some(text) => put_text(out, text),
        None => out.put_i16(-1),
    }
}

pub(super) fn put_bytes(out: &mut BytesMut, bytes: &Bytes) {
    out.put_i32(i32::try_from(bytes.len()).expect("metadata is bounded by the frame it came in"));
    out.put_slice(bytes);
}

pub(super) fn put_varint(out: &mut BytesMut, mut value: u32) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

pub(super) fn put_compact_text(out: &mut BytesMut, text: &str) {
    put_varint(out, text.len() as u32 + 1);
    out.put_slice(text.as_bytes());
}

pub(super) fn put_compact_nullable_text(out: &mut BytesMut, text: Option<&str>) {
    match text {
        Some(text) => put_compact_text(out, text),
        None => put_varint(out, 0),
    }
}

pub(super) fn put_compact_bytes(out: &mut BytesMut, bytes: &Bytes) {
    put_varint(out, bytes.len() as u32 + 1);
    out.put_slice(bytes);
}

pub(super) fn put_compact_count(out: &mut BytesMut, count: usize) {
    put_varint(out, count as u32 + 1);
}
