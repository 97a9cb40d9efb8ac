//! The gateway: one virtual Kafka cluster over all regions.
//!
//! ```text
//! client --- bootstrap listener ----.           .--- region r1's gateways' listener
//!        --- virtual node of r1 ----+-- one ----+
//!        --- virtual node of r2 ----'  upstream '--- region r2's gateways' listener
//! ```
//!
//! A client sees constant node ids, ports and topic ids, so a failover looks like a change of leaders to it. What names
//! nodes or leaders is answered here, from the council's route table and the owner region's metadata; everything else is
//! passed to the region behind the virtual node without being decoded. A gateway whose leases on a region's grants have
//! run out drops its connections to that region: an ack of an owner that has been fenced never reaches a client.
//!
//! Where every region takes writes there is nobody to fence: clients are sent to the region the gateway stands in, and to
//! the next one while that does not answer, also by a gateway that the council does not hear. What they had read up to
//! means nothing there: offsets are a region's own.

mod answer;
mod connection;
mod follow;
mod lease;
mod listener;
mod reach;
mod refuse;
mod state;

pub use follow::{RouteSource, SourceError};

use env::Clock;
use model::RegionName;
use state::State;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What a gateway is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its name, which owns virtual nodes in the council.
    pub name: String,
    /// Where clients bootstrap.
    pub bootstrap: SocketAddr,
    /// The host its virtual nodes listen on.
    pub host: IpAddr,
    /// The region it stands in: its clients are sent there where every region takes writes. Without one they are sent to
    /// the group's home.
    pub region: Option<RegionName>,
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Gateway {
    /// Binds the bootstrap listener and follows `routes`; virtual nodes are bound as the council names them, and clients are
    /// served from then on.
    ///
    /// # Errors
    /// When the bootstrap address cannot be bound.
    pub async fn start(config: Config, clock: Arc<dyn Clock>, routes: Arc<dyn RouteSource>) -> io::Result<Self> {
        let bootstrap = TcpListener::bind(config.bootstrap).await;
        let bootstrap = bootstrap.map_err(|error| {
            io::Error::new(error.kind(), format!("the gateway cannot listen on {}: {error}", config.bootstrap))
        })?;
        Ok(Self::serve(config, clock, routes, bootstrap))
    }

    /// Begins what a gateway does. What a future does is compiled where it is first polled or spawned: here, not with the
    /// program around it, which is built for a short build.
    fn serve(config: Config, clock: Arc<dyn Clock>, routes: Arc<dyn RouteSource>, bootstrap: TcpListener) -> Self {
        let (stop, stopped) = watch::channel(false);
        let state = Arc::new(State::new(clock, config.region.clone()));
        let mut tasks = JoinSet::new();
        tasks.spawn(listener::bootstrap(bootstrap, state.clone(), stopped.clone()));
        tasks.spawn(listener::virtual_nodes(config.clone(), state.clone(), stopped.clone()));
        tasks.spawn(until(stopped.clone(), follow::routes(config.name, routes, state.clone())));
        tasks.spawn(until(stopped.clone(), follow::leaders(state.clone())));
        tasks.spawn(until(stopped, lease::watch(state)));
        Self { stop, tasks }
    }

    /// Stops serving and waits until every connection is closed.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn until(mut stopped: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        // A sender that is gone stops just as well.
        _ = stopped.wait_for(|stop| *stop) => {}
    }
}

/// A value per region.
type PerRegion<T> = BTreeMap<RegionName, T>;
