//! One connection: requests in, answers out, both in order.

use super::Hall;
use super::pace::Pace;
use crate::api::{Call, Reply, TurnedAway};
use crate::listener::budget::Share;
use crate::quotas::Mute;
use bytes::{Bytes, BytesMut};
use model::{ByteCount, limits};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use wire::{DecodeError, RequestHeader};

use super::Door;

/// How many requests of one connection may wait for their answers.
const UNANSWERED_MAX: usize = 64;
/// How much is read ahead; larger frames get room as they come in.
const READ_AHEAD: usize = 64 * 1024;
/// A frame gets its whole room at once up to this size.
const ROOM_AT_ONCE: usize = 2 << 20;
/// A connection may be silent this long (Kafka's `connections.max.idle.ms`).
const IDLE_MAX: Duration = Duration::from_secs(600);
/// A frame that has begun must have arrived after this time.
const FRAME_TIMEOUT: Duration = Duration::from_secs(60);
/// The peer must take some of an answer within this time.
const SEND_PATIENCE: Duration = Duration::from_secs(60);

/// Why a connection was closed by this side.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Closed {
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The length prefix is not to be believed.
    #[error(transparent)]
    Frame(#[from] wire::frame::FrameError),
    /// The request is not one.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The peer was too slow.
    #[error("{0}")]
    Timeout(&'static str),
    /// An answer must not be given.
    #[error("an answer was withheld")]
    Withheld,
}

/// A reply and the share of the budget its request holds.
type Pending = (Reply, Share);

/// Serves `stream` until the peer closes it, or something is wrong with it.
///
/// # Errors
/// [`Closed`], when this side ended it.
pub(crate) async fn serve(stream: TcpStream, peer: SocketAddr, hall: &Arc<Hall>) -> Result<(), Closed> {
    let (read, write) = stream.into_split();
    let (pending, replies) = mpsc::channel(UNANSWERED_MAX);
    let session = Session { peer, hall: hall.clone(), mute: Arc::default(), turned_away: Arc::default() };
    let reading = session.read(read, pending);
    let answering = answer(write.as_ref(), replies);
    tokio::pin!(reading, answering);
    tokio::select! {
        read = &mut reading => { read?; answering.await }
        answered = &mut answering => answered,
    }
}

/// Sends answers in the order of their requests.
async fn answer(stream: &TcpStream, mut replies: mpsc::Receiver<Pending>) -> Result<(), Closed> {
    let mut pace = Pace::default();
    while let Some((reply, share)) = replies.recv().await {
        let outgoing = match reply {
            Reply::Now(outgoing) => outgoing,
            Reply::Later(waiting) => waiting.await.ok_or(Closed::Withheld)?,
            Reply::Nothing => continue,
            Reply::Close => return Err(Closed::Withheld),
        };
        if outgoing.is_steady() {
            pace.keep(stream);
        }
        outgoing.send(stream, SEND_PATIENCE).await?;
        drop(share);
    }
    Ok(())
}

struct Session {
    peer: SocketAddr,
    hall: Arc<Hall>,
    /// While it is over its quota it is not heard.
    mute: Arc<Mute>,
    /// The writes that were turned away.
    turned_away: Arc<TurnedAway>,
}

impl Session {
    /// Starts requests in the order they come, until the peer closes its side, or one of them closes the connection: what
    /// comes behind that one is to be sent again.
    async fn read(&self, mut stream: OwnedReadHalf, pending: mpsc::Sender<Pending>) -> Result<(), Closed> {
        let mut received = BytesMut::with_capacity(READ_AHEAD);
        while let Some((frame, share)) = self.next_frame(&mut stream, &mut received).await? {
            let reply = self.start(frame)?;
            // It would only wait behind answers, and keep those after it from being started.
            if matches!(reply, Reply::Nothing) {
                continue;
            }
            let closes = matches!(reply, Reply::Close);
            // The answering side is gone when the peer is.
            if pending.send((reply, share)).await.is_err() || closes {
                break;
            }
        }
        Ok(())
    }

    fn start(&self, frame: Bytes) -> Result<Reply, Closed> {
        let (header, body) = RequestHeader::decode(frame)?;
        let meter = self.hall.meter(header.client_id.as_deref(), &self.mute);
        let (door, listener) = (self.hall.door, self.hall.address);
        let (meter_of_call, turned_away) = (meter.clone(), self.turned_away.clone());
        let call = Call { header, peer: self.peer, door, listener, meter: meter_of_call, turned_away };
        let start = || self.hall.dispatch.start(call, body);
        Ok(match meter {
            Some(meter) => meter.run(start)?,
            None => start()?,
        })
    }

    /// The next whole frame and its share of the budget; `None` at the end.
    async fn next_frame(
        &self,
        stream: &mut OwnedReadHalf,
        received: &mut BytesMut,
    ) -> Result<Option<(Bytes, Share)>, Closed> {
        let idle = |_| Closed::Timeout("the connection was idle for too long");
        while received.len() < 4 {
            received.reserve(READ_AHEAD);
            if timeout(IDLE_MAX, stream.read_buf(received)).await.map_err(idle)?? == 0 {
                return match received.is_empty() {
                    true => Ok(None),
                    false => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                };
            }
        }
        let prefix = *received.first_chunk().expect("four bytes are there");
        let len = wire::frame::length(prefix, self.limit())?;
        self.heard().await;
        let share = self.hall.budget.share(len).await;
        let whole = timeout(FRAME_TIMEOUT, fill(stream, received, 4 + len)).await;
        whole.map_err(|_| Closed::Timeout("a request came in too slowly"))??;
        let frame = wire::frame::take(received, self.limit())?.expect("the frame is whole");
        Ok(Some((frame, share)))
    }

    /// Waits until the connection is heard again. Nothing is held meanwhile but what was read ahead.
    async fn heard(&self) {
        while let Some(left) = self.mute.left(self.hall.quotas.now()) {
            sleep(left).await;
        }
    }

    fn limit(&self) -> ByteCount {
        match self.hall.door {
            Door::Clients | Door::Gateways => limits::FRAME_BYTES_MAX,
            Door::Internal => limits::INTERNAL_FRAME_BYTES_MAX,
        }
    }
}

/// Reads until `received` holds `len` bytes. Room is made as bytes come, so that a length alone costs nothing.
async fn fill(stream: &mut OwnedReadHalf, received: &mut BytesMut, len: usize) -> io::Result<()> {
    while received.len() < len {
        let missing = len - received.len();
        let room = if len <= ROOM_AT_ONCE { missing } else { missing.min(received.len().max(READ_AHEAD)) };
        received.reserve(room);
        if stream.read_buf(received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}
