//! Throughput: a log that the target lacks, and how fast it gets there.

use super::pair::Pair;
use crate::load::{self, RECORD_BYTES};
use crate::usage;
use anyhow::{Context, ensure};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde::Serialize;
use std::thread;
use std::time::{Duration, Instant};

/// How often it is looked how far the target is.
const LOOK: Duration = Duration::from_millis(100);
/// Without progress for so long, something is wrong.
const STANDSTILL: Duration = Duration::from_secs(60);
/// Which part of what is left counts: neither the beginning, while windows grow and JVMs warm up, nor the very end.
const COUNTED: std::ops::Range<f64> = 0.25..0.97;

/// What one pair reached.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Flood {
    pub(crate) mb_s: f64,
    /// Processor time per gigabyte, of everything but clients and the line.
    pub(crate) cpu_s_per_gb: f64,
    /// The same of the mirroring processes alone.
    pub(crate) mirror_cpu_s_per_gb: f64,
    /// Of the mirroring processes at the end; for ours both brokers, which are the mirror.
    pub(crate) memory_mb: f64,
}

/// Writes `bytes` to one partition of the source, and waits until the target shows all of it.
pub(super) fn run(pair: &mut dyn Pair, bytes: u64) -> anyhow::Result<Flood> {
    let topic = pair.topic("flood");
    load::create_with(&pair.source(), &topic, 1, 1)?;
    load::produce_over(&pair.source(), &topic, 1, bytes, "1")?;
    pair.begin(&topic)?;
    let target = Target::of(&pair.target(), topic)?;
    let records = bytes.div_ceil(RECORD_BYTES) as i64;
    let first = target.tail();
    let at = |share: f64| first + ((records - first) as f64 * share) as i64;
    target.wait_for(at(COUNTED.start))?;
    let (began, from, before) = (Instant::now(), target.tail(), Used::by(pair)?);
    target.wait_for(at(COUNTED.end))?;
    let (took, upto, after) = (began.elapsed(), target.tail(), Used::by(pair)?);
    let memory_mb = usage::resident(&pair.mirror_pids())? as f64 / 1e6;
    ensure!(upto > from, "the target was there before it could be measured: more --megabytes show more");
    target.wait_for(records)?;
    let counted = (upto - from) as f64 * RECORD_BYTES as f64;
    let per_gb = |before: Duration, after: Duration| after.saturating_sub(before).as_secs_f64() / (counted / 1e9);
    Ok(Flood {
        mb_s: counted / 1e6 / took.as_secs_f64(),
        cpu_s_per_gb: per_gb(before.all, after.all),
        mirror_cpu_s_per_gb: per_gb(before.mirror, after.mirror),
        memory_mb,
    })
}

/// Processor time until now.
struct Used {
    all: Duration,
    mirror: Duration,
}

impl Used {
    fn by(pair: &dyn Pair) -> anyhow::Result<Self> {
        Ok(Self { all: usage::cpu(&pair.pids())?, mirror: usage::cpu(&pair.mirror_pids())? })
    }
}

struct Target {
    client: BaseConsumer,
    topic: String,
}

impl Target {
    fn of(bootstrap: &str, topic: String) -> anyhow::Result<Self> {
        let config: ClientConfig = [("bootstrap.servers".to_owned(), bootstrap.to_owned())].into_iter().collect();
        Ok(Self { client: config.create().context("librdkafka makes no consumer")?, topic })
    }

    /// What readers see; nothing before the topic is there.
    fn tail(&self) -> i64 {
        let marks = self.client.fetch_watermarks(&self.topic, 0, Duration::from_secs(5));
        marks.map_or(0, |(_, high)| high)
    }

    fn wait_for(&self, records: i64) -> anyhow::Result<()> {
        let (mut tail, mut moved_at) = (self.tail(), Instant::now());
        while tail < records {
            ensure!(moved_at.elapsed() < STANDSTILL, "the target stands still at {tail} of {records} records");
            thread::sleep(LOOK);
            let now = self.tail();
            if now > tail {
                (tail, moved_at) = (now, Instant::now());
            }
        }
        Ok(())
    }
}
