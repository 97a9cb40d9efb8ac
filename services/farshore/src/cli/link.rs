//! `farshore link`

use super::place::{Place, list};
use crate::output;
use crate::table::{self, Table, or_dash};
use anyhow::Result;
use api::links::{Link as Mirror, LinkGap, LinkPartition, LinkProof, LinkReset};
use std::time::Duration;
use tokio::time::sleep;

const REFRESH: Duration = Duration::from_secs(1);

/// Shows how far every standby is behind: in records, bytes and seconds.
#[derive(Debug, clap::Args)]
pub(crate) struct Link {
    /// Shows every partition.
    #[arg(long, short)]
    partitions: bool,
    /// Shows it again every second until interrupted.
    #[arg(long, short)]
    watch: bool,
    #[command(subcommand)]
    order: Option<Order>,
}

#[derive(Debug, clap::Subcommand)]
enum Order {
    /// Shows them, as without an order.
    List,
    /// Has copies copied anew that are no standby otherwise (must_rebuild, different). What they hold is put aside for a day,
    /// and it is refused while the source does not answer, or is known to be damaged: then move the group to a copy that is
    /// sound there.
    Rebuild {
        /// The source region.
        source: String,
        /// The target region, whose copies they are.
        target: String,
        /// The protection group.
        #[arg(long, default_value = "default")]
        group: String,
        /// From a source that is known to be damaged, too: the new copy may end before the damage.
        #[arg(long)]
        from_damaged_source: bool,
    },
}

impl Link {
    pub(super) async fn run(self, place: &Place) -> Result<()> {
        let api = place.api();
        if let Some(Order::Rebuild { source, target, group, from_damaged_source }) = &self.order {
            let asked = if *from_damaged_source { "?from_damaged_source=true" } else { "" };
            let path = format!("/v1/links/{source}/{target}/{group}/rebuild{asked}");
            let link: Mirror = api.post(&path, &serde_json::json!({})).await?;
            table::print(place.json, &[link], |links| partitions(links))?;
            return Ok(());
        }
        loop {
            let links: Vec<Mirror> = list(&api, "/v1/links").await?;
            if self.watch && !place.json {
                // Clears the screen and goes to its first corner.
                output::write("\x1b[2J\x1b[H")?;
            }
            table::print(place.json, &links, |links| if self.partitions { partitions(links) } else { rows(links) })?;
            if !self.watch {
                return Ok(());
            }
            sleep(REFRESH).await;
        }
    }
}

fn rows(links: &[Mirror]) -> Table {
    let mut table = Table::new([
        "link",
        "state",
        "partitions",
        "records behind",
        "bytes",
        "seconds",
        "silent",
        "round trip",
        "proof",
    ]);
    for link in links {
        table.row([
            link.name.clone(),
            link.state.clone(),
            link.partitions.len().to_string(),
            link.lag_records.to_string(),
            super::bytes(link.lag_bytes),
            lag(link.lag_records, link.lag_seconds),
            silence(link.silent_ms),
            round_trip(link.round_trip_ms),
            proof_of(link),
        ]);
    }
    table
}

fn partitions(links: &[Mirror]) -> Table {
    let mut table = Table::new([
        "link",
        "topic",
        "partition",
        "state",
        "tail",
        "source tail",
        "records behind",
        "seconds",
        "silent",
        "round trip",
        "fetches",
        "identical up to",
        "facts",
    ]);
    for link in links {
        for partition in &link.partitions {
            table.row([
                link.name.clone(),
                partition.topic.clone(),
                partition.partition.to_string(),
                partition.state.clone(),
                partition.tail_offset.to_string(),
                or_dash(partition.source_tail_offset),
                partition.lag_records.to_string(),
                lag(partition.lag_records, partition.lag_seconds),
                silence(partition.silent_ms),
                round_trip(partition.round_trip_ms),
                format!("{} x {}", partition.fetches_under_way, super::bytes(partition.fetch_bytes.into())),
                identical(partition.proof.as_ref()),
                facts(link, partition),
            ]);
        }
    }
    table
}

/// What is proven of a link: the bad news first.
fn proof_of(link: &Mirror) -> String {
    let proven = link.partitions.iter().filter(|partition| partition.proof.is_some()).count();
    let mut news = vec![];
    if link.unusable_partitions > 0 {
        news.push(format!("{} NO STANDBY", link.unusable_partitions));
    }
    if link.different_partitions > 0 {
        news.push(format!("{} DIFFERENT", link.different_partitions));
    }
    if link.source_damaged_partitions > 0 {
        news.push(format!("{} SOURCE DAMAGED", link.source_damaged_partitions));
    }
    if !link.gaps.is_empty() {
        news.push(format!("{} facts", link.gaps.len()));
    }
    news.push(format!("{proven} of {} compared", link.partitions.len()));
    news.join(", ")
}

fn identical(proof: Option<&LinkProof>) -> String {
    let Some(proof) = proof else { return "-".to_owned() };
    let mut told = proof.identical_to_offset.to_string();
    if proof.unproven_ranges > 0 {
        told += &format!(", but for {} ranges", proof.unproven_ranges);
    }
    if let Some(keys) = &proof.keys {
        told += &format!("; by the digest of {} keys {}, at {}", keys.keys, keys.identical_to_offset, keys.compared_at);
    }
    if let (Some(from), Some(to)) = (proof.different_from_offset, proof.different_to_offset) {
        told += &format!("; DIFFERENT in [{from}, {to})");
    }
    for range in &proof.source_damaged {
        told += &format!("; THE SOURCE IS DAMAGED in [{}, {})", range.from_offset, range.to_offset);
    }
    told
}

fn facts(link: &Mirror, partition: &LinkPartition) -> String {
    let is_its = |gap: &&LinkGap| (&gap.topic, gap.partition) == (&partition.topic, partition.partition);
    let told = |gap: &LinkGap| format!("[{}, {}): {}", gap.from_offset, gap.to_offset, gap.reason);
    let unusable = partition.unusable.iter().cloned();
    let remade = |reset: &LinkReset| {
        format!("made again at {}; the old copy is kept until {}", reset.remade_at, reset.kept_until)
    };
    let resets = link.resets.iter().filter(|reset| reset.topic == partition.topic).map(remade);
    let told: Vec<_> = unusable.chain(link.gaps.iter().filter(is_its).map(told)).chain(resets).collect();
    if told.is_empty() { "-".to_owned() } else { told.join("; ") }
}

/// How long nothing was heard.
fn silence(ms: u64) -> String {
    if ms == u64::MAX { "never heard".to_owned() } else { super::millis(ms) }
}

/// Of a silent source it is not known whether anything was written there.
fn lag(records: u64, seconds: f64) -> String {
    let told = super::seconds(seconds);
    if records == 0 && seconds > 0.0 { format!("up to {told}") } else { told }
}

fn round_trip(ms: Option<f64>) -> String {
    ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"))
}
