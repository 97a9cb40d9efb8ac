//! `farshore bench mirror`: one line, and on it in turn raw TCP streams, our mirror, and MirrorMaker 2.

mod flood;
mod lag;
mod pair;
mod raw;

use crate::args::Mirror;
use crate::report::Goal;
use crate::rounds::{farshore, say};
use anyhow::Context;
use chaos::line::{Line, Plan, Shape};
use flood::Flood;
use pair::{Ours, Pair, Theirs};
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// Of what four raw streams bring.
const SHARE_MIN: f64 = 0.7;
/// Beyond one round trip.
const ADDED_LAG_MAX_MS: f64 = 50.0;
/// How much slower MirrorMaker warms up than it then is: it is given less to do.
const THEIR_SHARE: u64 = 2;

/// What was found on one line.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct OnLine {
    loss_percent: f64,
    raw_mb_s: f64,
    ours: Flood,
    ours_lag_p99_ms: f64,
    mm2: Option<Flood>,
    mm2_lag_p99_ms: Option<f64>,
}

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    round_trip_ms: u64,
    mtu: u16,
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
    Ok(Results { round_trip_ms, mtu, rate_mb_s, lines: lines? })
}

struct Bench {
    asked: Mirror,
    farshore: PathBuf,
    directory: PathBuf,
}

impl Bench {
    fn on_line(&self, loss_percent: f64) -> anyhow::Result<OnLine> {
        let line = self.line(loss_percent)?;
        let length = Duration::from_secs(self.asked.seconds);
        say(&format!("{loss_percent} % loss: raw streams"));
        let raw_mb_s = raw::run(&line, length)?;
        say(&format!("  {raw_mb_s:.1} MB/s; our mirror"));
        let mut pair = Ours::start(&self.farshore, &self.directory, &line)?;
        let bytes = self.asked.megabytes * 1_000_000;
        let ours = flood::run(&mut pair, bytes).context("our mirror")?;
        say(&format!("  {:.1} MB/s; its lag", ours.mb_s));
        let ours_lag_p99_ms = lag::p99(&mut pair, self.asked.rate, length).context("the lag of our mirror")?;
        drop(pair);
        let found = OnLine { loss_percent, raw_mb_s, ours, ours_lag_p99_ms, mm2: None, mm2_lag_p99_ms: None };
        if self.asked.alone { Ok(found) } else { self.with_peer(found, &line, bytes / THEIR_SHARE) }
    }

    fn with_peer(&self, found: OnLine, line: &Line, bytes: u64) -> anyhow::Result<OnLine> {
        say("  MirrorMaker 2");
        let mut pair = Theirs::start(&self.directory, line)?;
        let mm2 = flood::run(&mut pair, bytes).context("MirrorMaker 2")?;
        say(&format!("  {:.1} MB/s; its lag", mm2.mb_s));
        let lag = lag::p99(&mut pair as &mut dyn Pair, self.asked.rate, Duration::from_secs(self.asked.seconds));
        // It may not keep up with the load at all.
        let mm2_lag_p99_ms = lag.inspect_err(|error| say(&format!("  no lag: {error:#}"))).ok();
        Ok(OnLine { mm2: Some(mm2), mm2_lag_p99_ms, ..found })
    }

    fn line(&self, loss_percent: f64) -> anyhow::Result<Line> {
        let delay = Duration::from_millis(self.asked.round_trip_ms) / 2;
        let shape = Shape { delay, loss: loss_percent / 100.0, queue_bytes: 64 << 20, ..Shape::default() };
        Ok(Line::open(Plan { shape, mtu: self.asked.mtu, seed: 1 })?)
    }
}

impl Results {
    /// Every goal for which there are figures.
    pub(crate) fn goals(&self) -> Vec<Goal> {
        let lag_max = self.round_trip_ms as f64 + ADDED_LAG_MAX_MS;
        let mut goals = Vec::new();
        for line in &self.lines {
            let share = line.ours.mb_s / line.raw_mb_s;
            goals.push(Goal::new("one partition / four raw TCP streams", share, true, SHARE_MIN, "x"));
            goals.push(Goal::new("added lag p99", line.ours_lag_p99_ms, false, lag_max, "ms"));
            if let Some(mm2) = line.mm2 {
                goals.push(Goal::new("throughput / MirrorMaker 2", line.ours.mb_s / mm2.mb_s, true, 3.0, "x"));
                let cpu = line.ours.cpu_s_per_gb / mm2.cpu_s_per_gb;
                goals.push(Goal::new("CPU per MB / MirrorMaker 2 with its clusters", cpu, false, 1.0 / 3.0, "x"));
            }
        }
        goals
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
            "one partition, records of 1 KiB, a round trip of {} ms, packets of {} bytes; lag at {} MB/s\n\
             ours: two regions of ours, flush before ack; MirrorMaker 2: between two clusters of Apache Kafka, as ours has no \
             attached clusters yet\n\n{:24}{:>8}{:>10}{:>12}{:>12}{:>14}\n",
            self.round_trip_ms, self.mtu, self.rate_mb_s, "", "loss %", "MB/s", "CPU s/GB", "memory MB", "lag p99 ms"
        );
        for line in &self.lines {
            let mut row = |what: &str, flood: Flood, lag: Option<f64>| {
                let figures = [flood.mb_s, flood.cpu_s_per_gb, flood.memory_mb, lag.unwrap_or_default()];
                let [rate, cpu, memory, lag] =
                    figures.map(|value| if value > 0.0 { format!("{value:.1}") } else { "-".to_owned() });
                let loss = line.loss_percent;
                text += &format!("{what:24}{loss:>8}{rate:>10}{cpu:>12}{memory:>12}{lag:>14}\n");
            };
            row("four raw TCP streams", Flood { mb_s: line.raw_mb_s, ..Flood::default() }, None);
            row("farshore", line.ours, Some(line.ours_lag_p99_ms));
            if let Some(mm2) = line.mm2 {
                row("MirrorMaker 2", mm2, line.mm2_lag_p99_ms);
            }
        }
        text += "\n";
        self.goals().iter().for_each(|goal| text += &goal.line());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_ratios_are_judged() {
        let ours = Flood { mb_s: 75.0, cpu_s_per_gb: 2.0, memory_mb: 100.0 };
        let mm2 = Some(Flood { mb_s: 20.0, cpu_s_per_gb: 10.0, memory_mb: 2000.0 });
        let line = OnLine { raw_mb_s: 100.0, ours, ours_lag_p99_ms: 149.0, mm2, ..OnLine::default() };
        let results = |line| Results { round_trip_ms: 100, mtu: 1500, rate_mb_s: 20.0, lines: vec![line] };
        let met = |line| results(line).goals().iter().map(Goal::is_met).collect::<Vec<_>>();
        assert_eq!(met(line), [true; 4]);
        assert_eq!(met(OnLine { raw_mb_s: 110.0, ours_lag_p99_ms: 151.0, mm2: None, ..line }), [false; 2]);
        let table = results(line).table();
        assert!(table.contains("MirrorMaker 2") && table.contains("75.0"), "{table}");
    }
}
