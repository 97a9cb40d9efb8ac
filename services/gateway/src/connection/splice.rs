//! Frames that pass through: the head is looked at, the rest streams by.

use super::Closed;
use bytes::{Buf, Bytes, BytesMut};
use model::limits::FRAME_BYTES_MAX;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

/// How much is read at once.
const READ_AHEAD: usize = 256 * 1024;
/// Any part of a frame must come or go within this time.
const STALL_MAX: Duration = Duration::from_secs(60);

/// The reading half of a socket and what has been read ahead.
pub(super) struct Incoming {
    stream: OwnedReadHalf,
    buffer: BytesMut,
}

impl Incoming {
    /// Reads from `stream`.
    pub(super) fn new(stream: OwnedReadHalf) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    /// The length of the next frame, and at least `head` bytes of it (or all, if it is shorter) in memory; `None` at the
    /// end. Waits at most `idle` for it to begin.
    ///
    /// # Errors
    /// When the prefix is not to be believed or the peer breaks off.
    pub(super) async fn next(&mut self, head: usize, idle: Duration) -> Result<Option<usize>, Closed> {
        if self.buffer.is_empty() {
            self.buffer.reserve(READ_AHEAD);
            let began = timeout(idle, self.stream.read_buf(&mut self.buffer)).await;
            if began.map_err(|_| Closed::Timeout("the connection was idle for too long"))?? == 0 {
                return Ok(None);
            }
        }
        self.fill(4).await?;
        let prefix = *self.buffer.first_chunk().expect("four bytes are there");
        let len = wire::frame::length(prefix, FRAME_BYTES_MAX)?;
        self.fill(4 + len.min(head)).await?;
        Ok(Some(len))
    }

    /// The frame's bytes that are in memory, behind its prefix.
    pub(super) fn head(&self, len: usize) -> &[u8] {
        &self.buffer[4..self.buffer.len().min(4 + len)]
    }

    /// Takes the whole frame of `len` bytes, without its prefix.
    ///
    /// # Errors
    /// When the peer breaks off.
    pub(super) async fn take(&mut self, len: usize) -> Result<Bytes, Closed> {
        self.fill(4 + len).await?;
        self.buffer.advance(4);
        Ok(self.buffer.split_to(len).freeze())
    }

    /// Passes the frame of `len` bytes, prefix included, on to `target` as it comes.
    ///
    /// # Errors
    /// When either side fails.
    pub(super) async fn pass(&mut self, len: usize, target: &mut OwnedWriteHalf) -> Result<(), Closed> {
        let mut left = 4 + len;
        loop {
            let ready = self.buffer.len().min(left);
            write_all(target, &self.buffer[..ready]).await?;
            self.buffer.advance(ready);
            left -= ready;
            if left == 0 {
                return Ok(());
            }
            self.read_some().await?;
        }
    }

    async fn fill(&mut self, len: usize) -> Result<(), Closed> {
        while self.buffer.len() < len {
            self.read_some().await?;
        }
        Ok(())
    }

    async fn read_some(&mut self) -> Result<(), Closed> {
        self.buffer.reserve(READ_AHEAD);
        let read = timeout(STALL_MAX, self.stream.read_buf(&mut self.buffer)).await;
        match read.map_err(|_| Closed::Timeout("a frame came in too slowly"))?? {
            0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            _ => Ok(()),
        }
    }
}

/// Writes all of `bytes`, within the time a peer may stall.
///
/// # Errors
/// When the socket fails or stalls.
pub(super) async fn write_all(target: &mut OwnedWriteHalf, bytes: &[u8]) -> Result<(), Closed> {
    let written = timeout(STALL_MAX, target.write_all(bytes)).await;
    Ok(written.map_err(|_| Closed::Timeout("a frame went out too slowly"))??)
}
