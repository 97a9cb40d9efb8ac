//! Answers on their way out: bytes from memory and ranges of files, in order.

use crate::replica::Passes;
use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How much of a cold file is brought into memory at once.
const WARM_BYTES: usize = 1 << 20;
/// How many chunks of memory go into one system call.
const CHUNKS_AT_ONCE: usize = 16;
/// A planned switch waits for every write that was taken to be acknowledged: a client that does not listen must not
/// hold it up.
const ACK_PATIENCE: Duration = Duration::from_secs(5);

/// So many bytes of a file. The file stays open, and so readable, for as long as this exists.
#[derive(Clone, Debug)]
pub(crate) struct FileRange {
    /// The file.
    pub(crate) file: Arc<File>,
    /// Where in it.
    pub(crate) position: u64,
    /// How many bytes.
    pub(crate) len: usize,
    /// The batches in it, where it is part of a log: a log that was cut meanwhile has other ones there.
    pub(crate) batches: Option<log::Slice>,
    /// Where it is cold, up to where it was brought into memory: waiting for a disk would hold up every connection of
    /// the thread that sends.
    pub(crate) warmed: Option<u64>,
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
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    chunks: VecDeque<Chunk>,
    /// The writes it acknowledges. They are looked at right before every system call that sends some of it.
    passes: Option<Passes>,
    is_steady: bool,
}

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
        Self { chunks, ..Self::default() }
    }

    /// The same answer, which acknowledges writes.
    pub(crate) fn acknowledging(self, passes: Passes) -> Self {
        Self { passes: Some(passes), ..self }
    }

    /// The same answer, one of many that somebody far away waits for and that do not fill the line.
    pub(crate) fn steady(self, is_steady: bool) -> Self {
        Self { is_steady, ..self }
    }

    /// Whether it is one of many that do not fill the line.
    pub(crate) const fn is_steady(&self) -> bool {
        self.is_steady
    }

    /// Sends all of it. The peer has to take some of it within `patience`, again and again; an acknowledgement, for
    /// which others may be waiting, within a short time.
    ///
    /// # Errors
    /// What the socket says; `TimedOut` when the peer takes nothing; `UnexpectedEof` when a file is shorter than was
    /// promised; `PermissionDenied` when a write may not be acknowledged any more. Whichever it is, the connection is of
    /// no more use: the peer has part of an answer, or would wait for it.
    pub(crate) async fn send(mut self, stream: &TcpStream, patience: Duration) -> io::Result<()> {
        let patience = if self.passes.is_some() { patience.min(ACK_PATIENCE) } else { patience };
        while !self.chunks.is_empty() {
            self.warm_front().await?;
            self.check_passes()?;
            let chunk = &self.chunks[0];
            let sent = match chunk {
                Chunk::File(range) => range.send(stream),
                Chunk::Bytes(bytes) => self.send_bytes(bytes, stream),
            };
            match sent {
                Ok(sent) => self.advance(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    timeout(patience, stream.writable()).await.map_err(|_| io::ErrorKind::TimedOut)??;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn warm_front(&mut self) -> io::Result<()> {
        match self.chunks.front_mut() {
            Some(Chunk::File(range)) if range.warmed.is_some_and(|upto| upto <= range.position) => range.warm().await,
            _ => Ok(()),
        }
    }

    fn check_passes(&self) -> io::Result<()> {
        if self.passes.as_ref().is_none_or(Passes::may_answer) {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "the lease lapsed before the acknowledgement was written"))
    }

    /// Sends what the socket takes of the bytes in front.
    fn send_bytes(&self, first: &Bytes, stream: &TcpStream) -> io::Result<usize> {
        if let Some(Chunk::File(_)) = self.chunks.get(1) {
            // The system waits for what follows, and the head and the records share packets.
            let flags = rustix::net::SendFlags::MORE | rustix::net::SendFlags::NOSIGNAL;
            let send = || rustix::net::send(stream.as_fd(), first, flags).map_err(io::Error::from);
            return stream.try_io(Interest::WRITABLE, send);
        }
        if self.chunks.len() == 1 {
            return stream.try_write(first);
        }
        let in_front = self.chunks.iter().map_while(|chunk| match chunk {
            Chunk::Bytes(bytes) => Some(IoSlice::new(bytes)),
            Chunk::File(_) => None,
        });
        stream.try_write_vectored(&in_front.take(CHUNKS_AT_ONCE).collect::<Vec<_>>())
    }

    /// Forgets what was sent.
    fn advance(&mut self, mut sent: usize) {
        while let Some(chunk) = self.chunks.front_mut() {
            let left = chunk.len();
            if left > sent {
                return chunk.advance(sent);
            }
            sent -= left;
            if let Some(Chunk::File(range)) = self.chunks.pop_front() {
                range.forget();
            }
            if sent == 0 {
                return;
            }
        }
    }
}

impl From<Bytes> for Outgoing {
    fn from(bytes: Bytes) -> Self {
        Self { chunks: VecDeque::from([Chunk::Bytes(bytes)]), ..Self::default() }
    }
}

impl Chunk {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::File(range) => range.len,
        }
    }

    fn advance(&mut self, sent: usize) {
        match self {
            Self::Bytes(bytes) => bytes.advance(sent),
            Self::File(range) => {
                range.position += sent as u64;
                range.len -= sent;
            }
        }
    }
}

