use super::{DecodeError, Reader, Version, Wire, Writer};

/// A floating-point number as the wire carries it. Two are equal when their bits are, so that messages can be compared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Double(pub f64);

impl PartialEq for Double {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Double {}

impl Wire for Double {
    const SIZE_MIN: usize = size_of::<f64>();

    fn read(reader: &mut Reader, _: Version) -> Result<Self, DecodeError> {
        Ok(Self(f64::from_be_bytes(reader.array()?)))
    }

    fn write(&self, writer: &mut Writer, _: Version) {
        writer.put(&self.0.to_be_bytes());
    }
}
