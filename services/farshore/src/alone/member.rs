//! One broker of a region of several, in a process of its own.

use crate::output::remark;
use crate::roles::asked_to_end;
use crate::up::addresses::loopback;
use crate::up::data_dir::DataDir;
use anyhow::{Result, bail};
use broker::{Broker, Config, Flush, Listeners, Location};
use env::real::{SystemClock, SystemEntropy};
use model::{BrokerSlot, RegionName};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Runs it until a signal ends it: then it hands over what it leads.
///
/// # Errors
/// When the peers are not those of its region, a port is taken or the data directory cannot be used.
pub(super) fn run(asked: &super::Broker, data: &DataDir, region: RegionName, slot: u16) -> Result<()> {
    let config = config(asked, data, region, slot)?;
    remark!("broker {slot} of {} on {}; data in {}", asked.peers.len(), config.clients, data.path().display());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> Result<()> {
    tokio::spawn(crate::footprint::settle());
    let broker = Broker::start_alone(config, Arc::new(SystemClock), Arc::new(SystemEntropy)).await?;
    let outcome = tokio::select! {
        asked = asked_to_end() => asked,
        reason = broker.metadata_failed() => Err(anyhow::anyhow!("the metadata quorum of this broker failed: {reason}")),
    };
    broker.shutdown().await;
    outcome
}

fn config(asked: &super::Broker, data: &DataDir, region: RegionName, slot: u16) -> Result<Config> {
    check_peers(asked, slot)?;
    let listeners = Listeners {
        clients: loopback(asked.port),
        gateways: loopback(asked.port + 1),
        internal: loopback(asked.port + 2),
    };
    let mut config = Config::new(region, 0, data.path().to_owned(), listeners);
    config.slot = BrokerSlot(slot);
    config.controller = Some(loopback(asked.port + 3));
    config.peers = (0..).map(BrokerSlot).zip(asked.peers.iter().map(SocketAddr::to_string)).collect();
    config.internal_at = asked.internal_at.map(|address| address.to_string());
    config.controllers = asked.controllers;
    config.log_dirs = asked.log_dirs()?;
    config.location = Location { data_centre: asked.data_centre.clone(), rack: asked.rack.clone() };
    config.flush = if asked.flush == "os" { Flush::Os } else { Flush::BeforeAck };
    // Groups of a region on one machine start at once.
    config.initial_rebalance_delay = Duration::ZERO;
    Ok(config)
}

fn check_peers(asked: &super::Broker, slot: u16) -> Result<()> {
    let Some(own) = asked.peers.get(usize::from(slot)) else {
        bail!("--slot {slot}: --peers names {} brokers, the slots from 0 on; name this one too", asked.peers.len());
    };
    if !(1024..=u16::MAX - 5).contains(&asked.port) {
        bail!("--port {}: choose one from 1024 to {}", asked.port, u16::MAX - 5);
    }
    let expected = loopback(asked.port + 3);
    if *own != expected {
        bail!("--peers: slot {slot} is this broker, whose controller listens at {expected}, not at {own}");
    }
    Ok(())
}
