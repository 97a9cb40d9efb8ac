//! `farshore bench mirror`: one line, and on it in turn raw TCP streams, our mirror, `farshore attach` between two clusters of
//! Apache Kafka, and MirrorMaker 2 between the same two.

mod flood;
mod lag;
mod pair;
mod raw;

use crate::args::{Mirror, Mirroring};
use crate::report::Goal;
use crate::rounds::{farshore, say};
use anyhow::Context;
use chaos::line::{Line, Plan, Shape};
use flood::Flood;
use lag::Lag;
use pair::{Between, Clusters, Ours, Pair};
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// Of what four raw streams bring.
const SHARE_MIN: f64 = 0.7;
/// Beyond one round trip, on a line without loss. With one of a thousand packets lost, two are in every second of this load;
/// TCP learns of each a round trip later, and what comes behind it waits for as long: that lag is shown, and has no goal.
const ADDED_LAG_MAX_MS: f64 = 50.0;
/// Of what MirrorMaker 2 reaches, and of what it takes.
const TIMES_MIN: f64 = 3.0;
const THIRD: f64 = 1.0 / 3.0;
/// How much slower MirrorMaker warms up than it then is: it is given less to do.
const THEIR_SHARE: u64 = 2;

/// What was found of one subject on one line.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Found {
    flood: Flood,
    /// `None` where it does not keep up with the load.
    lag: Option<Lag>,
}

/// What was found on one line.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct OnLine {
    loss_percent: f64,
    raw_mb_s: f64,
    farshore: Option<Found>,
    attached: Option<Found>,
    mirror_maker: Option<Found>,
}

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    round_trip_ms: u64,
    mtu: u16,
    /// What the system's TCP goes by.
    congestion_control: String,
    rate_mb_s: f64,
    lines: Vec<OnLine>,
}

/// Measures everything, on one line after the other.
///
/// # Errors
/// When a line cannot be made, or something does not start or stands still.
pub(crate) fn run(asked: &Mirror) -> anyhow::Result<Results> {
    let directory = asked.directory.clone().unwrap_or_else(std::env::temp_dir);
    let directory = directory.join(format!("farshore-bench-{}", std::process::id()));
    let bench = Bench { asked: asked.clone(), farshore: farshore(asked.farshore.as_deref())?, directory };
    let lines: anyhow::Result<Vec<_>> = asked.loss.iter().map(|loss| bench.on_line(*loss)).collect();
    let _best_effort = std::fs::remove_dir_all(&bench.directory);
    let (round_trip_ms, mtu, rate_mb_s) = (asked.round_trip_ms, asked.mtu, asked.rate);
    Ok(Results { round_trip_ms, mtu, congestion_control: congestion_control(), rate_mb_s, lines: lines? })
}

fn congestion_control() -> String {
    let told = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control");
    told.map_or_else(|_| "unknown control".to_owned(), |told| told.trim().to_owned())
}

struct Bench {
    asked: Mirror,
    farshore: PathBuf,
    directory: PathBuf,
}

impl Bench {
    fn on_line(&self, loss_percent: f64) -> anyhow::Result<OnLine> {
        let line = self.line(loss_percent)?;
        say(&format!("{loss_percent} % loss: raw streams"));
        let raw_mb_s = raw::run(&line, self.length())?;
        say(&format!("  {raw_mb_s:.1} MB/s"));
        let found = OnLine { loss_percent, raw_mb_s, farshore: self.between_ours(&line)?, ..OnLine::default() };
        let asks = |which| self.asked.only.contains(&which);
        if !asks(Mirroring::Attached) && !asks(Mirroring::MirrorMaker) {
            return Ok(found);
        }
        let clusters = Clusters::start(&self.directory, &line)?;
        let (attach, maker) = (Between::ours(&clusters, &self.farshore), Between::theirs(&clusters));
        let attached = self.between(Mirroring::Attached, "farshore attach", attach, 1)?;
        let mirror_maker = self.between(Mirroring::MirrorMaker, "MirrorMaker 2", maker, THEIR_SHARE)?;
        Ok(OnLine { attached, mirror_maker, ..found })
    }

