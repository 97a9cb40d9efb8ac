//! A wire between two nodes that can be cut, or held in one direction.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    #[default]
    Open,
    /// Nothing, and no connection stays.
    Cut,
    /// Only what the caller sends; the rest waits.
    ThereOnly,
    /// Only what the caller gets; the rest waits.
    BackOnly,
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    target: Arc<Mutex<Option<SocketAddr>>>,
    state: watch::Sender<State>,
    _task: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn start() -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let target = Arc::new(Mutex::new(None));
        let (state, now) = watch::channel(State::Open);
        let mut task = JoinSet::new();
        task.spawn(run(socket, Arc::clone(&target), now));
        Self { address, target, state, _task: task }
    }

    pub(crate) fn lead_to(&self, target: Option<SocketAddr>) {
        *self.target.lock().unwrap() = target;
    }

    pub(crate) fn be(&self, state: State) {
        self.state.send_replace(state);
    }
}

async fn run(socket: TcpListener, target: Arc<Mutex<Option<SocketAddr>>>, state: watch::Receiver<State>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = socket.accept().await.unwrap();
        let target = *target.lock().unwrap();
        let (Some(target), false) = (target, *state.borrow() == State::Cut) else { continue };
        let mut cut = state.clone();
        let state = state.clone();
        connections.spawn(async move {
            tokio::select! {
                () = carry(stream, target, state) => {}
                _ = cut.wait_for(|state| *state == State::Cut) => {}
            }
        });
    }
}

async fn carry(from: TcpStream, target: SocketAddr, state: watch::Receiver<State>) {
    if let Ok(to) = TcpStream::connect(target).await {
        _ = from.set_nodelay(true);
        _ = to.set_nodelay(true);
        let ((from_in, from_out), (to_in, to_out)) = (from.into_split(), to.into_split());
        tokio::select! {
            _ = pipe(from_in, to_out, state.clone(), State::BackOnly) => {}
            _ = pipe(to_in, from_out, state, State::ThereOnly) => {}
        }
    }
}

/// Carries bytes one way, except in the state in which they are held.
async fn pipe(
    mut source: OwnedReadHalf,
    mut target: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
    held_in: State,
) -> io::Result<()> {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let read = source.read(&mut bytes).await?;
        _ = state.wait_for(|state| *state != held_in).await;
        if read == 0 {
            return Ok(());
        }
        target.write_all(&bytes[..read]).await?;
    }
}
