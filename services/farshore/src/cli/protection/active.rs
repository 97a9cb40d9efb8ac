//! `farshore protection active`

use super::super::place::list;
use crate::http::Api;
use anyhow::{Context, Result, bail};
use api::protection_groups::{ConflictPolicy, Policy, ProtectionGroup};
use api::regions::Region;
use serde_json::json;

/// Makes a group whose topics every region takes writes for, each for its own clients.
#[derive(Debug, clap::Args)]
pub(crate) struct Active {
    /// Its name.
    name: String,
    /// Its topics, separated by commas; `eu.*` is every topic whose name begins so. They must not exist yet.
    #[arg(long, value_delimiter = ',', required = true)]
    topics: Vec<String>,
    /// Consumer groups that every region coordinates for itself, separated by commas.
    #[arg(long, value_delimiter = ',')]
    groups: Vec<String>,
    /// Which of two writes of a key stands that knew nothing of each other.
    #[arg(long, default_value = "last-writer-wins")]
    policy: Choice,
    /// With region-priority: the regions, most important first.
    #[arg(long, value_delimiter = ',')]
    order: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Choice {
    LastWriterWins,
    RegionPriority,
    KeepBoth,
    Quarantine,
}

impl Active {
    pub(super) async fn run(self, api: &Api) -> Result<ProtectionGroup> {
        let policy = self.policy()?;
        let regions: Vec<Region> = list(api, "/v1/regions").await?;
        let names: Vec<String> = regions.into_iter().map(|region| region.name).collect();
        let (home, standbys) = names.split_first().context("the platform has no region")?;
        let (topics, groups): (Vec<_>, Vec<_>) = (
            self.topics.iter().map(|name| pattern(name)).collect(),
            self.groups.iter().map(|name| pattern(name)).collect(),
        );
        let asked: Policy = serde_json::from_value(json!({
            "name": self.name, "home": home, "standbys": standbys,
            "coverage": { "topics": topics, "consumer_groups": groups },
            "active_active": policy,
        }))?;
        api.post("/v1/protection-groups", &asked).await
    }

    fn policy(&self) -> Result<ConflictPolicy> {
        if self.order.is_empty() != (self.policy != Choice::RegionPriority) {
            bail!("--order goes with --policy region-priority, and that does not go without");
        }
        Ok(match self.policy {
            Choice::LastWriterWins => ConflictPolicy::LastWriterWins,
            Choice::RegionPriority => ConflictPolicy::RegionPriority { order: self.order.clone() },
            Choice::KeepBoth => ConflictPolicy::KeepBoth,
            Choice::Quarantine => ConflictPolicy::Quarantine,
        })
    }
}

fn pattern(name: &str) -> serde_json::Value {
    name.strip_suffix('*').map_or_else(|| json!({ "exact": name }), |prefix| json!({ "prefix": prefix }))
}
