//! The gateway process: the gateway itself, and the front door of REST.

use super::context::{Context, GATEWAY};
use super::{asked_to_end, front_door};
use crate::up::addresses::loopback;
use anyhow::Result;
use api::routes::{FollowRoutes, RouteLease};
use catalog::Command;
use catalog::command::{NodePort, RegisterGateway};
use control_plane::council::{Call, Reply, call_from_outside};
use env::real::SystemClock;
use env::{Clock, PortFuture};
use gateway::{Gateway, RouteSource, SourceError};
use model::BrokerSlot;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::sleep;

const CALL_TIMEOUT: Duration = Duration::from_secs(2);
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Runs gateway and front door until this process is asked to end.
///
/// # Errors
/// When a port is taken.
pub(super) async fn run(context: Context) -> Result<()> {
    let council = Arc::new(Council::new(&context));
    let config = gateway::Config {
        name: GATEWAY.to_owned(),
        bootstrap: loopback(context.platform.addresses.gateway),
        host: IpAddr::V4(Ipv4Addr::LOCALHOST),
        region: context.platform.gateway_in.clone(),
    };
    let gateway = Gateway::start(config, Arc::new(SystemClock), council.clone()).await?;
    let front_door = tokio::spawn(front_door::serve(context.clone()));
    let registration = tokio::spawn(register(context, council));
    asked_to_end().await?;
    registration.abort();
    front_door.abort();
    gateway.shutdown().await;
    Ok(())
}

/// Tells the council which ports this gateway has for the virtual nodes, until it has heard.
async fn register(context: Context, council: Arc<Council>) {
    let addresses = &context.platform.addresses;
    let slots = (0..)
        .zip(&context.platform.regions)
        .flat_map(|(index, region)| (0..context.platform.brokers).map(move |slot| (index, region, slot)));
    let nodes = slots.map(|(index, region, slot)| NodePort {
        region: region.clone(),
        slot: BrokerSlot(slot),
        port: addresses.virtual_node(index, slot),
    });
    let change = RegisterGateway {
        gateway: GATEWAY.to_owned(),
        host: Ipv4Addr::LOCALHOST.to_string(),
        port: addresses.gateway,
        nodes: nodes.collect(),
    };
    loop {
        let command = Command::new(SystemClock.now(), "system:gateway", change.clone());
        match council.ask(&Call::Propose(Box::new(command)), CALL_TIMEOUT).await {
            Ok(Reply::Proposed(Ok(_))) => return,
            Ok(other) => tracing::debug!(?other, "not registered yet"),
            Err(error) => tracing::debug!(error, "not registered yet"),
        }
        sleep(RETRY_PAUSE).await;
    }
}

/// The council, asked through whichever node answers.
struct Council {
    cluster_id: String,
    addresses: Vec<String>,
    /// The node that answered last.
    preferred: AtomicUsize,
}

impl Council {
    fn new(context: &Context) -> Self {
        let cluster_id = context.platform.cluster_id.clone();
        Self { cluster_id, addresses: context.council_addresses(), preferred: AtomicUsize::new(0) }
    }

    /// Asks one node after the other, beginning with the one that answered last.
    async fn ask(&self, call: &Call, within: Duration) -> Result<Reply, String> {
        let (count, first) = (self.addresses.len(), self.preferred.load(Ordering::Relaxed));
        let mut last = String::new();
        for at in (0..count).map(|step| (first + step) % count) {
            match call_from_outside(&self.cluster_id, &self.addresses[at], call, within).await {
                Ok(reply) => {
                    self.preferred.store(at, Ordering::Relaxed);
                    return Ok(reply);
                }
                Err(error) => last = error.to_string(),
            }
        }
        Err(last)
    }
}

impl RouteSource for Council {
    fn follow(&self, ask: FollowRoutes) -> PortFuture<'_, Result<RouteLease, SourceError>> {
        Box::pin(async move {
            match self.ask(&Call::FollowRoutes(ask), CALL_TIMEOUT).await {
                Ok(Reply::Routes(lease)) => Ok(*lease),
                Ok(other) => Err(SourceError(format!("the council answered {other:?}"))),
                Err(error) => Err(SourceError(error)),
            }
        })
    }
}
