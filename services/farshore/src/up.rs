//! `farshore up`: a whole platform on this machine.

pub(crate) mod addresses;
pub(crate) mod child;
pub(crate) mod control;
pub(crate) mod data_dir;
mod ready;
mod supervisor;
mod welcome;

use crate::output::{remark, say};
use addresses::{Addresses, BROKERS_PER_REGION_MAX};
use anyhow::{Context, Result, bail};
use data_dir::{DataDir, LinkHold, Platform};
use model::{RegionName, TopicId};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use supervisor::{RegionPids, Supervisor};

/// How long to wait for the ports of a platform that is just ending.
const ENDING_PATIENCE: Duration = Duration::from_secs(5);
const ENDING_LOOK: Duration = Duration::from_millis(50);

/// Starts a platform on this machine: regions with brokers, mirror and council, a gateway, S3, REST and console.
///
/// Point any Kafka client at the gateway. Everything you write is copied to the other regions; kill a region (the table
/// names its process) and watch the client go on. State is kept in the data directory; `up` on old data goes on with it.
#[derive(Debug, clap::Args)]
pub(crate) struct Up {
    /// How many regions, from 2 to 5. An even number gets a witness, so that losing one region leaves a majority.
    #[arg(long, value_parser = clap::value_parser!(u16).range(2..=5))]
    regions: Option<u16>,
    /// How many brokers each region has, from 1 to 3. One lives in its region's process. With more, each is a process of its
    /// own beside the region's: records are on all of them before they are acknowledged, and losing one loses nothing.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=5))]
    brokers: Option<u16>,
    /// Where everything is kept [default: farshore under the user's state directory]
    #[arg(long, env = "FARSHORE_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Packs all ports from this one on (the gateway at it) instead of the well-known ones.
    #[arg(long)]
    base_port: Option<u16>,
    /// What an acknowledgement waits for: `ack` flushes to disk first, `os` trusts the page cache as Kafka does.
    #[arg(long, default_value = "ack", value_parser = ["ack", "os"])]
    flush: String,
    /// Holds every link's records back this long, for drills: something is then at stake when a region dies.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    link_delay_ms: u64,
    /// How many seconds longer records are kept for a standby that has not copied them, and not compacted away. After that a
    /// gap is better than a full disk, and a copy that missed deletions has to be rebuilt.
    #[arg(long, default_value_t = LinkHold::default().seconds, value_name = "S")]
    link_hold_s: u64,
    /// How many MiB of each partition at most are kept longer for that.
    #[arg(long, default_value_t = LinkHold::default().mib, value_name = "MIB")]
    link_hold_mib: u64,
    /// How often logs are looked at for what may be retired or compacted.
    #[arg(long, default_value_t = LinkHold::default().clean_every_s, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    clean_every_s: u64,
    /// How often compacted topics are compared between regions by the latest value of every key.
    #[arg(long, default_value_t = LinkHold::default().digest_every_s, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    digest_every_s: u64,
    /// Where links and gateways reach the internal listeners of regions, if not on 127.0.0.1: the far end of a line that
    /// delays or loses packets, for tests and benchmarks. Regions of one broker only.
    #[arg(long, value_name = "ADDRESS")]
    links_at: Option<IpAddr>,
    /// Where all processes reach each other's listeners, if not on 127.0.0.1: the far end of a line that can cut a region off,
    /// for tests. Regions of one broker only.
    #[arg(long, value_name = "ADDRESS")]
    nodes_at: Option<IpAddr>,
    /// The region the gateway stands in: its clients are sent there for topics that every region takes writes for, and to
    /// another region while that one does not answer [default: the home of the group]
    #[arg(long, value_name = "REGION")]
    gateway_in: Option<RegionName>,
}

impl Up {
    /// Runs the platform until a signal ends it.
    ///
    /// # Errors
    /// When it cannot be started; the message says what is in the way and what to do.
    pub(crate) fn run(self) -> Result<()> {
        // Children are tied to the thread that started them, so there is only one.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.supervise())
    }

    async fn supervise(self) -> Result<()> {
        let data = DataDir::create(self.data_dir.clone().unwrap_or_else(DataDir::default_path))?;
        let _lock = data.lock()?;
        std::fs::create_dir_all(data.join("logs"))?;
        // What an earlier supervisor left behind when it was killed is not true any more.
        let _ = std::fs::remove_file(data.endpoints());
        let platform = self.platform(&data)?;
        free_ports(&platform).await?;
        data.remember(&platform)?;
        let mut supervisor = Supervisor::start(data.clone(), platform.clone())?;
        let outcome = self.serve(&mut supervisor, &data, platform).await;
        let _ = std::fs::remove_file(data.endpoints());
        let _ = std::fs::remove_file(data.socket());
        remark!("stopping");
        supervisor.stop().await;
        outcome
    }

