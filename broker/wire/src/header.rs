//! What precedes a body.
//!
//! ```text
//! request header v1    api_key i16 | api_version i16 | correlation_id i32 | client_id nullable string (i16 length)
//! request header v2    the same, client_id too, then tagged fields
//! response header v0   correlation_id i32
//! response header v1   the same, then tagged fields
//! ```

use crate::codec::{DecodeError, Reader, Reason, Tags, Version, Wire, Writer};
use crate::{ApiKey, internal};
use bytes::Bytes;

/// How the fixed part of every header is written.
const CLASSIC: Version = Version { number: 1, flexible: false };

/// What a request says about itself before its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHeader {
    /// Which API; see [`ApiKey`] and [`internal`].
    pub api_key: i16,
    /// Which version of it.
    pub api_version: i16,
    /// Comes back with the response.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<String>,
    /// Tagged fields that are not known here.
    pub unknown_tags: Tags,
}

/// The first fields of a request, without a copy; see [`RequestHeader::peek`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peek<'a> {
    /// Which API.
    pub api_key: i16,
    /// Which version of it.
    pub api_version: i16,
    /// Comes back with the response.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<&'a str>,
}

impl RequestHeader {
    /// Reads the header of `frame` (without its length prefix) and hands back the body too.
    ///
    /// The body is not looked at, so the version need not be one that is supported: an ApiVersions request of any
    /// version can be answered.
    ///
    /// # Errors
    /// When it is cut off, or its API is unknown.
    pub fn decode(frame: Bytes) -> Result<(Self, Bytes), DecodeError> {
        let mut reader = Reader::new(frame);
        let header = Self::read(&mut reader).map_err(|fault| fault.within("request header"))?;
        Ok((header, reader.rest()))
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let mut header = Self {
            api_key: Wire::read(reader, CLASSIC)?,
            api_version: Wire::read(reader, CLASSIC)?,
            correlation_id: Wire::read(reader, CLASSIC)?,
            client_id: Wire::read(reader, CLASSIC).map_err(|fault| fault.within("client_id"))?,
            unknown_tags: Tags::default(),
        };
        if header.api_version >= flexible_from(header.api_key)? {
            header.unknown_tags = Tags::read(reader, |_, _| Ok(false))?;
        }
        Ok(header)
    }

    /// Looks at the header of `frame` (without its length prefix). Of any API, and without a copy.
    ///
    /// # Errors
    /// When it is cut off or the client id is not text.
    pub fn peek(frame: &[u8]) -> Result<Peek<'_>, DecodeError> {
        let truncated = |wanted| Reason::Truncated { wanted, left: frame.len() };
        let (&[k0, k1, v0, v1, c0, c1, c2, c3, l0, l1], rest) = frame.split_first_chunk().ok_or(truncated(10))?;
        let client_id = match i16::from_be_bytes([l0, l1]) {
            -1 => None,
            len => {
                let len = usize::try_from(len).map_err(|_| Reason::NegativeLength(len.into()))?;
                let text = rest.get(..len).ok_or(truncated(10 + len))?;
                Some(std::str::from_utf8(text).map_err(|_| Reason::Utf8)?)
            }
        };
        let (api_key, api_version) = (i16::from_be_bytes([k0, k1]), i16::from_be_bytes([v0, v1]));
        Ok(Peek { api_key, api_version, correlation_id: i32::from_be_bytes([c0, c1, c2, c3]), client_id })
    }

    /// Appends it; `flexible_from` is its API's first version with a flexible header.
    pub(crate) fn write(&self, writer: &mut Writer, flexible_from: i16) {
        self.api_key.write(writer, CLASSIC);
        self.api_version.write(writer, CLASSIC);
        self.correlation_id.write(writer, CLASSIC);
        self.client_id.write(writer, CLASSIC);
        if self.api_version >= flexible_from {
            self.unknown_tags.write(Tags::default(), writer);
        }
    }
}

/// The first flexible version of any API, Kafka's or ours.
fn flexible_from(api_key: i16) -> Result<i16, DecodeError> {
    internal::flexible_from(api_key).map_or_else(|| ApiKey::try_from(api_key).map(ApiKey::flexible_from), Ok)
}

fn has_flexible_response_header(api_key: i16, version: i16) -> Result<bool, DecodeError> {
    Ok(api_key != ApiKey::ApiVersions.number() && version >= flexible_from(api_key)?)
}

/// Appends the header of the response to a request of that API and version.
pub(crate) fn write_response_header(writer: &mut Writer, api_key: i16, version: i16, correlation_id: i32) {
    correlation_id.write(writer, CLASSIC);
    if has_flexible_response_header(api_key, version).unwrap_or(false) {
        writer.varint(0);
    }
}

/// Reads the header of the response to a request of that API and version; what is left is the body.
///
/// # Errors
/// When it is cut off or the API is unknown.
pub fn decode_response_header(frame: Bytes, api_key: i16, version: i16) -> Result<(i32, Bytes), DecodeError> {
    let mut reader = Reader::new(frame);
    let mut read = || {
        let correlation_id = i32::read(&mut reader, CLASSIC)?;
        if has_flexible_response_header(api_key, version)? {
            Tags::read(&mut reader, |_, _| Ok(false))?;
        }
        Ok(correlation_id)
    };
    let correlation_id = read().map_err(|fault: DecodeError| fault.within("response header"))?;
    Ok((correlation_id, reader.rest()))
}
