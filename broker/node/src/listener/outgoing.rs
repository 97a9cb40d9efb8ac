//! Answers on their way out: bytes from memory and ranges of files, in order.

use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::sync::Arc;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// So many bytes of a file. The file stays open, and so readable, for as long as this exists.
#[derive(Clone, Debug)]
pub(crate) struct FileRange {
    /// The file.
    pub(crate) file: Arc<File>,
    /// Where in it.
    pub(crate) position: u64,
    /// How many bytes.
    pub(crate) len: usize,
}

/// One part of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Chunk {
    /// From memory.
    Bytes(Bytes),
    /// From a file, without passing through this process.
    File(FileRange),
}

/// One answer, length prefix included.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outgoing(VecDeque<Chunk>);

impl Outgoing {
    /// `head` with the placeholders filled from `files`, in order.
    pub(crate) fn splice(head: Vec<wire::Piece>, files: impl IntoIterator<Item = Vec<FileRange>>) -> Self {
        let mut files = files.into_iter();
        let mut chunks = VecDeque::new();
        for piece in head {
            match piece {
                wire::Piece::Bytes(bytes) => chunks.push_back(Chunk::Bytes(bytes)),
                wire::Piece::Placeholder(len) => {
                    let ranges = files.next().unwrap_or_default();
                    assert_eq!(ranges.iter().map(|range| range.len).sum::<usize>(), len, "a placeholder is filled");
                    chunks.extend(ranges.into_iter().map(Chunk::File));
                }
            }
        }
        Self(chunks)
    }

    /// Sends all of it.
    ///
    /// # Errors
    /// What the socket says; `UnexpectedEof` when a file is shorter than was promised. Either way the connection is of
    /// no more use: the peer has part of an answer.
    pub(crate) async fn send(mut self, stream: &TcpStream) -> io::Result<()> {
        while let Some(chunk) = self.0.front_mut() {
            let is_sent = match chunk {
                Chunk::File(range) => range.len == 0 || range.send_some(stream).await?,
                Chunk::Bytes(_) => self.send_bytes(stream).await?,
            };
            if is_sent {
                self.0.pop_front();
            }
        }
        Ok(())
    }

    /// Sends the bytes in front, as many chunks at once as there are; true when the first chunk is used up.
    async fn send_bytes(&mut self, stream: &TcpStream) -> io::Result<bool> {
        const CHUNKS_MAX: usize = 16;
        stream.writable().await?;
        let in_front = self.0.iter().map_while(|chunk| match chunk {
            Chunk::Bytes(bytes) => Some(IoSlice::new(bytes)),
            Chunk::File(_) => None,
        });
        let slices: Vec<IoSlice<'_>> = in_front.take(CHUNKS_MAX).collect();
        let mut sent = match stream.try_write_vectored(&slices) {
            Ok(sent) => sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        while let Some(Chunk::Bytes(bytes)) = self.0.front_mut() {
            if bytes.len() > sent {
                bytes.advance(sent);
                return Ok(false);
            }
            sent -= bytes.len();
            if sent == 0 {
                return Ok(true);
            }
            self.0.pop_front();
        }
        Ok(false)
    }
}

impl From<Bytes> for Outgoing {
    fn from(bytes: Bytes) -> Self {
        Self(VecDeque::from([Chunk::Bytes(bytes)]))
    }
}

impl FileRange {
    /// Sends what the socket takes now; true when nothing is left.
    async fn send_some(&mut self, stream: &TcpStream) -> io::Result<bool> {
        stream.writable().await?;
        let mut position = self.position;
        let sent = stream.try_io(Interest::WRITABLE, || {
            rustix::fs::sendfile(stream.as_fd(), self.file.as_fd(), Some(&mut position), self.len)
                .map_err(io::Error::from)
        });
        match sent {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a segment is shorter than was promised")),
            Ok(sent) => {
                self.position += sent as u64;
                self.len -= sent;
                Ok(self.len == 0)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn bytes_and_file_ranges_arrive_in_order() {
        let mut file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
        file.write_all(&content).unwrap();
        let range = FileRange { file: Arc::new(file), position: 1000, len: 250_000 };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut reader = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (writer, _) = listener.accept().await.unwrap();
        let head = vec![
            wire::Piece::Bytes(Bytes::from_static(b"head")),
            wire::Piece::Bytes(Bytes::from_static(b"er")),
            wire::Piece::Placeholder(250_000),
            wire::Piece::Bytes(Bytes::from_static(b"tail")),
        ];
        let outgoing = Outgoing::splice(head, [vec![range]]);
        let sending = tokio::spawn(async move { outgoing.send(&writer).await });
        let mut received = Vec::new();
        reader.read_to_end(&mut received).await.unwrap();
        sending.await.unwrap().unwrap();
        assert_eq!(&received[..6], b"header");
        assert_eq!(&received[6..250_006], &content[1000..251_000]);
        assert_eq!(&received[250_006..], b"tail");
    }
}
