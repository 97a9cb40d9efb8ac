use bytes::{Buf, BufMut, Bytes, BytesMut};
use model::limits;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What a frame asks for, or answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Hello,
    Welcome,
    Refused,
    Answer,
    Failed,
    Vote,
    Append,
    Snapshot,
    Canvass,
    Propose,
    ReadIndex,
    Call,
    Followed,
}

const KINDS: [(Kind, u8); 13] = [
    (Kind::Hello, 1),
    (Kind::Welcome, 2),
    (Kind::Refused, 3),
    (Kind::Answer, 4),
    (Kind::Failed, 5),
    (Kind::Vote, 10),
    (Kind::Append, 11),
    (Kind::Snapshot, 12),
    (Kind::Canvass, 13),
    (Kind::Propose, 14),
    (Kind::ReadIndex, 15),
    (Kind::Call, 16),
    (Kind::Followed, 17),
];

const HEADER_BYTES: usize = 9;
/// The longest payload.
pub(super) const PAYLOAD_BYTES_MAX: usize = limits::INTERNAL_FRAME_BYTES_MAX.0 as usize - HEADER_BYTES;
/// The longest payload of a hello, a welcome or a refusal.
pub(super) const HELLO_BYTES_MAX: usize = 4096;
/// Memory is taken in steps of this size, as the bytes arrive.
const STEP_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) id: u64,
    pub(super) payload: Bytes,
}

fn number(kind: Kind) -> u8 {
    KINDS.iter().find(|(known, _)| *known == kind).map_or(0, |(_, number)| *number)
}

fn kind(number: u8) -> io::Result<Kind> {
    let found = KINDS.iter().find(|(_, known)| *known == number);
    found.map(|(kind, _)| *kind).ok_or_else(|| bad(format!("the kind of frame {number} is unknown")))
}

fn bad(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl Frame {
    pub(super) fn new(kind: Kind, id: u64, payload: impl Into<Bytes>) -> Self {
        Self { kind, id, payload: payload.into() }
    }

    /// Writes the frame.
    pub(super) async fn write(&self, out: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let mut head = BytesMut::with_capacity(4 + HEADER_BYTES);
        head.put_u32_le((HEADER_BYTES + self.payload.len()) as u32);
        head.put_u8(number(self.kind));
        head.put_u64_le(self.id);
        out.write_all_buf(&mut head.freeze().chain(self.payload.clone())).await
    }

    /// Reads a frame whose payload is no longer than `payload_bytes_max`.
    pub(super) async fn read(input: &mut (impl AsyncRead + Unpin), payload_bytes_max: usize) -> io::Result<Self> {
        let len = input.read_u32_le().await? as usize;
        if len < HEADER_BYTES || len - HEADER_BYTES > payload_bytes_max {
            return Err(bad(format!("a frame of {len} bytes; {payload_bytes_max} are the limit here")));
        }
        let (kind, id) = (kind(input.read_u8().await?)?, input.read_u64_le().await?);
        Ok(Self { kind, id, payload: read_exactly(input, len - HEADER_BYTES).await? })
    }
}

async fn read_exactly(input: &mut (impl AsyncRead + Unpin), len: usize) -> io::Result<Bytes> {
    let mut bytes = BytesMut::with_capacity(len.min(STEP_BYTES));
    while bytes.len() < len {
        let missing = len - bytes.len();
        bytes.reserve(missing.min(STEP_BYTES.max(bytes.len())));
        if (&mut *input).take(missing as u64).read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(bytes.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frame_survives_the_round_trip() {
        let mut bytes = Vec::new();
        Frame::new(Kind::Propose, 77, vec![7; 200_000]).write(&mut bytes).await.unwrap();
        let frame = Frame::read(&mut bytes.as_slice(), PAYLOAD_BYTES_MAX).await.unwrap();
        assert_eq!((frame.kind, frame.id, frame.payload.len()), (Kind::Propose, 77, 200_000));
    }

    #[tokio::test]
    async fn a_length_beyond_the_limit_is_refused_before_memory_is_taken() {
        for len in [u32::MAX, limits::INTERNAL_FRAME_BYTES_MAX.0 as u32 + 1, 8, 0] {
            assert!(Frame::read(&mut len.to_le_bytes().as_slice(), PAYLOAD_BYTES_MAX).await.is_err(), "{len}");
        }
    }
}
