//! The doors of a broker: accepts connections, within a limit, and serves each until it ends.

mod budget;
mod connection;
mod outgoing;
mod pace;

pub(crate) use budget::Budget;
pub(crate) use outgoing::{FileRange, Outgoing};

use crate::api::Dispatch;
use crate::quotas::{Meter, Mute, Quotas};
use model::limits;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Through which listener a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// The region's own clients.
    Clients,
    /// Gateways.
    Gateways,
    /// Other regions and gateways' metadata followers.
    Internal,
}

/// What all connections of a listener share.
pub(crate) struct Hall {
    /// Which listener.
    pub(crate) door: Door,
    /// Where it listens: what Metadata tells clients that came by it.
    pub(crate) address: SocketAddr,
    /// Who answers.
    pub(crate) dispatch: Arc<dyn Dispatch>,
    /// Bytes of requests that are being worked on.
    pub(crate) budget: Arc<Budget>,
    /// How much clients may use.
    pub(crate) quotas: Arc<Quotas>,
}

impl Hall {
    /// How long `peer` has to wait with a connection, if it makes too many (KIP-612). Gateways and regions may.
    fn too_soon(&self, peer: SocketAddr) -> Option<Duration> {
        match self.door {
            Door::Clients => self.quotas.admit(peer.ip()).err(),
            Door::Gateways | Door::Internal => None,
        }
    }

    /// Meters one request of `client`, if what it uses is limited. Regions are not.
    fn meter(&self, client: Option<&str>, mute: &Arc<Mute>) -> Option<Arc<Meter>> {
        match self.door {
            Door::Clients | Door::Gateways => self.quotas.meter(client, mute),
            Door::Internal => None,
        }
    }
}

/// Binds `address`.
///
/// # Errors
/// What the system says, with the address.
pub(crate) async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))
}

/// Serves connections until `stop` turns true, then waits for those that are open.
pub(crate) async fn serve(listener: TcpListener, hall: Arc<Hall>, mut stop: watch::Receiver<bool>) {
    let seats = Arc::new(Semaphore::new(limits::CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let stopping = stop.clone();
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let Ok(seat) = seats.clone().try_acquire_owned() else {
                        tracing::warn!(%peer, limit = limits::CONNECTIONS_MAX, "connection refused: too many");
                        continue;
                    };
                    let (hall, stop) = (hall.clone(), stopping.clone());
                    connections.spawn(async move {
                        welcome(stream, peer, hall, stop).await;
                        drop(seat);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Waits until the broker stops.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error says that the broker is gone altogether.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn welcome(stream: TcpStream, peer: SocketAddr, hall: Arc<Hall>, mut stop: watch::Receiver<bool>) {
    if let Some(wait) = hall.too_soon(peer) {
        tracing::debug!(%peer, ?wait, "connection refused: its address connects too often");
        // Who is turned away at once comes back at once.
        let _ = tokio::time::timeout(wait, stopped(&mut stop)).await;
        return;
    }
    // Without it small answers would wait for the peer's acknowledgements.
    let _ = stream.set_nodelay(true);
    let served = tokio::select! {
        served = connection::serve(stream, peer, &hall) => served,
        () = stopped(&mut stop) => Ok(()),
    };
    if let Err(error) = served {
        tracing::debug!(%peer, door = ?hall.door, %error, "connection closed");
    }
}
