use super::ClientError;
use super::security::{self, SecurityFault};
use crate::codec::{Message, Request, Versions};
use crate::{ErrorCode, api::api_versions, decode_response_header, frame};
use bytes::{Bytes, BytesMut};
use model::limits::INTERNAL_FRAME_BYTES_MAX;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// How many requests wait for their turn to be written.
const QUEUE_MAX: usize = 64;
/// How many requests may be without an answer.
const IN_FLIGHT_MAX: usize = 1024;
/// How a TLS port answers plain text, if at all (RFC 8446, section 5.1).
const TLS_ALERT: [u8; 2] = [0x15, 3];
/// How much memory is taken for a frame before its bytes have come.
const RESERVE_BYTES_MAX: usize = 1 << 20;

/// A connection to one broker. Calls may overlap; they are written and answered in the order in which they were made.
#[derive(Debug)]
pub struct Connection {
    peer: String,
    client_id: String,
    timeout: Duration,
    next_correlation_id: AtomicI32,
    outgoing: mpsc::Sender<Outgoing>,
    end: Arc<OnceLock<End>>,
    driver: AbortHandle,
}

/// A frame to write and, unless nothing comes back, who waits for the answer.
struct Outgoing {
    frame: Bytes,
    waiting: Option<Waiting>,
}

/// Why a connection is of no use any more.
#[derive(Clone, Debug)]
struct End {
    reason: String,
    /// When nothing else can come of the next one.
    fault: Option<SecurityFault>,
}

impl End {
    fn of(error: &io::Error, peer: &str) -> Self {
        Self { reason: error.to_string(), fault: SecurityFault::of_stream(error, peer) }
    }

    fn unused() -> Self {
        Self { reason: "nobody uses it any more".to_owned(), fault: None }
    }
}

struct Waiting {
    correlation_id: i32,
    answer: oneshot::Sender<Bytes>,
}

impl Connection {
    /// Connects to `peer` (`host:port`) in plain text; connecting and each call may take `timeout`.
    ///
    /// # Errors
    /// [`ClientError::Connect`].
    pub async fn connect(peer: &str, client_id: &str, timeout: Duration) -> Result<Self, ClientError> {
        let stream = security::tcp(peer, timeout).await?;
        let (read, write) = stream.into_split();
        Ok(Self::over(read, write, peer, client_id, timeout))
    }

