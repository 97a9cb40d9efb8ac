//! One of several brokers of a region, with the links that fill the copies it leads, in a process of its own.

use super::asked_to_end;
use super::context::Context;
use super::region::{broker_config, start_links};
use anyhow::{Result, bail};
use broker::Broker;
use env::real::{SystemClock, SystemEntropy};
use model::RegionName;
use std::sync::Arc;

/// Runs it until this process is asked to end: then it hands over what it leads.
///
/// # Errors
/// When a port is taken, or its disk fails.
pub(super) async fn run(context: Context, region: RegionName, slot: u16) -> Result<()> {
    let clock = Arc::new(SystemClock);
    let config = broker_config(&context, &region, Some(slot))?;
    std::fs::create_dir_all(&config.data_dir)?;
    let broker = Broker::start_member(config, clock.clone(), Arc::new(SystemEntropy)).await?;
    start_links(&context, &broker, clock);
    let outcome = tokio::select! {
        asked = asked_to_end() => asked,
        reason = broker.metadata_failed() => fail(&reason),
    };
    broker.shutdown().await;
    outcome
}

fn fail(reason: &str) -> Result<()> {
    bail!("the metadata quorum of this broker failed: {reason}")
}
