//! `farshore attach`: a link from and to clusters that are reached through the Kafka protocol alone.

mod protection;

use super::place::Place;
use crate::output::{self, Unwritten, say};
use crate::roles::asked_to_end;
use crate::table::Table;
use crate::up::data_dir::DataDir;
use anyhow::{Context, Result, ensure};
use mirror::attached::{Kept, Link, News, Obstacle, PartitionStatus, Report, Settings, Side, capabilities};
use protection::Protection;
use serde_json::{Value, json};
use std::time::Duration;

/// Copies topics and group offsets between clusters, one of which is not Farshore's: Apache Kafka, Redpanda, MSK.
///
/// Source and target may each be such a cluster or a region of Farshore (its gateway, or a broker): Kafka to Farshore to
/// move or to protect, Farshore to Kafka to feed, Kafka to Kafka. Runs in the foreground until it is ended; whatever ends
/// it, the next start with the same --data-dir goes on where it stood, without a record twice or left out.
///
/// Copies have the name of their source. A topic that other links already copy the other way, also by way of further clusters,
/// would go round for ever: it is refused, or left out where a prefix selects it. Links write what they copy to a topic
/// farshore.links of both clusters.
///
/// Topics that are missing in the target are made like those in the source. Batches pass without being decompressed;
/// only those with holes are made anew. Aborted transactions and control batches stay behind. Consumer groups are
/// translated exactly, once a second, and left alone where they consume in the target themselves. What a group had
/// committed is deleted in the target, too, a day after it was deleted in the source (--group-grace-seconds).
///
/// Each cluster may ask for TLS, also with a certificate of this client, and for SASL. Passwords are read from a file or from
/// FARSHORE_SOURCE_PASSWORD and FARSHORE_TARGET_PASSWORD.
///
/// A cluster that cannot be reached is named at once, with the reason. At the start the link gives up after half a minute;
/// later on it tries again for as long as it runs.
///
/// Everything it must remember (what was sent under which number, and where each record went) is in --data-dir
/// [default: farshore/attach-NAME under the user's state directory]. The map of offsets is kept in both clusters, too, in a
/// compacted topic farshore.map.SOURCE.TARGET, and the ledger of the commits it made in the target, in farshore.commits.…: a
/// link that has lost its directory goes on from there, and refuses to write to a topic whose records neither explains.
#[derive(Debug, clap::Args)]
pub(crate) struct Attach {
    /// Where the source cluster's brokers listen, several separated by commas.
    #[arg(long, value_name = "HOST:PORT")]
    source: String,
    /// Where the target cluster's brokers listen.
    #[arg(long, value_name = "HOST:PORT")]
    target: String,
    /// Topics by name, or by prefix with a `*` behind it: `orders,billing.*`.
    #[arg(long, value_delimiter = ',', required = true, value_name = "NAME,PREFIX*")]
    topics: Vec<String>,
    /// The link's name, where several run on one machine without --data-dir.
    #[arg(long, default_value = "link")]
    name: model::RegionName,
    /// Ends when everything committed in the source is in the target and all groups are translated: for a move.
    #[arg(long)]
    exit_at_end: bool,
    /// How long a group's commit stays in the target after it was deleted, or expired, in the source.
    #[arg(long, default_value_t = 24 * 60 * 60, value_name = "SECONDS")]
    group_grace_seconds: u64,
    /// Writes nothing to the source cluster: the map of offsets is then kept in the target alone.
    #[arg(long)]
    source_read_only: bool,
    #[command(flatten)]
    protection: Protection,
}

