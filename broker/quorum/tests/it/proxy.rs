//! A wire between two nodes that can be cut.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    target: Arc<Mutex<Option<SocketAddr>>>,
    cut: watch::Sender<bool>,
    _task: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn start() -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let target = Arc::new(Mutex::new(None));
        let (cut, cut_now) = watch::channel(false);
        let mut task = JoinSet::new();
        task.spawn(run(socket, Arc::clone(&target), cut_now));
        Self { address, target, cut, _task: task }
    }

    pub(crate) fn lead_to(&self, target: Option<SocketAddr>) {
        *self.target.lock().unwrap() = target;
    }

    pub(crate) fn cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }
}

async fn run(socket: TcpListener, target: Arc<Mutex<Option<SocketAddr>>>, cut: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = socket.accept().await.unwrap();
        let target = *target.lock().unwrap();
        let (Some(target), false) = (target, *cut.borrow()) else { continue };
        let mut cut = cut.clone();
        connections.spawn(async move {
            tokio::select! {
                () = carry(stream, target) => {}
                _ = cut.wait_for(|cut| *cut) => {}
            }
        });
    }
}

async fn carry(mut from: TcpStream, target: SocketAddr) {
    if let Ok(mut to) = TcpStream::connect(target).await {
        _ = from.set_nodelay(true);
        _ = to.set_nodelay(true);
        _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
    }
}
