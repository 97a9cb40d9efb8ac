//! `farshore conflict`

use super::place::{Place, escaped, list};
use crate::http::Api;
use crate::table::{self, Table};
use anyhow::{Context, Result, bail};
use api::conflicts::{ActivePartition, Conflict, Payload, Quarantined, Received, RecordId, Settle, Settled};
use api::regions::Region;
use serde::Serialize;
use std::time::Duration;

/// Shows which writes of topics that every region takes writes for lost against others, and settles what waits for a
/// person.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Shows the conflicts that were found; every region finds the same ones.
    List {
        /// The region that is asked; the first one when it is left out.
        #[arg(long)]
        region: Option<String>,
    },
    /// Shows what waits for a person.
    Quarantine {
        /// The region that is asked; the first one when it is left out.
        #[arg(long)]
        region: Option<String>,
    },
    /// Writes a version of a key again that is in quarantine: it stands over the others then, in every region.
    Settle {
        /// The partition, as TOPIC-NUMBER.
        partition: String,
        /// The key, as text.
        key: String,
        /// The version, as `quarantine` names it: ORIGIN:OFFSET.
        choice: String,
        /// The region that is asked; the first one when it is left out.
        #[arg(long)]
        region: Option<String>,
    },
    /// Shows how far the records of each region have come in each other one.
    Partitions {
        /// The region that is asked; all of them when it is left out.
        #[arg(long)]
        region: Option<String>,
    },
}

impl Command {
    pub(super) async fn run(self, place: &Place) -> Result<()> {
        let api = place.api();
        match self {
            Self::List { region } => {
                let all: Vec<Conflict> = list(&api, &path(&api, region, "conflicts").await?).await?;
                table::print(place.json, &all, |all| conflicts(all))
            }
            Self::Quarantine { region } => {
                let all: Vec<Quarantined> = list(&api, &path(&api, region, "quarantine").await?).await?;
                table::print(place.json, &all, |all| quarantined(all))
            }
            Self::Settle { partition, key, choice, region } => {
                let settled = settle(&api, region, &partition, &key, &choice).await?;
                table::print(place.json, &settled, |settled| {
                    let mut table = Table::new(["settled at offset"]);
                    table.row([settled.offset.to_string()]);
                    table
                })
            }
            Self::Partitions { region } => {
                let all = partitions(&api, region).await?;
                table::print(place.json, &all, |all| partition_rows(all))
            }
        }
    }
}

/// A partition, and the region that sees it so.
#[derive(Serialize)]
struct Seen {
    region: String,
    #[serde(flatten)]
    partition: ActivePartition,
}

async fn regions(api: &Api) -> Result<Vec<String>> {
    let regions: Vec<Region> = list(api, "/v1/regions").await?;
    Ok(regions.into_iter().map(|region| region.name).collect())
}

async fn path(api: &Api, region: Option<String>, what: &str) -> Result<String> {
    let region = match region {
        Some(region) => region,
        None => regions(api).await?.into_iter().next().context("the platform has no region")?,
    };
    Ok(format!("/v1/regions/{}/{what}", escaped(&region)))
}

async fn partitions(api: &Api, region: Option<String>) -> Result<Vec<Seen>> {
    let asked = match region {
        Some(region) => vec![region],
        None => regions(api).await?,
    };
    let mut all = Vec::new();
    for region in asked {
        let path = format!("/v1/regions/{}/active-partitions", escaped(&region));
        let seen: Vec<ActivePartition> = list(api, &path).await?;
        all.extend(seen.into_iter().map(|partition| Seen { region: region.clone(), partition }));
    }
    Ok(all)
}

async fn settle(api: &Api, region: Option<String>, partition: &str, key: &str, choice: &str) -> Result<Settled> {
    let quarantine = path(api, region, "quarantine").await?;
    let waits: Vec<Quarantined> = list(api, &quarantine).await?;
    let wanted = Payload::Text(key.to_owned());
    let is_it = |waits: &&Quarantined| name(&waits.topic, waits.partition) == partition && waits.key == wanted;
    let Some(waits) = waits.iter().find(is_it) else {
        bail!(
            "no versions of key {key:?} of {partition} wait for a person; `farshore conflict quarantine` lists what does"
        )
    };
    let known: Vec<RecordId> = waits.versions.iter().map(|version| version.record).collect();
    let choice = known.iter().find(|record| id(**record) == choice);
    let choice = *choice
        .with_context(|| format!("choose one of {}", known.iter().map(|k| id(*k)).collect::<Vec<_>>().join(", ")))?;
    let asked = Settle {
        topic: waits.topic.clone(),
        partition: waits.partition,
        key_hex: waits.key_hex.clone(),
        choice,
        known,
    };
    api.post(&format!("{quarantine}/settle"), &asked).await
}

fn name(topic: &str, partition: i32) -> String {
    format!("{topic}-{partition}")
}

fn id(record: RecordId) -> String {
    format!("{}:{}", record.origin, record.offset)
}

fn text(payload: &Payload) -> String {
    match payload {
        Payload::Null => "(none)".to_owned(),
        Payload::Text(text) => text.clone(),
        Payload::Hex(hex) => format!("0x{hex}"),
        Payload::TooLarge { bytes } => format!("({bytes} bytes)"),
    }
}

fn word(word: &impl Serialize) -> String {
    serde_json::to_value(word).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn conflicts(all: &[Conflict]) -> Table {
    let mut table = Table::new(["partition", "key", "stands", "of", "lost", "of", "record", "reason", "state"]);
    for known in all {
        table.row([
            name(&known.topic, known.partition),
            text(&known.key),
            text(&known.winner.value),
            known.winner.region.clone(),
            text(&known.loser.value),
            known.loser.region.clone(),
            id(known.loser.record),
            word(&known.reason),
            word(&known.state),
        ]);
    }
    table
}

fn quarantined(all: &[Quarantined]) -> Table {
    let mut table = Table::new(["partition", "key", "version", "region", "written", "value", "stands"]);
    for waits in all {
        for (at, version) in waits.versions.iter().enumerate() {
            table.row([
                name(&waits.topic, waits.partition),
                text(&waits.key),
                id(version.record),
                version.region.clone(),
                version.written_at.clone(),
                text(&version.value),
                if at == 0 { "meanwhile" } else { "" }.to_owned(),
            ]);
        }
    }
    table
}

fn partition_rows(all: &[Seen]) -> Table {
    let mut table = Table::new(["region", "partition", "received", "behind", "brought", "repeated"]);
    for seen in all {
        let known = &seen.partition;
        let received = known.received.iter().map(|known| format!("{}:{}", origin(known), known.tail));
        let behind = known.received.iter().filter_map(behind);
        table.row([
            seen.region.clone(),
            name(&known.topic, known.partition),
            received.collect::<Vec<_>>().join(" "),
            behind.collect::<Vec<_>>().join(" "),
            known.records_brought.to_string(),
            known.repeats.to_string(),
        ]);
    }
    table
}

fn origin(known: &Received) -> String {
    known.region.clone().unwrap_or_else(|| format!("incarnation-{}", known.incarnation))
}

/// How far one region's records are behind: `r2:0/0.3s` for records, at the most, and the time since all were here.
fn behind(known: &Received) -> Option<String> {
    let (records, millis) = (known.records_behind_max?, known.behind_ms?);
    Some(format!("{}:{records}/{:.1}s", origin(known), Duration::from_millis(millis).as_secs_f64()))
}
