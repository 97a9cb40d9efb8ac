//! The order of things: every subject in turn, as many rounds as asked for.

use crate::args::{Broker, Chosen};
use crate::cluster::Cluster;
use crate::load::{self, Done};
use crate::report::{Figures, Results};
use crate::subject::{Recipe, Server};
use crate::usage;
use anyhow::Context;
use chaos::platform::{Options, Platform};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const TOPIC: &str = "load";
/// How long a broker is left alone before its idle memory is read.
const IDLE: Duration = Duration::from_secs(3);

/// Runs everything that was chosen.
pub(crate) fn run(asked: &Broker) -> anyhow::Result<Results> {
    let asked = asked.clone().settled();
    let directory = asked.directory.clone().unwrap_or_else(std::env::temp_dir);
    let directory = directory.join(format!("farshore-bench-{}", std::process::id()));
    let bench = Bench { asked, directory: directory.clone() };
    let results = bench.rounds();
    let _best_effort = std::fs::remove_dir_all(directory);
    results
}

struct Bench {
    asked: Broker,
    directory: PathBuf,
}

impl Bench {
    fn rounds(&self) -> anyhow::Result<Results> {
        let mut results = Results::default();
        for round in 1..=self.asked.rounds {
            for chosen in &self.asked.only {
                say(&format!("round {round} of {}: {chosen:?}", self.asked.rounds));
                self.measure(*chosen, &mut results).with_context(|| format!("{chosen:?}"))?;
            }
        }
        Ok(results)
    }