    /// The same over a stream that is already there.
    pub fn over(
        read: impl AsyncRead + Unpin + Send + 'static,
        write: impl AsyncWrite + Unpin + Send + 'static,
        peer: &str,
        client_id: &str,
        timeout: Duration,
    ) -> Self {
        let (outgoing, queue) = mpsc::channel(QUEUE_MAX);
        let end = Arc::new(OnceLock::new());
        let driver = tokio::spawn(drive(read, write, queue, peer.to_owned(), end.clone())).abort_handle();
        Self {
            peer: peer.to_owned(),
            client_id: client_id.to_owned(),
            timeout,
            next_correlation_id: AtomicI32::new(1),
            outgoing,
            end,
            driver,
        }
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// Whether it is of no use any more.
    pub fn is_closed(&self) -> bool {
        self.outgoing.is_closed()
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// When there is none in time or it cannot be read. An error code in the answer is the caller's to look at.
    pub async fn call<R: Request>(&self, request: &R, version: i16) -> Result<R::Response, ClientError> {
        self.call_within(self.timeout, request, version).await
    }

    /// The same with a time limit of its own, for calls that wait at the broker.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub async fn call_within<R: Request>(
        &self,
        limit: Duration,
        request: &R,
        version: i16,
    ) -> Result<R::Response, ClientError> {
        let body = self.exchange(limit, request, version).await?;
        Ok(R::Response::decode(body, version)?)
    }

    /// Sends what has no answer: a produce with acks=0.
    ///
    /// # Errors
    /// When it could not be queued in time.
    pub async fn send<R: Request>(&self, request: &R, version: i16) -> Result<(), ClientError> {
        let frame = frame::encode_request(self.correlation_id(), Some(&self.client_id), version, request)?;
        let queued = timeout(self.timeout, self.outgoing.send(Outgoing { frame, waiting: None })).await;
        queued.map_err(|_| self.timed_out::<R>(self.timeout))?.map_err(|_| self.closed())
    }

    /// What the broker speaks, by API key.
    ///
    /// # Errors
    /// As [`Connection::call`], or when the broker refuses to say.
    pub async fn api_versions(&self) -> Result<HashMap<i16, Versions>, ClientError> {
        let request = api_versions::Request {
            client_software_name: "farshore".to_owned(),
            client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Default::default()
        };
        let newest = api_versions::Request::VERSIONS.max;
        let body = self.exchange(self.timeout, &request, newest).await?;
        let response = api_versions::Response::decode_any(body, newest)?;
        match response.error_code {
            ErrorCode::NONE | ErrorCode::UNSUPPORTED_VERSION => Ok(response.by_key()),
            code => Err(ClientError::Refused { api: "ApiVersions", code, message: None }),
        }
    }

    async fn exchange<R: Request>(&self, limit: Duration, request: &R, version: i16) -> Result<Bytes, ClientError> {
        let correlation_id = self.correlation_id();
        let frame = frame::encode_request(correlation_id, Some(&self.client_id), version, request)?;
        let (answer, answered) = oneshot::channel();
        let outgoing = Outgoing { frame, waiting: Some(Waiting { correlation_id, answer }) };
        let exchange = async {
            self.outgoing.send(outgoing).await.map_err(|_| self.closed())?;
            answered.await.map_err(|_| self.closed())
        };
        let frame = timeout(limit, exchange).await.map_err(|_| self.timed_out::<R>(limit))??;
        let (_, body) = decode_response_header(frame, R::KEY, version)?;
        Ok(body)
    }

    fn correlation_id(&self) -> i32 {
        self.next_correlation_id.fetch_add(1, Ordering::Relaxed)
    }

    fn closed(&self) -> ClientError {
        match self.end.get().cloned() {
            Some(End { fault: Some(fault), .. }) => ClientError::security(&self.peer, fault),
            Some(End { reason, .. }) => ClientError::Closed { peer: self.peer.clone(), reason },
            None => ClientError::Closed { peer: self.peer.clone(), reason: "its task has ended".to_owned() },
        }
    }

    fn timed_out<R: Request>(&self, after: Duration) -> ClientError {
        ClientError::Timeout { peer: self.peer.clone(), api: R::NAME.to_owned(), after }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Writes and reads until either fails; whoever still waits then learns why.
async fn drive(
    read: impl AsyncRead + Unpin,
    write: impl AsyncWrite + Unpin,
    mut queue: mpsc::Receiver<Outgoing>,
    peer: String,
    end: Arc<OnceLock<End>>,
) {
    // Both live until the reason is known: those who wait learn of the end when they are dropped.
    let (in_flight, mut waiting) = mpsc::channel(IN_FLIGHT_MAX);
    let ended = tokio::select! {
        ended = write_requests(write, &mut queue, &in_flight) => ended,
        ended = read_responses(read, &mut waiting) => ended,
    };
    let _ = end.set(ended.map_or_else(|error| End::of(&error, &peer), |()| End::unused()));
}

async fn write_requests(
    mut write: impl AsyncWrite + Unpin,
    queue: &mut mpsc::Receiver<Outgoing>,
    in_flight: &mpsc::Sender<Waiting>,
) -> io::Result<()> {
    while let Some(Outgoing { frame, waiting }) = queue.recv().await {
        if let Some(waiting) = waiting {
            in_flight.send(waiting).await.map_err(|_| io::ErrorKind::BrokenPipe)?;
        }
        write.write_all(&frame).await?;
        // A stream with a buffer of its own, as that of TLS, sends what is there.
        write.flush().await?;
    }
    Ok(())
}

async fn read_responses(mut read: impl AsyncRead + Unpin, in_flight: &mut mpsc::Receiver<Waiting>) -> io::Result<()> {
    loop {
        let frame = read_frame(&mut read).await?;
        let waiting = in_flight.try_recv().map_err(|_| io::Error::other("the broker answers what nobody has asked"))?;
        let found = frame.first_chunk().map(|bytes| i32::from_be_bytes(*bytes));
        if found != Some(waiting.correlation_id) {
            let expected = waiting.correlation_id;
            return Err(io::Error::other(format!("the answer to request {expected} belongs to {found:?}")));
        }
        // Whoever does not wait any more has given up.
        let _ = waiting.answer.send(frame);
    }
}

async fn read_frame(read: &mut (impl AsyncRead + Unpin)) -> io::Result<Bytes> {
    let mut prefix = [0; 4];
    read.read_exact(&mut prefix).await?;
    // An alert, where a frame of 352 MB would begin otherwise.
    if prefix[..2] == TLS_ALERT {
        return Err(io::Error::other(SecurityFault::SpeaksTls));
    }
    let len = frame::length(prefix, INTERNAL_FRAME_BYTES_MAX).map_err(io::Error::other)?;
    let mut frame = BytesMut::with_capacity(len.min(RESERVE_BYTES_MAX));
    let mut rest = read.take(len as u64);
    while frame.len() < len {
        if rest.read_buf(&mut frame).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(frame.freeze())
}