    async fn serve(&self, supervisor: &mut Supervisor, data: &DataDir, platform: Platform) -> Result<()> {
        let mut shown = false;
        let ready = ready::wait(data.clone(), platform.clone());
        let announce = |pids: &RegionPids| {
            if !std::mem::replace(&mut shown, true) {
                data.remember(&Platform { formed: true, ..platform.clone() })?;
                // A platform runs whether or not somebody reads where.
                let _ = say!("{}", welcome::table(data, &platform, pids));
            }
            welcome::write_endpoints(data, &platform, pids)
        };
        supervisor.watch(ready, announce).await
    }

    /// The platform to run: the one remembered in `data`, with today's ports, or a new one.
    fn platform(&self, data: &DataDir) -> Result<Platform> {
        let known = data.platform()?;
        let regions = match (&known, self.regions) {
            (Some(known), Some(asked)) if usize::from(asked) != known.regions.len() => bail!(
                "{} holds a platform of {} regions; leave --regions away or choose another --data-dir",
                data.path().display(),
                known.regions.len()
            ),
            (Some(known), _) => known.regions.clone(),
            (None, asked) => region_names(asked.unwrap_or(3))?,
        };
        let (count, brokers) = (regions.len() as u16, self.broker_count(data, known.as_ref())?);
        let addresses = match self.base_port {
            Some(base) => Addresses::packed(base, count, brokers)?,
            None => Addresses::well_known(count, brokers),
        };
        let mut platform = known.unwrap_or_else(|| new_platform(regions, addresses.clone()));
        platform.brokers = brokers;
        platform.addresses = addresses;
        platform.link_delay_ms = self.link_delay_ms;
        (platform.links_at, platform.nodes_at) = (self.links_at, self.nodes_at);
        platform.gateway_in = self.gateway_in.clone();
        platform.gateway_in.iter().try_for_each(|region| platform.region_index(region).map(drop))?;
        let (seconds, mib, clean_every_s) = (self.link_hold_s, self.link_hold_mib, self.clean_every_s);
        platform.link_hold = LinkHold { seconds, mib, clean_every_s, digest_every_s: self.digest_every_s };
        platform.flush.clone_from(&self.flush);
        Ok(platform)
    }
}

impl Up {
    /// How many brokers each region has: as many as it was begun with.
    fn broker_count(&self, data: &DataDir, known: Option<&Platform>) -> Result<u16> {
        let asked = self.brokers.or(known.map(|known| known.brokers)).unwrap_or(1);
        if let Some(known) = known.filter(|known| known.brokers != asked) {
            bail!(
                "{} holds regions of {} brokers; leave --brokers away or choose another --data-dir",
                data.path().display(),
                known.brokers
            );
        }
        for (option, at) in [("--links-at", self.links_at), ("--nodes-at", self.nodes_at)] {
            if let Some(at) = at.filter(|_| asked > 1) {
                bail!(
                    "{option} {at}: the brokers of a region tell others themselves where they are, so that only regions of \
                     one broker are reached there; leave --brokers or {option} away"
                );
            }
        }
        if asked > BROKERS_PER_REGION_MAX {
            bail!(
                "--brokers {asked}: a gateway has {BROKERS_PER_REGION_MAX} virtual nodes for each region, so a region of \
                 `farshore up` has {BROKERS_PER_REGION_MAX} brokers at most; choose 1 to {BROKERS_PER_REGION_MAX}"
            );
        }
        Ok(asked)
    }
}

/// Makes sure that every port is free. The processes of a supervisor that was killed end a moment after it.
///
/// # Errors
/// The port that stays taken, and the remedy.
async fn free_ports(platform: &Platform) -> Result<()> {
    let patience = if platform.formed { ENDING_PATIENCE } else { Duration::ZERO };
    let deadline = Instant::now() + patience;
    loop {
        match platform.addresses.assert_free(&platform.regions, platform.brokers, platform.has_witness()) {
            Err(_) if Instant::now() < deadline => tokio::time::sleep(ENDING_LOOK).await,
            known => return known,
        }
    }
}

fn region_names(count: u16) -> Result<Vec<RegionName>> {
    (1..=count).map(|n| RegionName::new(format!("r{n}")).context("a region's name")).collect()
}

/// A platform that was never started: everything it is known by is drawn now, and kept.
pub(crate) fn new_platform(regions: Vec<RegionName>, addresses: Addresses) -> Platform {
    let draw = || uuid::Uuid::new_v4().simple().to_string();
    let disks = regions.iter().map(RegionName::as_str).chain(["witness"]);
    Platform {
        version: 1,
        cluster_id: format!("farshore-{}", &draw()[..13]),
        disk_ids: disks.map(|disk| (disk.to_owned(), draw())).collect(),
        regions,
        brokers: 1,
        addresses,
        formed: false,
        s3_secret: draw(),
        canary: TopicId(uuid::Uuid::new_v4()),
        link_delay_ms: 0,
        links_at: None,
        nodes_at: None,
        gateway_in: None,
        link_hold: LinkHold::default(),
        flush: String::new(),
        log_dirs: Vec::new(),
    }
}
