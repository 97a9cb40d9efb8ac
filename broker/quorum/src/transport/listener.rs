use super::frame::{Frame, HELLO_BYTES_MAX, PAYLOAD_BYTES_MAX};
use super::{FORMAT, Hello, Kind, STEP_MAX};
use crate::NodeId;
use bytes::Bytes;
use env::PortFuture;
use std::io;
use std::sync::Arc;
use tokio::io::BufReader;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How many connections are open at once.
const CONNECTIONS_MAX: usize = 256;
/// How many requests of one connection are served at once; more wait in the connection.
const REQUESTS_MAX: usize = 128;

/// What a node does for others.
pub(crate) trait Service: Send + Sync + 'static {
    /// Answers a request; an error is told to the other side as text.
    fn serve(&self, from: Option<NodeId>, kind: Kind, payload: Bytes) -> PortFuture<'_, Result<Bytes, String>>;
}

/// The door of a node: who it is, and what it does.
pub(crate) struct Listener {
    pub(crate) cluster: String,
    pub(crate) id: NodeId,
    pub(crate) service: Arc<dyn Service>,
}

impl Listener {
    /// Takes connections from `socket` for ever. Dropping the future ends all of them.
    pub(crate) async fn run(self, socket: TcpListener) {
        let door = Arc::new(self);
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            let (stream, address) = match socket.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, most likely: trying again at once would only burn time.
                    tracing::warn!(%error, "cannot take a connection");
                    sleep(STEP_MAX / 50).await;
                    continue;
                }
            };
            let door = Arc::clone(&door);
            connections.spawn(async move {
                if let Err(error) = door.receive(stream).await {
                    tracing::debug!(%address, %error, "a connection ended");
                }
                drop(slot);
            });
        }
    }

    async fn receive(self: Arc<Self>, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let frame = timeout(STEP_MAX, Frame::read(&mut stream, HELLO_BYTES_MAX)).await??;
        let hello = match self.admit(&frame) {
            Ok(hello) => hello,
            Err(why) => return timeout(STEP_MAX, Frame::new(Kind::Refused, 0, why).write(&mut stream)).await?,
        };
        let welcome = Frame::new(Kind::Welcome, 0, self.id.to_string());
        timeout(STEP_MAX, welcome.write(&mut stream)).await??;
        let (input, output) = stream.into_split();
        let (answers, queue) = mpsc::channel(REQUESTS_MAX);
        let mut tasks = JoinSet::new();
        tasks.spawn(write(output, queue));
        self.serve(BufReader::new(input), hello.from, answers, &mut tasks).await
    }

    fn admit(&self, frame: &Frame) -> Result<Hello, String> {
        let hello: Hello = match frame.kind {
            Kind::Hello => serde_json::from_slice(&frame.payload).map_err(|error| error.to_string())?,
            _ => return Err("a hello was expected".into()),
        };
        if hello.format != FORMAT {
            return Err(format!("format {} is not spoken here, only {FORMAT}", hello.format));
        }
        if hello.cluster != self.cluster {
            return Err(format!("this is a node of {:?}, not of {:?}", self.cluster, hello.cluster));
        }
        match hello.to {
            Some(to) if to != self.id => Err(format!("this is node {}, not {to}", self.id)),
            _ => Ok(hello),
        }
    }

    async fn serve(
        self: Arc<Self>,
        mut input: BufReader<OwnedReadHalf>,
        from: Option<NodeId>,
        answers: mpsc::Sender<Frame>,
        tasks: &mut JoinSet<()>,
    ) -> io::Result<()> {
        let places = Arc::new(Semaphore::new(REQUESTS_MAX));
        loop {
            let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
            let frame = Frame::read(&mut input, PAYLOAD_BYTES_MAX).await?;
            while tasks.try_join_next().is_some() {}
            let (door, answers) = (Arc::clone(&self), answers.clone());
            tasks.spawn(async move {
                let (kind, payload) = match door.service.serve(from, frame.kind, frame.payload).await {
                    Ok(answer) => (Kind::Answer, answer),
                    Err(why) => (Kind::Failed, why.into()),
                };
                _ = answers.send(Frame::new(kind, frame.id, payload)).await;
                drop(place);
            });
        }
    }
}

/// Writes answers until the connection or their senders are gone.
async fn write(mut output: OwnedWriteHalf, mut answers: mpsc::Receiver<Frame>) {
    while let Some(frame) = answers.recv().await {
        let frame = match frame.payload.len() {
            0..=PAYLOAD_BYTES_MAX => frame,
            len => Frame::new(Kind::Failed, frame.id, format!("the answer has {len} bytes, too many for a frame")),
        };
        if !matches!(timeout(STEP_MAX, frame.write(&mut output)).await, Ok(Ok(()))) {
            return;
        }
    }
}
