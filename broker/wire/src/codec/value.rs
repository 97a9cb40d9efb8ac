use super::{DecodeError, Reader, Reason, Version, Writer};
use bytes::Bytes;
use model::TopicId;
use uuid::Uuid;

/// A value that has a form on the wire, possibly another one in each version of the message it is part of.
pub trait Wire: Sized {
    /// The fewest bytes any version of it takes. It bounds how many elements an array can have.
    const SIZE_MIN: usize;

    /// Reads one.
    ///
    /// # Errors
    /// When the bytes are not one; nothing is allocated beyond what the input can hold.
    fn read(reader: &mut Reader, version: Version) -> Result<Self, DecodeError>;

    /// Appends it; a fault shows when the writer is finished.
    fn write(&self, writer: &mut Writer, version: Version);
}

/// A value that has a null.
pub(crate) trait Nullable {
    /// Appends the value where the version has no null: null becomes the empty value.
    fn write_present(&self, writer: &mut Writer, version: Version);
}

macro_rules! numbers {
    ($($number:ty),*) => { $(
        impl Wire for $number {
            const SIZE_MIN: usize = size_of::<$number>();

            fn read(reader: &mut Reader, _: Version) -> Result<Self, DecodeError> {
                Ok(Self::from_be_bytes(reader.array()?))
            }

            fn write(&self, writer: &mut Writer, _: Version) {
                writer.put(&self.to_be_bytes());
            }
        }
    )* };
}
numbers!(i8, i16, i32, i64, u16);

impl Wire for bool {
    const SIZE_MIN: usize = 1;

    fn read(reader: &mut Reader, _: Version) -> Result<Self, DecodeError> {
        let [byte] = reader.array()?;
        Ok(byte != 0)
    }

    fn write(&self, writer: &mut Writer, _: Version) {
        writer.put(&[u8::from(*self)]);
    }
}

impl Wire for Uuid {
    const SIZE_MIN: usize = 16;

    fn read(reader: &mut Reader, _: Version) -> Result<Self, DecodeError> {
        Ok(Self::from_bytes(reader.array()?))
    }

    fn write(&self, writer: &mut Writer, _: Version) {
        writer.put(self.as_bytes());
    }
}

impl Wire for TopicId {
    const SIZE_MIN: usize = 16;

    fn read(reader: &mut Reader, version: Version) -> Result<Self, DecodeError> {
        Uuid::read(reader, version).map(Self)
    }

    fn write(&self, writer: &mut Writer, version: Version) {
        self.0.write(writer, version);
    }
}

fn present<T>(value: Option<T>) -> Result<T, DecodeError> {
    value.ok_or_else(|| Reason::Null.into())
}

impl Wire for Option<String> {
    const SIZE_MIN: usize = 1;

    fn read(reader: &mut Reader, version: Version) -> Result<Self, DecodeError> {
        match reader.text_len(version)? {
            Some(len) => reader.text(len).map(Some),
            None => Ok(None),
        }
    }

    fn write(&self, writer: &mut Writer, version: Version) {
        match self {
            Some(text) => text.write(writer, version),
            None => writer.text_len(None, version),
        }
    }
}

impl Nullable for Option<String> {
    fn write_present(&self, writer: &mut Writer, version: Version) {
        let text = self.as_deref().unwrap_or_default();
        writer.text_len(Some(text.len()), version);
        writer.put(text.as_bytes());
    }
}

impl Wire for String {
    const SIZE_MIN: usize = 1;

    fn read(reader: &mut Reader, version: Version) -> Result<Self, DecodeError> {
        let len = present(reader.text_len(version)?)?;
        reader.text(len)
    }

    fn write(&self, writer: &mut Writer, version: Version) {
        writer.text_len(Some(self.len()), version);
        writer.put(self.as_bytes());
    }
}

impl Wire for Option<Bytes> {
    const SIZE_MIN: usize = 1;

    fn read(reader: &mut Reader, version: Version) -> Result<Self, DecodeError> {
        match reader.long_len(version)? {
            Some(len) => reader.slice(len).map(Some),
            None => Ok(None),
        }
    }

    fn write(&self, writer: &mut Writer, version: Version) {
        match self {
            Some(bytes) => bytes.write(writer, version),
            None => writer.long_len(None, version),
        }
    }
}

