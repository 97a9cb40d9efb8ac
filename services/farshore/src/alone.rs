//! `farshore broker`: one region alone, in one process.

use crate::roles::run_region;
use crate::up::addresses::{Addresses, loopback};
use crate::up::data_dir::DataDir;
use crate::up::new_platform;
use anyhow::{Context, Result};
use model::RegionName;
use std::net::TcpListener;
use std::path::PathBuf;

/// Runs one broker alone: a region of one with a council of one, nothing mirrored.
///
/// It takes five ports from --port on: Kafka clients, gateways, links, council and REST. For development and benchmarks;
/// a platform that survives the loss of a region is `farshore up`.
#[derive(Debug, clap::Args)]
pub(crate) struct Broker {
    /// Where Kafka clients connect, on 127.0.0.1.
    #[arg(long, default_value_t = 9092)]
    port: u16,
    /// Where everything is kept [default: farshore/broker under the user's state directory]
    #[arg(long, env = "FARSHORE_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// What an acknowledgement waits for: `ack` flushes to disk first, `os` trusts the page cache as Kafka does.
    #[arg(long, default_value = "ack", value_parser = ["ack", "os"])]
    flush: String,
}

impl Broker {
    /// Runs until a signal ends it.
    ///
    /// # Errors
    /// When a port is taken or the data directory cannot be used.
    pub(crate) fn run(self) -> Result<()> {
        telemetry::log_to_stderr();
        let data = DataDir::create(self.data_dir.unwrap_or_else(|| DataDir::default_path().join("broker")))?;
        let _lock = data.lock()?;
        let region = RegionName::new("r1").context("a region's name")?;
        let addresses = Addresses::alone(self.port)?;
        for port in self.port..self.port + 5 {
            TcpListener::bind(loopback(port)).with_context(|| {
                format!("port {port} is taken: stop what listens there or choose another one with --port")
            })?;
        }
        let known = data.platform()?;
        let mut platform = known.unwrap_or_else(|| new_platform(vec![region.clone()], addresses.clone()));
        platform.addresses = addresses;
        platform.flush = self.flush;
        data.remember(&platform)?;
        eprintln!("broker on {}; data in {}", loopback(self.port), data.path().display());
        run_region(&data, region)
    }
}
