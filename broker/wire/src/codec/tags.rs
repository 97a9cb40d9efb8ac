use super::{DecodeError, Reader, Reason, Version, Wire, Writer};
use bytes::Bytes;

/// Tagged fields that this release does not know (KIP-482), kept so that a message can be passed on as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(Vec<(u32, Bytes)>);

impl Tags {
    /// Adds the field `tag`; fields are written in ascending order of their tags.
    pub fn push(&mut self, tag: u32, content: Bytes) {
        self.0.push((tag, content));
    }

    /// Every field, in the order of the message.
    pub fn iter(&self) -> impl Iterator<Item = &(u32, Bytes)> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads the tagged fields at the end of a structure. `known` takes the content of the fields it knows and says so;
    /// the others are kept here.
    pub(crate) fn read(
        reader: &mut Reader,
        mut known: impl FnMut(&mut Reader, u32) -> Result<bool, DecodeError>,
    ) -> Result<Self, DecodeError> {
        let count = reader.varint()? as usize;
        reader.charge(count, 2, size_of::<(u32, Bytes)>())?;
        let mut unknown = Self::default();
        let mut previous = None;
        for _ in 0..count {
            let tag = reader.varint()?;
            if let Some(previous) = previous.filter(|previous| tag <= *previous) {
                return Err(Reason::TagOrder { tag, previous }.into());
            }
            previous = Some(tag);
            let len = reader.varint()? as usize;
            reader.exactly(len, |reader| {
                if !known(reader, tag)? {
                    unknown.push(tag, reader.rest());
                }
                Ok(())
            })?;
        }
        Ok(unknown)
    }

    /// Writes `known` fields and the unknown ones in ascending order of their tags.
    pub(crate) fn write(&self, mut known: Self, writer: &mut Writer) {
        known.0.extend(self.iter().cloned());
        known.0.sort_by_key(|(tag, _)| *tag);
        writer.varint(known.0.len() as u32);
        for (tag, content) in known.iter() {
            writer.varint(*tag);
            writer.varint(content.len() as u32);
            writer.put(content);
        }
    }

    /// Adds the field `tag` with `value` as its content.
    pub(crate) fn push_value(&mut self, tag: u32, value: &impl Wire, writer: &mut Writer, version: Version) {
        let mut part = Writer::new();
        value.write(&mut part, version);
        self.push(tag, writer.finish_part(part));
    }
}
