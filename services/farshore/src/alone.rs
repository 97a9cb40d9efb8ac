//! `farshore broker`: one region alone, in one process or in one per broker.

mod member;

use crate::output::remark;
use crate::roles::run_region;
use crate::up::addresses::{Addresses, loopback};
use crate::up::data_dir::DataDir;
use crate::up::new_platform;
use anyhow::{Context, Result};
use clap::builder::TypedValueParser;
use model::RegionName;
use std::net::{SocketAddr, TcpListener};
use std::path::{PathBuf, absolute};

/// A broker by itself.
#[derive(Debug, clap::Args)]
pub(crate) struct Broker {
    /// Where Kafka clients connect, on 127.0.0.1.
    #[arg(long, default_value_t = 9092)]
    port: u16,
    /// Where everything is kept, as --data-dir says for every command; else farshore/broker under the user's state
    /// directory.
    #[arg(skip)]
    data_dir: Option<PathBuf>,
    /// Where the logs are, if not in the data directory: directories on disks of their own, of which one may fail and
    /// takes only its partitions with it.
    #[arg(long, value_delimiter = ',')]
    log_dirs: Vec<PathBuf>,
    /// What an acknowledgement waits for: `ack` flushes to disk first, `os` trusts the page cache as Kafka does.
    #[arg(long, default_value = "ack", value_parser = ["ack", "os"])]
    flush: String,
    /// Its place among the brokers of the region, from 0 on.
    #[arg(long, requires = "peers")]
    slot: Option<u16>,
    /// Where the controllers of all brokers of the region listen, in the order of their slots, its own included:
    /// `127.0.0.1:PORT`, where PORT is that broker's --port + 3.
    #[arg(long, value_delimiter = ',', requires = "slot")]
    peers: Vec<SocketAddr>,
    /// How many of them vote on the region's metadata: 1, 3 or 5.
    #[arg(long, default_value_t = 3, value_parser = clap::builder::PossibleValuesParser::new(["1", "3", "5"]).map(|votes| votes.parse::<usize>().unwrap_or(3)))]
    controllers: usize,
    /// Where the region's other brokers reach it, if not on 127.0.0.1 at --port + 2.
    #[arg(long, requires = "slot")]
    internal_at: Option<SocketAddr>,
    /// The data centre it stands in; replicas are spread over data centres first.
    #[arg(long, default_value = "")]
    data_centre: String,
    /// The rack it stands in; replicas are spread over racks next.
    #[arg(long, default_value = "")]
    rack: String,
}

impl Broker {
    fn directory(&self) -> PathBuf {
        let name = self.slot.map_or_else(|| "broker".to_owned(), |slot| format!("broker-{slot}"));
        self.data_dir.clone().unwrap_or_else(|| DataDir::default_path().join(name))
    }

    /// The directories of logs, wherever the next start is made from.
    fn log_dirs(&self) -> Result<Vec<PathBuf>> {
        let whole = |dir: &PathBuf| absolute(dir).with_context(|| format!("--log-dirs {}", dir.display()));
        self.log_dirs.iter().map(whole).collect()
    }

    /// The same, with everything in `data_dir` if one is given.
    pub(crate) fn in_directory(self, data_dir: Option<PathBuf>) -> Self {
        Self { data_dir, ..self }
    }

    /// Runs until a signal ends it.
    ///
    /// # Errors
    /// When a port is taken or the data directory cannot be used.
    pub(crate) fn run(self) -> Result<()> {
        telemetry::log_to_stderr();
        let data = DataDir::create(self.directory())?;
        let _lock = data.lock()?;
        let region = RegionName::new("r1").context("a region's name")?;
        let log_dirs = self.log_dirs()?;
        if let Some(slot) = self.slot {
            return member::run(&self, &data, region, slot);
        }
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
        platform.log_dirs = log_dirs;
        data.remember(&platform)?;
        remark!("broker on {}; data in {}", loopback(self.port), data.path().display());
        run_region(&data, region)
    }
}
