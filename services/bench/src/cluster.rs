//! Three brokers with three replicas: throughput, latency at a given load, and how long a producer stands still when the
//! leader is killed.

mod pace;

use crate::args::Broker;
use crate::load::{self, PATIENCE};
use crate::subject::{Recipe, Server};
use crate::usage;
use anyhow::Context;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde::Serialize;
use std::path::Path;
use std::time::{Duration, Instant};

/// How many brokers, and how many replicas.
const BROKERS: usize = 3;
const TOPIC: &str = "load";
/// Latency is measured for so long.
const PACED: Duration = Duration::from_secs(8);
/// The load under which the leader is killed, in records per second.
const STEADY: f64 = 500.0;
/// How long that load goes on after the kill.
const AFTER_KILL: Duration = Duration::from_secs(20);

/// What was measured of one cluster in one round.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Figures {
    pub(crate) produce_mb_s: f64,
    pub(crate) produce_cpu_s_per_gb: f64,
    pub(crate) p99_ms: f64,
    pub(crate) busy_mb: f64,
    pub(crate) gap_ms: f64,
}

/// Three running brokers.
pub(crate) struct Cluster {
    brokers: Vec<Server>,
}

impl Cluster {
    /// Three brokers of Apache Kafka, each a controller too.
    ///
    /// # Errors
    /// When one cannot be started.
    pub(crate) fn kafka(directory: &Path) -> anyhow::Result<Self> {
        let places = places(directory, "kafka")?;
        let voters: Vec<_> =
            (1..).zip(&places).map(|(id, place)| format!("{id}@127.0.0.1:{}", place.port + 1)).collect();
        let recipes = (1..).zip(&places).map(|(id, place)| Recipe::kafka_member(place, id, &voters.join(",")));
        Self::start(recipes.collect::<anyhow::Result<_>>()?)
    }

    /// Three of ours, with flush before ack.
    ///
    /// # Errors
    /// When one cannot be started.
    pub(crate) fn ours(directory: &Path, farshore: &Path) -> anyhow::Result<Self> {
        let places = places(directory, "ours")?;
        let peers: Vec<_> = places.iter().map(|place| format!("127.0.0.1:{}", place.port + 3)).collect();
        let recipes = places.iter().enumerate();
        Self::start(recipes.map(|(slot, place)| Recipe::member(place, farshore, slot, &peers.join(","))).collect())
    }

    fn start(recipes: Vec<Recipe>) -> anyhow::Result<Self> {
        // All at once: one alone makes no quorum.
        let begun = recipes.into_iter().map(Recipe::spawn).collect::<anyhow::Result<Vec<_>>>()?;
        let brokers = begun.into_iter().map(Server::listening).collect::<anyhow::Result<_>>()?;
        Ok(Self { brokers })
    }

    fn bootstrap(&self) -> String {
        self.brokers.iter().map(Server::bootstrap).collect::<Vec<_>>().join(",")
    }

    fn pids(&self) -> Vec<i32> {
        self.brokers.iter().flat_map(Server::pids).collect()
    }

    /// Measures everything; `half_load` is in megabytes per second, half of what it reaches itself if `None`.
    ///
    /// # Errors
    /// When the load cannot be written.
    pub(crate) fn measure(mut self, asked: &Broker, half_load: Option<f64>) -> anyhow::Result<Figures> {
        let (bootstrap, bytes) = (self.bootstrap(), asked.megabytes * 1_000_000 / 2);
        self.ready()?;
        load::create_replicated(&bootstrap, "warm-up", BROKERS as i32)?;
        load::produce_with(&bootstrap, "warm-up", bytes / 4, "all")?;
        load::create_replicated(&bootstrap, TOPIC, BROKERS as i32)?;
        let before = usage::cpu(&self.pids())?;
        let done = load::produce_with(&bootstrap, TOPIC, bytes, "all")?;
        let cpu = usage::cpu(&self.pids())?.saturating_sub(before);
        let produce_mb_s = done.megabytes_per_second();
        let rate = half_load.unwrap_or(produce_mb_s / 2.0) * 1e6 / load::RECORD_BYTES as f64;
        let p99 = pace::run(&bootstrap, TOPIC, rate, PACED, || {})?.p99();
        let busy = usage::resident(&self.pids())?;
        Ok(Figures {
            produce_mb_s,
            produce_cpu_s_per_gb: cpu.as_secs_f64() / (done.bytes as f64 / 1e9),
            p99_ms: p99.as_secs_f64() * 1e3,
            busy_mb: busy as f64 / 1e6,
            gap_ms: self.kill_leader()?.as_secs_f64() * 1e3,
        })
    }

    /// Waits until each broker knows all of them: any may be the one that is asked for a topic.
    fn ready(&self) -> anyhow::Result<()> {
        let (bootstrap, deadline) = (self.bootstrap(), Instant::now() + PATIENCE);
        loop {
            let knows = |broker| metadata(broker).map_or(0, |metadata| metadata.brokers().len());
            let known = bootstrap.split(',').map(knows).min().unwrap_or(0);
            if known == BROKERS {
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < deadline, "only {known} of {BROKERS} brokers found each other");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Kills the leader of partition 0 under load: the longest time without an acknowledgement.
    fn kill_leader(&mut self) -> anyhow::Result<Duration> {
        let bootstrap = self.bootstrap();
        let metadata = metadata(&bootstrap).context("the cluster does not say who leads")?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == TOPIC).context("the topic is gone")?;
        let first = topic.partitions().iter().find(|partition| partition.id() == 0);
        let leader = first.map(rdkafka::metadata::MetadataPartition::leader);
        let place = leader.and_then(|id| usize::try_from(id - 1).ok()).filter(|place| *place < self.brokers.len());
        let place = place.with_context(|| format!("no broker of this cluster leads partition 0: {leader:?}"))?;
        let killed = &mut self.brokers[place];
        let paced = pace::run(&bootstrap, TOPIC, STEADY, AFTER_KILL, || killed.kill())?;
        Ok(paced.longest_silence())
    }
}

fn metadata(bootstrap: &str) -> Option<rdkafka::metadata::Metadata> {
    let config: ClientConfig = [("bootstrap.servers".to_owned(), bootstrap.to_owned())].into_iter().collect();
    let client: BaseConsumer = config.create().ok()?;
    client.fetch_metadata(None, Duration::from_secs(2)).ok()
}

fn places(directory: &Path, name: &str) -> anyhow::Result<Vec<crate::subject::Place>> {
    (0..BROKERS).map(|n| crate::subject::Place::new(directory, &format!("{name}-{n}"))).collect()
}