    fn between_ours(&self, line: &Line) -> anyhow::Result<Option<Found>> {
        if !self.asked.only.contains(&Mirroring::Farshore) {
            return Ok(None);
        }
        let mut pair = Ours::start(&self.farshore, &self.directory, line)?;
        self.measure("our mirror", &mut pair, 1).map(Some)
    }

    fn between(
        &self,
        which: Mirroring,
        name: &str,
        mut pair: Between<'_>,
        share: u64,
    ) -> anyhow::Result<Option<Found>> {
        self.asked.only.contains(&which).then(|| self.measure(name, &mut pair, share)).transpose()
    }

    fn measure(&self, name: &str, pair: &mut dyn Pair, share: u64) -> anyhow::Result<Found> {
        say(&format!("  {name}"));
        let flood = flood::run(pair, self.asked.megabytes * 1_000_000 / share).with_context(|| name.to_owned())?;
        say(&format!("    {:.1} MB/s", flood.mb_s));
        // It may not keep up with the load at all.
        let lag = lag::run(pair, self.asked.rate, self.length());
        let lag = lag.inspect_err(|error| say(&format!("    no lag: {error:#}"))).ok();
        if let Some(Lag { p50_ms, p99_ms }) = lag {
            say(&format!("    lag {p50_ms:.0} ms, p99 {p99_ms:.0} ms"));
        }
        Ok(Found { flood, lag })
    }

    fn length(&self) -> Duration {
        Duration::from_secs(self.asked.seconds)
    }

    fn line(&self, loss_percent: f64) -> anyhow::Result<Line> {
        let delay = Duration::from_millis(self.asked.round_trip_ms) / 2;
        let shape = Shape { delay, loss: loss_percent / 100.0, queue_bytes: 64 << 20, ..Shape::default() };
        Ok(Line::open(Plan { shape, mtu: self.asked.mtu, seed: 1 })?)
    }
}

impl OnLine {
    fn goals(&self, lag_max_ms: f64) -> Vec<Goal> {
        let mut goals = Vec::new();
        if let Some(Found { flood, lag }) = self.farshore {
            let share = flood.mb_s / self.raw_mb_s;
            goals.push(Goal::new("one partition / four raw TCP streams", share, true, SHARE_MIN, "x"));
            let p99_ms = lag.map_or(f64::INFINITY, |lag| lag.p99_ms);
            if self.loss_percent == 0.0 {
                goals.push(Goal::new("added lag p99", p99_ms, false, lag_max_ms, "ms"));
            }
        }
        if let (Some(ours), Some(theirs)) = (self.attached, self.mirror_maker) {
            goals.extend(against(&ours, &theirs));
        }
        goals
    }
}

/// Ours against theirs, on the same two clusters.
fn against(ours: &Found, theirs: &Found) -> Vec<Goal> {
    let at_most = |what, one: f64, other: f64| Goal::new(what, one / other, false, THIRD, "x");
    let (one, other) = (ours.flood, theirs.flood);
    let mut goals = vec![
        Goal::new("attached / MirrorMaker 2: throughput", one.mb_s / other.mb_s, true, TIMES_MIN, "x"),
        at_most("attached / MirrorMaker 2: CPU per MB", one.mirror_cpu_s_per_gb, other.mirror_cpu_s_per_gb),
        at_most("attached / MirrorMaker 2: memory", one.memory_mb, other.memory_mb),
    ];
    if let (Some(one), Some(other)) = (ours.lag, theirs.lag) {
        goals.push(at_most("attached / MirrorMaker 2: lag p99", one.p99_ms, other.p99_ms));
    }
    goals
}

impl Results {
    /// Every goal for which there are figures.
    pub(crate) fn goals(&self) -> Vec<Goal> {
        let lag_max = self.round_trip_ms as f64 + ADDED_LAG_MAX_MS;
        self.lines.iter().flat_map(|line| line.goals(lag_max)).collect()
    }