impl Attach {
    pub(super) fn run(self, place: &Place) -> Result<()> {
        telemetry::log_to_stderr();
        let default = || DataDir::default_path().join(format!("attach-{}", self.name));
        let data = DataDir::create(place.given_directory().unwrap_or_else(default))?;
        let _lock = data.lock()?;
        for (flag, address) in [("--source", &self.source), ("--target", &self.target)] {
            ensure!(address.split(',').all(has_port), "{flag} {address}: name each broker as HOST:PORT");
        }
        let [source, target] = self.protection.prepare()?;
        // A link copies whether or not somebody listens.
        let _ = print_capabilities(self.source_read_only, place.json);
        let settings = Settings {
            source: Side { bootstrap: self.source, security: source },
            target: Side { bootstrap: self.target, security: target },
            topics: self.topics,
            source_read_only: self.source_read_only,
            group_grace: Duration::from_secs(self.group_grace_seconds),
            directory: data.path().to_owned(),
            exit_at_end: self.exit_at_end,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let outcome = runtime.block_on(follow(settings, place.json));
        runtime.shutdown_background();
        outcome
    }
}

fn has_port(address: &str) -> bool {
    address.trim().rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

async fn follow(settings: Settings, is_json: bool) -> Result<()> {
    let link = Link::open(settings)?;
    let mut last = Vec::new();
    let tell = |news: News<'_>| {
        let lines = match news {
            News::Obstacles(obstacles) if is_json => vec![obstacles_as_json(obstacles).to_string()],
            News::Obstacles(obstacles) => obstacles.iter().map(obstacle_as_text).collect(),
            News::Round(report) if is_json => vec![as_json(report).to_string()],
            News::Round(report) => vec![as_text(report)],
        };
        lines.iter().filter(|line| !last.contains(*line)).for_each(|line| {
            // A link copies whether or not somebody listens.
            let _ = say!("{line}");
        });
        last = lines;
    };
    tokio::select! {
        ended = link.run(tell) => ended.context("the link has ended"),
        asked = asked_to_end() => asked,
    }
}

fn print_capabilities(source_read_only: bool, is_json: bool) -> Result<(), Unwritten> {
    let capabilities = capabilities(source_read_only);
    if is_json {
        let of = |(name, can, why): &(&str, bool, &str)| json!({"capability": name, "supported": can, "meaning": why});
        return say!("{}", json!({"capabilities": capabilities.iter().map(of).collect::<Vec<_>>()}));
    }
    let mut table = Table::new(["this link", "", "meaning"]);
    for (name, can, why) in capabilities {
        table.row([name.to_owned(), if can { "yes" } else { "no" }.to_owned(), why.to_owned()]);
    }
    output::write(table.render())
}

fn as_text(Report { partitions, round, keeping, left_out }: &Report) -> String {
    let behind: u64 = partitions.iter().map(|status| status.source_tail.since(status.position)).sum();
    let count = |of: fn(&PartitionStatus) -> u64| partitions.iter().map(of).sum::<u64>();
    let mut told = format!(
        "{} partitions, {behind} offsets behind; batches {} passed, {} made anew, {} aborted; {} groups, {} of {} commits exact",
        partitions.len(),
        count(|status| status.tally.passed),
        count(|status| status.tally.encoded),
        count(|status| status.tally.aborted),
        round.groups,
        round.exact,
        round.commits,
    );
    let mut add = |what: &str, of: String| told += &format!("; {what} {of}");
    if count(|status| status.gap_offsets) > 0 {
        add("offsets that the source dropped before they were copied:", count(|status| status.gap_offsets).to_string());
    }
    if !round.active.is_empty() {
        add("consumed in the target by", format!("{} groups", round.active.len()));
    }
    if !round.foreign.is_empty() {
        add("committed in the target by themselves:", format!("{} groups", round.foreign.len()));
    }
    for ring in left_out {
        add("left out:", ring.to_string());
    }
    for (side, kept) in [("source", &keeping.source), ("target", &keeping.target)] {
        if let Kept::Not(reason) = kept {
            add("map not kept in the", format!("{side}: {reason}"));
        }
    }
    let failures = partitions.iter().filter_map(|status| status.failure.as_ref()).chain(&round.failure);
    failures.for_each(|failure| add("FAILED", failure.clone()));
    told
}

fn obstacle_as_text(Obstacle { side, doing, reason }: &Obstacle) -> String {
    format!("{side} cluster, {doing}: {reason}; trying again")
}

fn obstacles_as_json(obstacles: &[Obstacle]) -> Value {
    let one = |Obstacle { side, doing, reason }: &Obstacle| json!({"side": side, "doing": doing, "reason": reason});
    json!({"trying_again": obstacles.iter().map(one).collect::<Vec<_>>()})
}

fn as_json(Report { partitions, round, keeping, left_out }: &Report) -> Value {
    let partition = |status: &PartitionStatus| {
        json!({
            "topic": status.topic,
            "partition": status.partition,
            "position": status.position,
            "source_tail": status.source_tail,
            "target_tail": status.target_tail,
            "runs": status.runs,
            "gap_offsets": status.gap_offsets,
            "batches_passed": status.tally.passed,
            "batches_encoded": status.tally.encoded,
            "batches_empty": status.tally.empty,
            "batches_aborted": status.tally.aborted,
            "failure": status.failure,
        })
    };
    json!({
        "left_out": left_out.iter().map(|ring| json!({"topic": ring.topic, "way": ring.way})).collect::<Vec<_>>(),
        "map_kept": {"source": kept_as_json(&keeping.source), "target": kept_as_json(&keeping.target)},
        "partitions": partitions.iter().map(partition).collect::<Vec<_>>(),
        "groups": {
            "count": round.groups,
            "commits": round.commits,
            "exact": round.exact,
            "gone": round.gone,
            "deleted": round.deleted,
            "active": round.active,
            "foreign": round.foreign,
            "failure": round.failure,
        },
    })
}

fn kept_as_json(kept: &Kept) -> Value {
    match kept {
        Kept::Yes => json!({"kept": true}),
        Kept::ReadOnly => json!({"kept": false, "reason": "the source is left read-only"}),
        Kept::Not(reason) => json!({"kept": false, "reason": reason}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mirror::attached::Keeping;
    use mirror_core::attached::routes::Ring;
    use model::Offset;

    #[test]
    fn an_address_needs_a_port() {
        assert!(has_port("broker-1:9092") && has_port(" [::1]:9092"));
        assert!(!has_port("broker-1") && !has_port(":9092") && !has_port("broker:90920"));
    }

    #[test]
    fn what_fails_is_told() {
        let status = PartitionStatus {
            topic: "orders".into(),
            partition: 0,
            position: Offset(5),
            source_tail: Offset(9),
            target_tail: Offset(4),
            runs: 1,
            gap_offsets: 2,
            tally: Default::default(),
            failure: Some("orders-0: too large".into()),
        };
        let keeping = Keeping { source: Kept::Not("not authorized".into()), target: Kept::Yes };
        let left_out = vec![Ring { topic: "bills".into(), way: vec!["A".into(), "B".into()] }];
        let told = as_text(&Report { partitions: vec![status], keeping, left_out, ..Report::default() });
        assert!(told.contains("left out: topic bills is copied from cluster A to cluster B already"), "{told}");
        assert!(told.starts_with("1 partitions, 4 offsets behind"), "{told}");
        assert!(
            told.contains("copied: 2")
                && told.contains("map not kept in the source: not authorized")
                && told.ends_with("FAILED orders-0: too large"),
            "{told}"
        );
    }
}
