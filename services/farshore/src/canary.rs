//! One record written and read back, as a client would.

use anyhow::{Context, Result, bail};
use control_plane::ports::{Canary, CanaryPass, PortError};
use env::PortFuture;
use model::{ProtectionGroup, Timestamp};
use record::BatchBuilder;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use wire::client::{Cluster, Consumer, FetchLimits, Options, Start};

const CALL_TIMEOUT: Duration = Duration::from_secs(1);
const DEADLINE: Duration = Duration::from_secs(2);
/// The canary topic of a group has one partition.
const PARTITION: i32 = 0;

/// The canary topic of a protection group; it fails over with its group.
pub(crate) fn canary_topic(group: &str) -> String {
    format!("__farshore_canary.{group}")
}

/// Canaries over our own Kafka client. Each has connections of its own: what it proves holds for newcomers.
#[derive(Debug, Default)]
pub(crate) struct WireCanary {}

impl WireCanary {
    /// Canaries.
    pub(crate) fn new() -> Self {
        Self::default()
    }
}

impl Canary for WireCanary {
    fn pass<'a>(
        &'a self,
        group: &'a ProtectionGroup,
        address: &'a str,
    ) -> PortFuture<'a, Result<CanaryPass, PortError>> {
        Box::pin(async move {
            let passed = fly(address, group.as_str()).await;
            passed.map_err(|error| PortError(format!("canary of {group} at {address}: {error:#}")))
        })
    }
}

/// Writes a record that nobody else writes at `bootstrap`, acknowledged by all in-sync replicas, and reads it back.
///
/// # Errors
/// When either does not succeed within a few seconds.
pub(crate) async fn fly(bootstrap: &str, group: &str) -> Result<CanaryPass> {
    let client_id = "farshore-canary".to_owned();
    let options = Options { client_id, call_timeout: CALL_TIMEOUT, deadline: DEADLINE, ..Options::default() };
    let cluster = Arc::new(Cluster::new(bootstrap, options));
    let (topic, value) = (canary_topic(group), uuid::Uuid::new_v4().to_string());
    let batch = BatchBuilder::new().record(now().0, None, Some(value.as_bytes()), &[]).build();
    let produced = cluster.produce(&topic, PARTITION, batch.into(), -1).await.context("not written")?;
    let produced_at = now();
    // A write that was tried twice may stand twice; the offset acknowledged last is where this one is.
    let start = Start::Offset(produced.base_offset);
    let mut reader = Consumer::open(cluster, &topic, PARTITION, start, FetchLimits::default()).await?;
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while tokio::time::Instant::now() < deadline {
        let records = reader.poll().await.context("not read back")?;
        if let Some(first) = records.first() {
            if first.value.as_deref() != Some(value.as_bytes()) {
                bail!("offset {} of {topic} holds something else than was written there", first.offset);
            }
            return Ok(CanaryPass { produced_at, consumed_at: now() });
        }
    }
    bail!("not read back: offset {} of {topic} stays empty", produced.base_offset)
}

fn now() -> Timestamp {
    Timestamp(SystemTime::UNIX_EPOCH.elapsed().unwrap_or(Duration::ZERO).as_millis() as i64)
}
