//! Where clients come in: one bootstrap listener, and one listener per virtual node.

use crate::Config;
use crate::connection;
use crate::state::State;
use model::{RegionName, limits};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const BIND_PAUSE: Duration = Duration::from_millis(500);

/// Through which listener a client came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// The stable first address: what cannot be answered here goes to the owner of `default`.
    Bootstrap,
    /// A virtual node: everything goes to the broker it stands for, by region and slot.
    Broker(RegionName, u16),
}

/// Waits until the gateway stops.
async fn stop(stopped: &mut watch::Receiver<bool>) {
    // A sender that is gone stops just as well.
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// Serves clients that bootstrap, as soon as there are nodes to tell them of. A client that is told of topics but of no
/// nodes forgets every node it knew, and librdkafka 2.10 and newer never looks for another one.
pub(crate) async fn bootstrap(listener: TcpListener, state: Arc<State>, mut stopped: watch::Receiver<bool>) {
    let mut routing = state.watch_routing();
    tokio::select! {
        known = routing.wait_for(|routing| !routing.nodes().is_empty()) => if known.is_err() { return },
        () = stop(&mut stopped) => return,
    }
    serve(listener, Door::Bootstrap, state, stopped).await;
}

/// Serves clients of one listener until the gateway stops.
async fn serve(listener: TcpListener, door: Door, state: Arc<State>, mut stopped: watch::Receiver<bool>) {
    let seats = Arc::new(Semaphore::new(limits::CONNECTIONS_MAX));
    let mut clients = JoinSet::new();
    let stopping = stopped.clone();
    loop {
        tokio::select! {
            () = stop(&mut stopped) => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let Ok(seat) = seats.clone().try_acquire_owned() else {
                        tracing::warn!(%peer, limit = limits::CONNECTIONS_MAX, "connection refused: too many");
                        continue;
                    };
                    let (door, state, mut stopped) = (door.clone(), state.clone(), stopping.clone());
                    clients.spawn(async move {
                        tokio::select! {
                            served = connection::serve(stream, door, state) => if let Err(error) = served {
                                tracing::debug!(%peer, %error, "connection closed");
                            },
                            () = stop(&mut stopped) => {}
                        }
                        drop(seat);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = clients.join_next(), if !clients.is_empty() => {}
        }
    }
    clients.shutdown().await;
}

/// Listens for every virtual node the council gives this gateway; once given, a node is never taken away.
pub(crate) async fn virtual_nodes(config: Config, state: Arc<State>, mut stopped: watch::Receiver<bool>) {
    let mut routing = state.watch_routing();
    let mut listeners: BTreeMap<u16, JoinSet<()>> = BTreeMap::new();
    let stopping = stopped.clone();
    loop {
        let nodes = routing.borrow_and_update().nodes().to_vec();
        for node in nodes.into_iter().filter(|node| node.gateway == config.name) {
            listeners.entry(node.port).or_insert_with(|| {
                let address = SocketAddr::new(config.host, node.port);
                let mut tasks = JoinSet::new();
                tasks.spawn(virtual_node(
                    address,
                    Door::Broker(node.region, node.slot),
                    state.clone(),
                    stopping.clone(),
                ));
                tasks
            });
        }
        tokio::select! {
            changed = routing.changed() => if changed.is_err() { break },
            () = stop(&mut stopped) => break,
        }
    }
    for mut tasks in listeners.into_values() {
        while tasks.join_next().await.is_some() {}
    }
}

async fn virtual_node(address: SocketAddr, door: Door, state: Arc<State>, mut stopped: watch::Receiver<bool>) {
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) => tracing::error!(%address, ?door, %error, "a virtual node cannot listen; free its port"),
        }
        tokio::select! {
            () = tokio::time::sleep(BIND_PAUSE) => {}
            () = stop(&mut stopped) => return,
        }
    };
    serve(listener, door, state, stopped).await;
}