    fn measure(&self, chosen: Chosen, results: &mut Results) -> anyhow::Result<()> {
        match chosen {
            Chosen::Kafka => results.kafka.push(self.broker(Recipe::kafka(&self.directory)?)?),
            Chosen::Os => results.os.push(self.broker(self.ours("os")?)?),
            Chosen::Ack => results.ack.push(self.broker(self.ours("ack")?)?),
            Chosen::Null => results.null.push(self.null()?),
            Chosen::Gateway => {
                let (direct, gateway) = self.platform()?;
                results.direct.push(direct);
                results.gateway.push(gateway);
            }
            Chosen::KafkaCluster => {
                results.kafka_cluster.push(Cluster::kafka(&self.directory)?.measure(&self.asked, None)?);
            }
            Chosen::Cluster => {
                // Both are measured under the load that is half of what Apache Kafka reached a moment ago.
                let half_load = results.kafka_cluster.last().map(|kafka| kafka.produce_mb_s / 2.0);
                let cluster = Cluster::ours(&self.directory, &self.farshore()?)?;
                results.cluster.push(cluster.measure(&self.asked, half_load)?);
            }
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.asked.megabytes * 1_000_000
    }

    fn ours(&self, flush: &'static str) -> anyhow::Result<Recipe> {
        Recipe::ours(&self.directory, &self.asked.command, &self.farshore()?, flush)
    }

    fn farshore(&self) -> anyhow::Result<PathBuf> {
        farshore(self.asked.farshore.as_deref())
    }

    /// One broker from start to stop.
    fn broker(&self, recipe: Recipe) -> anyhow::Result<Figures> {
        let began = Instant::now();
        let server = recipe.start()?;
        load::first_ack(&server.bootstrap())?;
        let first_ack = began.elapsed();
        std::thread::sleep(IDLE);
        let idle = usage::resident(&server.pids())?;
        self.warm_up(&server)?;
        load::create(&server.bootstrap(), TOPIC)?;
        let pids = server.pids();
        let (produce, produce_cpu) = with_cpu(&pids, || load::produce(&server.bootstrap(), TOPIC, self.bytes()))?;
        let (consume, consume_cpu) = with_cpu(&pids, || load::consume(&server.bootstrap(), TOPIC, self.bytes()))?;
        Ok(Figures {
            first_ack_ms: first_ack.as_secs_f64() * 1e3,
            idle_mb: idle as f64 / 1e6,
            busy_mb: usage::resident(&pids)? as f64 / 1e6,
            produce_mb_s: produce.megabytes_per_second(),
            produce_cpu_s_per_gb: per_gigabyte(produce_cpu, produce),
            consume_mb_s: consume.megabytes_per_second(),
            consume_cpu_s_per_gb: per_gigabyte(consume_cpu, consume),
        })
    }

    /// A quarter of the load, written and read: a JVM's first seconds say nothing about it.
    fn warm_up(&self, server: &Server) -> anyhow::Result<()> {
        say(&format!("  {} warms up", server.name));
        load::create(&server.bootstrap(), "warm-up")?;
        load::produce(&server.bootstrap(), "warm-up", self.bytes() / 4)?;
        load::consume(&server.bootstrap(), "warm-up", self.bytes() / 4)?;
        Ok(())
    }

    fn null(&self) -> anyhow::Result<Figures> {
        let server = Recipe::null(&self.directory)?.start()?;
        load::produce(&server.bootstrap(), TOPIC, self.bytes() / 4)?;
        let (produce, cpu) = with_cpu(&server.pids(), || load::produce(&server.bootstrap(), TOPIC, self.bytes()))?;
        let produce_cpu_s_per_gb = per_gigabyte(cpu, produce);
        Ok(Figures { produce_mb_s: produce.megabytes_per_second(), produce_cpu_s_per_gb, ..Figures::default() })
    }

    /// A platform of two regions: its first region directly, then through the gateway.
    fn platform(&self) -> anyhow::Result<(Figures, Figures)> {
        std::fs::create_dir_all(&self.directory)?;
        let options = Options { regions: 2, ..Options::temporary(self.farshore()?, &self.directory)? };
        let platform = Platform::start(options)?;
        let home = platform.endpoints().regions.first().context("the platform has no region")?;
        let gateway = &platform.endpoints().gateway;
        load::create(gateway, "warm-up")?;
        load::produce(gateway, "warm-up", self.bytes() / 4)?;
        Ok((self.way("direct", &home.bootstrap)?, self.way("gateway", gateway)?))
    }

    fn way(&self, topic: &str, bootstrap: &str) -> anyhow::Result<Figures> {
        load::create(bootstrap, topic)?;
        let produce = load::produce(bootstrap, topic, self.bytes())?;
        let consume = load::consume(bootstrap, topic, self.bytes())?;
        let (produce_mb_s, consume_mb_s) = (produce.megabytes_per_second(), consume.megabytes_per_second());
        Ok(Figures { produce_mb_s, consume_mb_s, ..Figures::default() })
    }
}

/// The binary that was named, or the one beside this one.
pub(crate) fn farshore(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(binary) = named {
        return Ok(binary.to_owned());
    }
    let beside = std::env::current_exe()?.with_file_name("farshore");
    anyhow::ensure!(beside.is_file(), "there is no {}; build it, or name it with --farshore", beside.display());
    Ok(beside)
}

fn with_cpu(pids: &[i32], work: impl FnOnce() -> anyhow::Result<Done>) -> anyhow::Result<(Done, Duration)> {
    let before = usage::cpu(pids)?;
    let done = work()?;
    Ok((done, usage::cpu(pids)?.saturating_sub(before)))
}

fn per_gigabyte(cpu: Duration, done: Done) -> f64 {
    cpu.as_secs_f64() / (done.bytes as f64 / 1e9)
}

pub(crate) fn say(what: &str) {
    eprintln!("{what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_given_per_gigabyte() {
        let done = Done { bytes: 2_000_000_000, took: Duration::from_secs(4) };
        assert_eq!(per_gigabyte(Duration::from_secs(3), done), 1.5);
        assert_eq!(done.megabytes_per_second(), 500.0);
    }

    #[test]
    fn a_missing_binary_is_told_with_the_remedy() {
        let command = <crate::args::Bench as clap::Parser>::parse_from(["bench", "broker"]).command;
        let crate::args::Command::Broker(asked) = command else { panic!("broker was asked for") };
        let asked = Broker { farshore: None, ..asked };
        let bench = Bench { asked, directory: "/nowhere".into() };
        assert!(bench.farshore().unwrap_err().to_string().contains("--farshore"));
    }
}
