//! A region: broker, links, council node and REST in one process. In a region of several brokers those, with their links,
//! are processes of their own, and this one is the region's desk: it hosts no partitions, and keeps the region's lease
//! whichever of them is lost.

mod active;
mod archivist;
mod conflicts;
mod council;
mod ends;
mod failpoint;
mod links;
mod plane;
mod vault;

use super::asked_to_end;
use super::context::Context;
use crate::canary::WireCanary;
use crate::roles::metrics::Metrics;
use crate::salvor::WireSalvor;
use crate::up::addresses::{BROKERS_PER_REGION_MAX, RegionPorts, loopback};
use anyhow::{Result, bail};
use archivist::BrokerArchivist;
use broker::{Broker, Flush, Listeners};
use broker_core::retention::Hold;
use catalog::command::Founder;
use control_plane::council::{Config, Identity};
use control_plane::ports::Ports;
use control_plane::{ControlPlane, PlaneConfig};
use council::Topics;
use env::Clock;
use env::real::{SystemClock, SystemEntropy};
use failpoint::{Failpoint, Place};
use links::BrokerLinks;
use mirror::active::Lag;
use mirror::archive::Archive;
use mirror_core::archive::Layout;
use model::{BrokerSlot, ByteCount, RegionName};
use plane::DataPlane;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use vault::Vault;

const BUCKET_RETRY: Duration = Duration::from_secs(1);

/// Runs the region until this process is asked to end.
///
/// # Errors
/// When a port is taken, or the council node's disk fails.
pub(super) async fn run(context: Context, region: RegionName) -> Result<()> {
    let (index, ports) = context.region(&region)?;
    let disk_id = context.disk_id(region.as_str())?;
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    let topics = Arc::new(Topics::default());
    let broker_ports = broker::Ports { clock: clock.clone(), entropy: entropy.clone(), council: topics.clone() };
    let broker = Broker::start(broker_config(&context, &region, None)?, broker_ports).await?;
    let mut lag = Lag::default();
    if context.platform.brokers == 1 {
        start_links(&context, &broker, clock.clone());
        lag = active::start(&broker);
    }
    let data_plane = Arc::new(DataPlane::new(broker.clone(), &region, lag));
    let addresses = context.addresses(&ports);
    let founder = Founder { region: region.clone(), disk_id, addresses };
    let mut founding = context.founding();
    if !founding.is_formed {
        founding.regions[usize::from(index)].disk_id.clone_from(&founder.disk_id);
    }
    let council = Config {
        identity: Identity::Region { index, founder },
        founding,
        dir: context.data.join(region.as_str()),
        listen: loopback(ports.council),
    };
    let mut config = PlaneConfig::new(council)?;
    config.rest = Some(loopback(ports.rest));
    let metrics = Metrics::start(region.as_str())?;
    if context.platform.brokers == 1 {
        metrics.watch(broker.clone());
    }
    config.telemetry = Arc::new(metrics);
    let archive = Archive::new(Arc::new(context.objects()), Layout::new("backups"), clock.clone());
    let archivist = Arc::new(BrokerArchivist::new(
        broker.clone(),
        archive,
        vault::archive(&context, clock.clone()),
        region.clone(),
    ));
    if context.has_objects() {
        create_bucket(context.clone());
    }
    let failpoint = Failpoint::of(&region);
    let ports = Ports {
        clock,
        entropy,
        region: Some(data_plane.clone()),
        canary: Arc::new(WireCanary::new()),
        salvor: Arc::new(WireSalvor::watched(move |purpose| failpoint.reach(Place::of_half_sent(purpose)))),
        archivist: Some(archivist),
    };
    let plane = ControlPlane::start(config, ports).await?;
    topics.serve(plane.topics());
    let outcome = tokio::select! {
        asked = asked_to_end() => asked,
        reason = plane.failed() => fail(&reason),
        reason = broker.metadata_failed() => fail(&reason),
    };
    plane.shutdown().await;
    broker.shutdown().await;
    outcome
}

/// Starts the links into what `broker` leads, for as long as the process lives.
pub(super) fn start_links(context: &Context, broker: &Broker, clock: Arc<dyn Clock>) {
    let vault = Vault::start(broker.clone(), vault::archive(context, clock.clone()));
    let failpoint = Failpoint::of(&broker.config().region);
    let finish = move |plain| ends::over(plain, vault.clone(), failpoint.clone());
    BrokerLinks::start(broker, clock, Box::new(finish));
}

/// Makes the bucket as soon as the object store is there.
fn create_bucket(context: Context) {
    tokio::spawn(async move {
        let objects = context.objects();
        while let Err(error) = objects.create_bucket().await {
            tracing::debug!(%error, "the bucket cannot be made yet");
            tokio::time::sleep(BUCKET_RETRY).await;
        }
    });
}

fn fail(reason: &str) -> Result<()> {
    bail!("a quorum of this region's process failed: {reason}")
}

/// What a region's only broker is started with or, in a region of several, the one in `slot`, or without one the desk.
///
/// # Errors
/// When there is no such region.
pub(super) fn broker_config(context: &Context, region: &RegionName, slot: Option<u16>) -> Result<broker::Config> {
    let (index, ports) = context.region(region)?;
    let dir = context.data.join(region.as_str());
    let mut config = match context.platform.brokers {
        1 => {
            let listeners = Listeners {
                clients: loopback(ports.clients),
                gateways: loopback(ports.gateways),
                internal: loopback(ports.internal),
            };
            broker::Config::new(region.clone(), index, dir, listeners)
        }
        brokers => member_config((region, index), &ports, brokers, slot.unwrap_or(DESK), dir),
    };
    config.cluster_id.clone_from(&context.platform.cluster_id);
    config.flush = if context.platform.flush == "os" { Flush::Os } else { Flush::BeforeAck };
    config.log_dirs.clone_from(&context.platform.log_dirs);
    config.link_delay = Duration::from_millis(context.platform.link_delay_ms);
    let hold = context.platform.link_hold;
    config.link_hold = Hold { age: Duration::from_secs(hold.seconds), bytes: ByteCount::mib(hold.mib) };
    config.retention_check = Duration::from_secs(hold.clean_every_s);
    config.digest_every = Duration::from_secs(hold.digest_every_s);
    // Groups of a platform on one machine start at once.
    config.initial_rebalance_delay = Duration::ZERO;
    Ok(config)
}

/// The desk comes behind all brokers, so that it votes on the region's metadata only where there are two of them.
const DESK: u16 = BROKERS_PER_REGION_MAX;

fn member_config(
    (region, index): (&RegionName, u16),
    ports: &RegionPorts,
    brokers: u16,
    slot: u16,
    dir: PathBuf,
) -> broker::Config {
    let own = ports.member(slot);
    let listeners = Listeners {
        clients: loopback(own.clients),
        gateways: loopback(own.gateways),
        internal: loopback(own.internal),
    };
    let data_dir = if slot == DESK { dir.clone() } else { dir.join(format!("broker-{slot}")) };
    let mut config = broker::Config::new(region.clone(), index, data_dir, listeners);
    config.region_dir = dir;
    config.slot = BrokerSlot(slot);
    config.desk = Some(BrokerSlot(DESK));
    config.controller = Some(loopback(own.controller));
    let controller = |slot: u16| (BrokerSlot(slot), loopback(ports.member(slot).controller).to_string());
    config.peers = (0..brokers).chain([DESK]).map(controller).collect::<BTreeMap<_, _>>();
    config
}
