//! One node of the control plane, put together: what a region's process or the witness starts.
//!
//! ```text
//!   ControlPlane::start
//!     1. REST's port is taken      (a taken port is found before anything else happens)
//!     2. the council node          (founds, goes on, or is let in anew)
//!     3. lease keeper, reconcilers (only in a region)
//!     4. automation                (observers, executor, reports, long work, schedules)
//!     5. REST answers
//!   shutdown: in the opposite order
//! ```

use crate::automation::{Automation, Options};
use crate::council::{Config, Council, StartError};
use crate::execute::failpoint::{BadFailpoint, Failpoints};
use crate::ports::Ports;
use crate::rest::{Api, NoTelemetry, Server, Telemetry};
use crate::topics::Topics;
use crate::{lease, reconcile};
use env::PortFuture;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What a node of the control plane is.
#[derive(Clone)]
pub struct PlaneConfig {
    /// Its council node.
    pub council: Config,
    /// Where REST listens; `None` in a witness.
    pub rest: Option<SocketAddr>,
    /// Where backups go, bucket and prefix, for people.
    pub repository: String,
    /// Where the executor may be made to die; see [`crate::execute::failpoint`].
    pub failpoints: Failpoints,
    /// What `/metrics` answers with.
    pub telemetry: Arc<dyn Telemetry>,
}

impl PlaneConfig {
    /// A node without REST and metrics, with the failpoints of the environment.
    ///
    /// # Errors
    /// [`BadFailpoint`] when the environment's failpoint cannot be read.
    pub fn new(council: Config) -> Result<Self, BadFailpoint> {
        Ok(Self {
            council,
            rest: None,
            repository: "farshore".to_owned(),
            failpoints: Failpoints::from_environment()?,
            telemetry: Arc::new(NoTelemetry),
        })
    }
}

/// Why a node of the control plane cannot start.
#[derive(Debug, thiserror::Error)]
pub enum PlaneError {
    /// The address of REST cannot be had.
    #[error("REST cannot listen on {address}: {source}; free the port or choose another one")]
    Rest {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The council node cannot start.
    #[error(transparent)]
    Council(#[from] StartError),
}

/// One node of the control plane.
pub struct ControlPlane {
    council: Council,
    topics: Topics,
    automation: Automation,
    duties: JoinSet<()>,
    rest: Option<Server>,
}

impl ControlPlane {
    /// Starts the node and everything it does. Returns once the council has taken it in.
    ///
    /// # Errors
    /// [`PlaneError`] says what is in the way.
    pub fn start(config: PlaneConfig, ports: Ports) -> PortFuture<'static, Result<Self, PlaneError>> {
        // Boxed, it is compiled here with all it spawns, and not with the program around it.
        Box::pin(Self::begin(config, ports))
    }

    async fn begin(config: PlaneConfig, ports: Ports) -> Result<Self, PlaneError> {
        let listener = listen(config.rest).await?;
        let region = config.council.identity.region().cloned();
        let council = Council::start(config.council, ports.clone()).await?;
        let mut duties = JoinSet::new();
        if let (Some(name), Some(region)) = (region, &ports.region) {
            duties.spawn(lease::keep(council.clone(), name.clone(), region.clone(), ports.clock.clone()));
            duties.spawn(reconcile::assign(council.clone(), name.clone(), region.clone()));
            duties.spawn(reconcile::report(council.clone(), name, region.clone()));
        }
        let options = Options { repository: config.repository, failpoints: config.failpoints };
        let automation = Automation::start(&council, &ports, options);
        let topics = Topics::new(council.clone(), crate::tenure::system_name(&council));
        let rest = listener.map(|listener| {
            let api = Api::new(&council, &automation, &ports, config.telemetry);
            Server::start(listener, crate::rest::router(api))
        });
        Ok(Self { council, topics, automation, duties, rest })
    }

    /// Changes topics at the wish of this node's broker.
    pub fn topics(&self) -> Topics {
        self.topics.clone()
    }

    /// Its council node.
    pub fn council(&self) -> &Council {
        &self.council
    }

    /// What it does without being asked.
    pub fn automation(&self) -> &Automation {
        &self.automation
    }

    /// Where REST listens, if it does.
    pub fn rest_address(&self) -> Option<SocketAddr> {
        self.rest.as_ref().map(Server::address)
    }

    /// Waits until this node has failed for good, and says why. The process should end then.
    pub async fn failed(&self) -> String {
        self.council.failed().await
    }

    /// Stops the node: nobody is answered any more, nothing new is begun, and the council goes on without it.
    pub async fn shutdown(self) {
        let Self { council, automation, mut duties, rest, .. } = self;
        if let Some(rest) = rest {
            rest.stop().await;
        }
        drop(automation);
        duties.shutdown().await;
        council.shutdown().await;
    }
}

async fn listen(address: Option<SocketAddr>) -> Result<Option<TcpListener>, PlaneError> {
    let Some(address) = address else { return Ok(None) };
    let listener = TcpListener::bind(address).await.map_err(|source| PlaneError::Rest { address, source })?;
    Ok(Some(listener))
}