impl Wire for Bytes {
    const SIZE_MIN: usize = 1;

    fn read(reader: &mut Reader, version: Version) -> Result<Self, DecodeError> {
        present(Option::read(reader, version)?)
    }

    fn write(&self, writer: &mut Writer, version: Version) {
        writer.long_len(Some(self.len()), version);
        writer.share(self);
    }
}

/// The record batches of a fetched partition: as bytes, or left out because they go from a file to the socket.
///
/// Never null: some clients take a null for a fault (librdkafka: "invalid MessageSetSize -1"). A null that is read
/// is no records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Records {
    /// Whole batches, back to back.
    Bytes(Bytes),
    /// So many bytes of batches, to be sent from elsewhere; such a message must be encoded in pieces.
    Placeholder(usize),
}

impl Records {
    /// How many bytes they are.
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Placeholder(len) => *len,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, unless they are elsewhere. What was decoded always has them.
    pub fn bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Placeholder(_) => None,
        }
    }

    /// The bytes of decoded records; a placeholder has none.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Placeholder(_) => Bytes::new(),
        }
    }
}

impl Default for Records {
    fn default() -> Self {
        Self::Bytes(Bytes::new())
    }
}

impl From<Bytes> for Records {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl Wire for Records {
    const SIZE_MIN: usize = 1;

    fn read(reader: &mut Reader, version: Version) -> Result<Self, DecodeError> {
        let bytes = Option::<Bytes>::read(reader, version)?;
        Ok(Self::Bytes(bytes.unwrap_or_default()))
    }

    fn write(&self, writer: &mut Writer, version: Version) {
        match self {
            Self::Bytes(bytes) => bytes.write(writer, version),
            Self::Placeholder(len) => {
                writer.long_len(Some(*len), version);
                writer.leave_out(*len);
            }
        }
    }
}

fn read_elements<T: Wire>(count: usize, reader: &mut Reader, version: Version) -> Result<Vec<T>, DecodeError> {
    reader.charge(count, T::SIZE_MIN, size_of::<T>())?;
    let mut elements = Vec::with_capacity(count);
    for index in 0..count {
        elements.push(T::read(reader, version).map_err(|fault| fault.at(index))?);
    }
    Ok(elements)
}

fn write_elements<T: Wire>(elements: &[T], writer: &mut Writer, version: Version) {
    writer.long_len(Some(elements.len()), version);
    for element in elements {
        element.write(writer, version);
    }
}

impl<T: Wire> Wire for Option<Vec<T>> {
    const SIZE_MIN: usize = 1;

    fn read(reader: &mut Reader, version: Version) -> Result<Self, DecodeError> {
        match reader.long_len(version)? {
            Some(count) => read_elements(count, reader, version).map(Some),
            None => Ok(None),
        }
    }

    fn write(&self, writer: &mut Writer, version: Version) {
        match self {
            Some(elements) => write_elements(elements, writer, version),
            None => writer.long_len(None, version),
        }
    }
}

impl<T: Wire> Nullable for Option<Vec<T>> {
    fn write_present(&self, writer: &mut Writer, version: Version) {
        write_elements(self.as_deref().unwrap_or_default(), writer, version);
    }
}

impl<T: Wire> Wire for Vec<T> {
    const SIZE_MIN: usize = 1;

    fn read(reader: &mut Reader, version: Version) -> Result<Self, DecodeError> {
        let count = present(reader.long_len(version)?)?;
        read_elements(count, reader, version)
    }

    fn write(&self, writer: &mut Writer, version: Version) {
        write_elements(self, writer, version);
    }
}

/// Reads a structure that may be absent: a marker byte, then the structure.
pub(crate) fn read_maybe<T: Wire>(reader: &mut Reader, version: Version) -> Result<Option<T>, DecodeError> {
    match i8::read(reader, version)? {
        -1 => Ok(None),
        1 => T::read(reader, version).map(Some),
        marker => Err(Reason::Presence(marker).into()),
    }
}

/// Writes a structure that may be absent.
pub(crate) fn write_maybe<T: Wire>(value: Option<&T>, writer: &mut Writer, version: Version) {
    match value {
        Some(value) => {
            1i8.write(writer, version);
            value.write(writer, version);
        }
        None => (-1i8).write(writer, version),
    }
}