impl From<log::Slice> for FileRange {
    fn from(slice: log::Slice) -> Self {
        Self {
            file: slice.file.clone(),
            position: slice.position,
            len: slice.len as usize,
            warmed: slice.is_cold().then_some(slice.position),
            batches: Some(slice),
        }
    }
}

impl FileRange {
    /// Brings the next part into memory, where it may block.
    async fn warm(&mut self) -> io::Result<()> {
        let (file, position, len) = (self.file.clone(), self.position, self.len.min(WARM_BYTES));
        let warming = tokio::task::spawn_blocking(move || log::warm(&file, position, len));
        let warmed = warming.await.map_err(io::Error::other)?;
        warmed.inspect_err(|error| self.note_failure(error))?;
        self.warmed = Some(position + len as u64);
        Ok(())
    }

    /// If the disk is at fault, whoever looks after it has to hear of it.
    fn note_failure(&self, error: &io::Error) {
        let code = error.raw_os_error().filter(|_| log::is_disk_failure(error));
        if let (Some(slice), Some(code)) = (&self.batches, code) {
            slice.note_failure(io::Error::from_raw_os_error(code));
        }
    }

    /// All of it was sent: what was cold need not stay in memory.
    fn forget(&self) {
        if let (Some(slice), Some(_)) = (&self.batches, self.warmed) {
            log::forget(&slice.file, slice.position, slice.len);
        }
    }

    /// Sends what the socket takes now.
    fn send(&self, stream: &TcpStream) -> io::Result<usize> {
        if self.len == 0 {
            return Ok(0);
        }
        let mut position = self.position;
        let ready = self.warmed.map_or(self.len, |upto| self.len.min((upto - position) as usize));
        let sent = stream.try_io(Interest::WRITABLE, || {
            rustix::fs::sendfile(stream.as_fd(), self.file.as_fd(), Some(&mut position), ready).map_err(io::Error::from)
        });
        let sent = sent.inspect_err(|error| self.note_failure(error))?;
        let is_intact = self.batches.as_ref().is_none_or(log::Slice::is_intact);
        if sent > 0 && is_intact {
            return Ok(sent);
        }
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the log was cut while its records were being sent"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::Gate;
    use env::Clock;
    use env::sim::ManualClock;
    use std::io::Write;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn bytes_and_file_ranges_arrive_in_order() {
        let mut file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
        file.write_all(&content).unwrap();
        let file = Arc::new(file);
        for warmed in [None, Some(1000)] {
            let range = FileRange { file: file.clone(), position: 1000, len: 250_000, batches: None, warmed };
            arrives(range, &content).await;
        }
    }

    async fn arrives(range: FileRange, content: &[u8]) {
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
        let sending = tokio::spawn(async move { outgoing.send(&writer, Duration::from_secs(10)).await });
        let mut received = Vec::new();
        reader.read_to_end(&mut received).await.unwrap();
        sending.await.unwrap().unwrap();
        assert_eq!(&received[..6], b"header");
        assert_eq!(&received[6..250_006], &content[1000..251_000]);
        assert_eq!(&received[250_006..], b"tail");
    }

    #[tokio::test]
    async fn a_write_is_not_acknowledged_once_its_lease_has_lapsed() {
        let clock = Arc::new(ManualClock::default());
        let gate = Gate::shut(Arc::new(crate::heart::Footing::firm()));
        gate.extend(clock.boot().plus(Duration::from_secs(3)));
        let acknowledging = || {
            let pass = Gate::enter(&gate, clock.boot()).unwrap();
            Outgoing::from(Bytes::from_static(b"ack")).acknowledging(Passes::new(vec![pass], clock.clone()))
        };
        let (in_time, too_late) = (acknowledging(), acknowledging());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut reader = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (writer, _) = listener.accept().await.unwrap();
        in_time.send(&writer, Duration::from_secs(10)).await.unwrap();
        clock.pass(Duration::from_secs(3));
        let refused = too_late.send(&writer, Duration::from_secs(10)).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        drop(writer);
        let mut received = Vec::new();
        reader.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"ack");
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let reader = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (writer, _) = listener.accept().await.unwrap();
        let outgoing = Outgoing::from(Bytes::from(vec![0; 64 << 20]));
        let refused = outgoing.send(&writer, Duration::from_millis(50)).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
        drop(reader);
    }
}