    /// Prints everything to standard output.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub(crate) fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            let goals: Vec<_> = self.goals().into_iter().map(|goal| (goal.is_met(), goal)).collect();
            let goals: Vec<_> = goals.iter().map(|(met, goal)| serde_json::json!({"met": met, "goal": goal})).collect();
            println!("{}", serde_json::to_string_pretty(&serde_json::json!({"found": self, "goals": goals}))?);
        } else {
            print!("{}", self.table());
        }
        Ok(())
    }

    fn table(&self) -> String {
        let mut text = format!(
            "one partition, records of 1 KiB, a round trip of {} ms, packets of {} bytes, TCP with {}; lag at {} MB/s\n\
             farshore: two regions of ours, flush before ack, whose brokers are the mirror; attach and MirrorMaker 2: one after \
             the other between the same two clusters of Apache Kafka\n\n{:24}{:>8}{:>10}{:>14}{:>14}{:>12}{:>10}{:>10}\n",
            self.round_trip_ms,
            self.mtu,
            self.congestion_control,
            self.rate_mb_s,
            "",
            "loss %",
            "MB/s",
            "mirror s/GB",
            "all CPU s/GB",
            "memory MB",
            "lag ms",
            "p99 ms"
        );
        for line in &self.lines {
            let raw = Flood { mb_s: line.raw_mb_s, ..Flood::default() };
            text += &row("four raw TCP streams", line, Some(Found { flood: raw, lag: None }));
            text += &row("farshore", line, line.farshore);
            text += &row("farshore attach", line, line.attached);
            text += &row("MirrorMaker 2", line, line.mirror_maker);
        }
        text += "\n";
        self.goals().iter().for_each(|goal| text += &goal.line());
        text
    }
}

fn row(what: &str, line: &OnLine, found: Option<Found>) -> String {
    let Some(Found { flood, lag }) = found else { return String::new() };
    let Lag { p50_ms, p99_ms } = lag.unwrap_or_default();
    let figures = [flood.mb_s, flood.mirror_cpu_s_per_gb, flood.cpu_s_per_gb, flood.memory_mb, p50_ms, p99_ms];
    let [rate, mirror, all, memory, p50, p99] =
        figures.map(|value| if value > 0.0 { format!("{value:.1}") } else { "-".to_owned() });
    format!("{what:24}{:>8}{rate:>10}{mirror:>14}{all:>14}{memory:>12}{p50:>10}{p99:>10}\n", line.loss_percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(mb_s: f64, cpu: f64, memory_mb: f64, p99_ms: f64) -> Found {
        let flood = Flood { mb_s, cpu_s_per_gb: cpu, mirror_cpu_s_per_gb: cpu, memory_mb };
        Found { flood, lag: Some(Lag { p50_ms: p99_ms / 2.0, p99_ms }) }
    }

    #[test]
    fn shares_and_ratios_are_judged() {
        let line = OnLine {
            raw_mb_s: 100.0,
            farshore: Some(found(75.0, 2.0, 100.0, 149.0)),
            attached: Some(found(66.0, 3.0, 100.0, 100.0)),
            mirror_maker: Some(found(20.0, 10.0, 2000.0, 400.0)),
            ..OnLine::default()
        };
        let results = |line| Results {
            round_trip_ms: 100,
            mtu: 1500,
            congestion_control: "bbr".to_owned(),
            rate_mb_s: 20.0,
            lines: vec![line],
        };
        let met = |line| results(line).goals().iter().map(Goal::is_met).collect::<Vec<_>>();
        assert_eq!(met(line), [true; 6]);
        let slow = OnLine { raw_mb_s: 110.0, farshore: Some(found(75.0, 2.0, 100.0, 151.0)), ..OnLine::default() };
        assert_eq!(met(slow), [false; 2]);
        let silent = OnLine { farshore: Some(Found { lag: None, ..found(100.0, 1.0, 1.0, 1.0) }), ..slow };
        assert_eq!(met(silent), [true, false], "a mirror that does not keep up has no lag to be proud of");
        let lossy = OnLine { loss_percent: 0.1, ..slow };
        assert_eq!(met(lossy), [false], "lag has no goal where packets are lost");
        let mut even = line;
        even.mirror_maker = line.attached;
        assert_eq!(met(even), [true, true, false, false, false, false]);
        let table = results(line).table();
        assert!(table.contains("MirrorMaker 2") && table.contains("75.0"), "{table}");
    }
}
