//! The roles of a platform's processes, put together here and nowhere else.

mod context;
mod front_door;
mod gateway;
mod member;
mod metrics;
mod region;
mod s3;
mod witness;

use crate::footprint;
use crate::up::child::end_with_supervisor;
use crate::up::data_dir::DataDir;
use anyhow::Result;
use context::Context;
pub(crate) use context::addresses as region_addresses;
use model::RegionName;
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};

/// Runs one process of a platform. The supervisor starts these; nobody else has to.
#[derive(Debug, clap::Args)]
pub(crate) struct Role {
    /// `s3`, `gateway`, `witness`, the name of a region, or that with the slot of one of its brokers: `r1-0`.
    name: String,
    /// The platform's data directory.
    #[arg(long)]
    data_dir: PathBuf,
    /// The supervisor's process id: this process ends with it.
    #[arg(long)]
    supervisor: u32,
}

impl Role {
    /// Runs until a signal ends it.
    ///
    /// # Errors
    /// What went wrong; it is logged, too.
    pub(crate) fn run(self) -> Result<()> {
        end_with_supervisor(self.supervisor)?;
        telemetry::log_to_stderr();
        let context = Context::read(&DataDir::create(self.data_dir)?)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let outcome = runtime.block_on(async {
            tokio::spawn(footprint::settle());
            match self.name.as_str() {
                "s3" => s3::run(context).await,
                "gateway" => gateway::run(context).await,
                "witness" => witness::run(context).await,
                name => match context.broker(name) {
                    Some((region, slot)) => member::run(context, region, slot).await,
                    None => region::run(context, RegionName::new(name)?).await,
                },
            }
        });
        if let Err(error) = &outcome {
            tracing::error!(role = self.name, error = format!("{error:#}"), "this process ends");
        }
        outcome
    }
}

/// Runs a region alone in this process, until a signal ends it.
///
/// # Errors
/// What went wrong.
pub(crate) fn run_region(data: &DataDir, region: RegionName) -> Result<()> {
    let context = Context::read(data)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::spawn(footprint::settle());
        region::run(context, region).await
    })
}

/// Waits until this process is asked to end.
///
/// # Errors
/// When the system tells nothing of signals.
pub(crate) async fn asked_to_end() -> Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
