use super::frame::{Frame, HELLO_BYTES_MAX, PAYLOAD_BYTES_MAX};
use super::{FORMAT, Hello, Kind, STEP_MAX};
use crate::{CallError, NodeId};
use bytes::Bytes;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// How many requests may wait for one connection.
const REQUESTS_MAX: usize = 1024;
/// A connection on which a request went unanswered, and that was silent for so long, is made anew.
const SILENCE_MAX: Duration = Duration::from_secs(3);

type Reply = oneshot::Sender<Result<Bytes, CallError>>;

struct Request {
    kind: Kind,
    payload: Bytes,
    reply: Reply,
}

/// Where a link leads, and who says so.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) cluster: String,
    pub(super) from: Option<NodeId>,
    pub(super) to: Option<NodeId>,
    pub(super) address: String,
}

/// One connection to another node, made when it is needed and made again when it broke.
#[derive(Clone, Debug)]
pub(super) struct Link {
    requests: mpsc::Sender<Request>,
    address: String,
}

impl Link {
    /// Starts the link's task; it ends when the link is dropped.
    pub(super) fn start(route: Route) -> Self {
        let (requests, inbox) = mpsc::channel(REQUESTS_MAX);
        let address = route.address.clone();
        tokio::spawn(run(route, inbox));
        Self { requests, address }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Sends a request and waits for its answer.
    pub(super) async fn ask(&self, kind: Kind, payload: Bytes, within: Duration) -> Result<Bytes, CallError> {
        let address = || self.address.clone();
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(CallError::TooLarge { bytes: payload.len(), limit: PAYLOAD_BYTES_MAX });
        }
        let (reply, answer) = oneshot::channel();
        let request = Request { kind, payload, reply };
        self.requests.try_send(request).map_err(|_| CallError::Busy { address: address() })?;
        match timeout(within, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(CallError::Broken { address: address(), why: "this node is stopping".into() }),
            Err(_) => Err(CallError::TimedOut { address: address(), waited: within }),
        }
    }
}

async fn run(route: Route, mut inbox: mpsc::Receiver<Request>) {
    let mut next = inbox.recv().await;
    while let Some(request) = next.take() {
        // Who asked may have given up while the connection was being made for an earlier request.
        if request.reply.is_closed() {
            next = inbox.recv().await;
            continue;
        }
        next = match connect(&route).await {
            Ok(stream) => Carrier::start(stream, &route).carry(request, &mut inbox).await,
            Err(error) => {
                _ = request.reply.send(Err(error.clone()));
                while let Ok(request) = inbox.try_recv() {
                    _ = request.reply.send(Err(error.clone()));
                }
                inbox.recv().await
            }
        };
    }
}

async fn connect(route: &Route) -> Result<TcpStream, CallError> {
    let address = || route.address.clone();
    let unreachable = |why: String| CallError::Unreachable { address: address(), why };
    let shake = async {
        let mut stream = TcpStream::connect(&route.address).await?;
        stream.set_nodelay(true)?;
        let hello = Hello { format: FORMAT, cluster: route.cluster.clone(), from: route.from, to: route.to };
        Frame::new(Kind::Hello, 0, serde_json::to_vec(&hello)?).write(&mut stream).await?;
        let frame = Frame::read(&mut stream, HELLO_BYTES_MAX).await?;
        io::Result::Ok((stream, frame))
    };
    let (stream, frame) = match timeout(STEP_MAX, shake).await {
        Ok(Ok(shaken)) => shaken,
        Ok(Err(error)) => return Err(unreachable(error.to_string())),
        Err(_) => return Err(unreachable(format!("no answer within {STEP_MAX:?}"))),
    };
    match frame.kind {
        Kind::Welcome => Ok(stream),
        _ => Err(CallError::Refused { address: address(), why: String::from_utf8_lossy(&frame.payload).into() }),
    }
}

#[derive(Default)]
struct Waiting {
    replies: HashMap<u64, Reply>,
    heard: Option<Instant>,
}

/// An open connection and the requests on it.
struct Carrier {
    address: String,
    output: OwnedWriteHalf,
    reader: tokio::task::JoinHandle<io::Error>,
    waiting: Arc<Mutex<Waiting>>,
    next_id: u64,
}

impl Carrier {
    fn start(stream: TcpStream, route: &Route) -> Self {
        let (input, output) = stream.into_split();
        let waiting = Arc::new(Mutex::new(Waiting { heard: Some(Instant::now()), ..Waiting::default() }));
        let reader = tokio::spawn(read(input, Arc::clone(&waiting), route.address.clone()));
        Self { address: route.address.clone(), output, reader, waiting, next_id: 1 }
    }

    /// Carries `first` and what follows until the connection breaks; returns a request that it did not take any more.
    async fn carry(mut self, first: Request, inbox: &mut mpsc::Receiver<Request>) -> Option<Request> {
        let mut next = Some(first);
        let why = loop {
            let Some(request) = next.take() else { break "this node is stopping".to_owned() };
            if self.is_dead() {
                self.close("it fell silent");
                return Some(request);
            }
            if let Err(error) = self.send(request).await {
                break error.to_string();
            }
            next = tokio::select! {
                request = inbox.recv() => request,
                error = &mut self.reader => break error.map_or_else(|e| e.to_string(), |e| e.to_string()),
            };
        };
        self.close(&why);
        inbox.recv().await
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody gave up waiting and nothing came since long.
    fn is_dead(&self) -> bool {
        if self.reader.is_finished() {
            return true;
        }
        let mut waiting = self.lock();
        let before = waiting.replies.len();
        waiting.replies.retain(|_, reply| !reply.is_closed());
        waiting.replies.len() < before && waiting.heard.is_none_or(|heard| heard.elapsed() > SILENCE_MAX)
    }

    async fn send(&mut self, request: Request) -> io::Result<()> {
        let id = self.next_id;
        self.next_id += 1;
        self.lock().replies.insert(id, request.reply);
        let frame = Frame::new(request.kind, id, request.payload);
        timeout(STEP_MAX, frame.write(&mut self.output)).await?
    }

    fn close(&self, why: &str) {
        self.reader.abort();
        for (_, reply) in self.lock().replies.drain() {
            _ = reply.send(Err(CallError::Broken { address: self.address.clone(), why: why.to_owned() }));
        }
    }
}

/// Hands out answers until the connection ends.
async fn read(input: OwnedReadHalf, waiting: Arc<Mutex<Waiting>>, address: String) -> io::Error {
    let mut input = BufReader::new(input);
    loop {
        let frame = match Frame::read(&mut input, PAYLOAD_BYTES_MAX).await {
            Ok(frame) => frame,
            Err(error) => return error,
        };
        let reply = {
            let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.heard = Some(Instant::now());
            waiting.replies.remove(&frame.id)
        };
        let answer = match frame.kind {
            Kind::Answer => Ok(frame.payload),
            _ => {
                Err(CallError::Failed { address: address.clone(), why: String::from_utf8_lossy(&frame.payload).into() })
            }
        };
        if let Some(reply) = reply {
            _ = reply.send(answer);
        }
    }
}
