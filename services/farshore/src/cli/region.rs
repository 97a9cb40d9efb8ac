//! `farshore region`

use super::place::{Place, list};
use super::spinner;
use crate::output::say;
use crate::table::{self, Table, or_dash};
use crate::up::control::{self, Ask};
use anyhow::{Result, bail};
use api::regions::{Region, RegionState};
use model::RegionName;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const UP_WITHIN: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// Lists regions and brings dead ones back.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Shows every region: who leads, what it owns, how well it is.
    List,
    /// Brings a dead region of the platform in --data-dir back.
    Start {
        /// The region, for example r1.
        name: RegionName,
    },
}

impl Command {
    pub(super) async fn run(self, place: &Place) -> Result<()> {
        match self {
            Self::List => {
                let regions: Vec<Region> = list(&place.api(), "/v1/regions").await?;
                table::print(place.json, &regions, |regions| rows(regions))
            }
            Self::Start { name } => {
                let pid = start(place, &name).await?;
                match place.json {
                    true => say!("{}", serde_json::json!({"region": name, "pid": pid}))?,
                    false => say!("region {name} runs again as process {pid}")?,
                }
                Ok(())
            }
        }
    }
}

/// Starts a region's process and waits until `endpoints.json` names it.
///
/// # Errors
/// When it cannot be started, or ends at once.
pub(crate) async fn start(place: &Place, name: &RegionName) -> Result<u32> {
    let data = place.data_dir()?;
    let pid = control::ask(&data, &Ask::StartRegion(name.clone())).await?;
    let waiting = spinner(format!("waiting for {name}"));
    let deadline = Instant::now() + UP_WITHIN;
    while Instant::now() < deadline {
        let regions = place.endpoints().map(|endpoints| endpoints.regions).unwrap_or_default();
        if regions.iter().any(|region| region.name == name.as_str() && region.pids.contains(&pid)) {
            waiting.finish_and_clear();
            return Ok(pid);
        }
        sleep(PAUSE).await;
    }
    waiting.finish_and_clear();
    bail!("process {pid} of {name} has ended again; see {}", data.join(format!("logs/{name}.log")).display())
}

fn rows(regions: &[Region]) -> Table {
    let mut table = Table::new(["region", "state", "score", "council", "owns", "partitions", "size", "clients"]);
    for region in regions {
        table.row([
            region.name.clone(),
            state(region.state).to_owned(),
            or_dash(region.health_score.map(|score| format!("{score:.0}"))),
            format!("{:?}", region.council.role).to_lowercase(),
            owned(region),
            region.partitions.to_string(),
            super::bytes(region.size_bytes),
            region.addresses.clients.clone(),
        ]);
    }
    table
}

fn owned(region: &Region) -> String {
    let owned: Vec<&str> = region.holdings.iter().filter(|held| held.owner).map(|held| held.group.as_str()).collect();
    if owned.is_empty() { "-".to_owned() } else { owned.join(",") }
}

pub(super) fn state(state: RegionState) -> &'static str {
    match state {
        RegionState::Healthy => "healthy",
        RegionState::Degraded => "degraded",
        RegionState::Suspect => "suspect",
        RegionState::Failed => "failed",
        RegionState::Recovering => "recovering",
        RegionState::Unknown => "unknown",
    }
}
