//! Frames: four bytes of length, a header, a body.

use crate::codec::{EncodeError, Message, Piece, Request, Writer};
use crate::header::{RequestHeader, write_response_header};
use bytes::{Buf, Bytes, BytesMut};
use model::ByteCount;

/// A length prefix that is not believed. The connection is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Zero or negative.
    #[error("a frame of {0} bytes cannot be")]
    Length(i32),
    /// Larger than allowed.
    #[error("a frame of {len} bytes is larger than the {limit} that are allowed{}", hint(*.len))]
    TooLong {
        /// What the prefix says.
        len: i32,
        /// The limit of this listener.
        limit: ByteCount,
    },
}

/// What else a large prefix could be.
fn hint(len: i32) -> &'static str {
    match len.to_be_bytes() {
        [0x16, 3, _, _] => "; this looks like TLS on a plaintext listener",
        [b'G', b'E', b'T', b' '] | [b'P', b'O', b'S', b'T'] | [b'H', b'E', b'A', b'D'] => {
            "; this looks like HTTP on a Kafka listener"
        }
        _ => "",
    }
}

/// The length of the frame that follows `prefix`.
///
/// # Errors
/// When it is not positive or over `limit`; nothing has been allocated for it.
pub fn length(prefix: [u8; 4], limit: ByteCount) -> Result<usize, FrameError> {
    let len = i32::from_be_bytes(prefix);
    match u64::try_from(len) {
        Ok(1..) if len as u64 <= limit.0 => Ok(len as usize),
        Ok(1..) => Err(FrameError::TooLong { len, limit }),
        _ => Err(FrameError::Length(len)),
    }
}

/// Takes the next whole frame, without its prefix, off the front of what has been received; `None` when more must come.
///
/// # Errors
/// As [`length`], as soon as the prefix is there.
pub fn take(received: &mut BytesMut, limit: ByteCount) -> Result<Option<Bytes>, FrameError> {
    let Some(prefix) = received.first_chunk::<4>() else { return Ok(None) };
    let len = length(*prefix, limit)?;
    if received.len() < 4 + len {
        return Ok(None);
    }
    received.advance(4);
    Ok(Some(received.split_to(len).freeze()))
}

fn write_request<R: Request>(
    mut writer: Writer,
    correlation_id: i32,
    client_id: Option<&str>,
    version: i16,
    request: &R,
) -> Result<Writer, EncodeError> {
    let client_id = client_id.map(str::to_owned);
    let (api_key, api_version) = (R::KEY, version);
    let header = RequestHeader { api_key, api_version, correlation_id, client_id, ..Default::default() };
    header.write(&mut writer, R::FLEXIBLE_FROM);
    request.write_body(&mut writer, version)?;
    Ok(writer)
}

fn write_response<M: Message>(
    mut writer: Writer,
    correlation_id: i32,
    version: i16,
    response: &M,
) -> Result<Writer, EncodeError> {
    write_response_header(&mut writer, M::KEY, version, correlation_id);
    response.write_body(&mut writer, version)?;
    Ok(writer)
}

/// A whole request: length, header, body.
///
/// # Errors
/// As [`Message::encode`].
pub fn encode_request<R: Request>(
    correlation_id: i32,
    client_id: Option<&str>,
    version: i16,
    request: &R,
) -> Result<Bytes, EncodeError> {
    write_request(Writer::new().framed(), correlation_id, client_id, version, request)?.finish()
}

/// A whole request with its large byte fields shared instead of copied.
///
/// # Errors
/// As [`Message::encode_split`].
pub fn encode_request_split<R: Request>(
    correlation_id: i32,
    client_id: Option<&str>,
    version: i16,
    request: &R,
) -> Result<Vec<Piece>, EncodeError> {
    write_request(Writer::in_pieces().framed(), correlation_id, client_id, version, request)?.finish_in_pieces()
}

/// A whole response: length, header, body.
///
/// # Errors
/// As [`Message::encode`].
pub fn encode_response<M: Message>(correlation_id: i32, version: i16, response: &M) -> Result<Bytes, EncodeError> {
    write_response(Writer::new().framed(), correlation_id, version, response)?.finish()
}

/// A whole response in the order it is to be sent: large byte fields shared instead of copied, and a placeholder
/// wherever [`Records::Placeholder`](crate::Records) bytes go. The length in front counts them all.
///
/// # Errors
/// As [`Message::encode_split`].
pub fn encode_response_split<M: Message>(
    correlation_id: i32,
    version: i16,
    response: &M,
) -> Result<Vec<Piece>, EncodeError> {
    write_response(Writer::in_pieces().framed(), correlation_id, version, response)?.finish_in_pieces()
}

/// A whole response around a body that is already encoded: length, header, `body`.
///
/// # Errors
/// When the frame would be too long for its prefix.
pub fn encode_response_body(
    correlation_id: i32,
    api_key: i16,
    version: i16,
    body: &[u8],
) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new().framed();
    write_response_header(&mut writer, api_key, version, correlation_id);
    writer.put(body);
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::limits::FRAME_BYTES_MAX;

    #[test]
    fn a_length_prefix_is_held_against_the_limit_before_anything_is_allocated() {
        let length = |len: i32| length(len.to_be_bytes(), FRAME_BYTES_MAX);
        assert_eq!(length(17), Ok(17));
        assert_eq!(length(0), Err(FrameError::Length(0)));
        assert_eq!(length(-5), Err(FrameError::Length(-5)));
        assert_eq!(length(i32::MAX), Err(FrameError::TooLong { len: i32::MAX, limit: FRAME_BYTES_MAX }));
        assert_eq!(length(100 << 20), Ok(100 << 20));
        assert!(length((100 << 20) + 1).is_err());
    }

    #[test]
    fn http_and_tls_on_a_plaintext_port_are_named() {
        let error = |prefix: &[u8; 4]| length(*prefix, FRAME_BYTES_MAX).unwrap_err().to_string();
        assert!(error(b"GET ").ends_with("this looks like HTTP on a Kafka listener"));
        assert!(error(&[0x16, 3, 1, 2]).ends_with("this looks like TLS on a plaintext listener"));
    }

    #[test]
    fn frames_are_taken_whole_and_in_order() {
        let mut received = BytesMut::from(&[0, 0, 0, 2, 7, 8, 0, 0, 0, 1, 9, 0, 0][..]);
        let take = |received: &mut BytesMut| take(received, FRAME_BYTES_MAX).unwrap();
        assert_eq!(take(&mut received).as_deref(), Some(&[7, 8][..]));
        assert_eq!(take(&mut received).as_deref(), Some(&[9][..]));
        assert_eq!(take(&mut received), None);
        assert_eq!(received, [0, 0][..]);
    }
}
