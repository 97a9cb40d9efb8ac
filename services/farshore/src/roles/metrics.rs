//! What a region measures, as Prometheus reads it.

use anyhow::Result;
use broker::Broker;
use control_plane::rest::{Measured, Telemetry};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Gauge;
use telemetry::names;

/// The instruments of one region's process.
pub(super) struct Metrics {
    exporter: telemetry::Metrics,
    lag_records: Gauge<u64>,
    lag_bytes: Gauge<u64>,
    lag_seconds: Gauge<f64>,
    epoch: Gauge<u64>,
    score: Gauge<f64>,
    applied: Gauge<u64>,
    leads: Gauge<u64>,
}

impl Metrics {
    /// The instruments of the process called `service`.
    ///
    /// # Errors
    /// When they cannot be exported.
    pub(super) fn start(service: &str) -> Result<Self> {
        let exporter = telemetry::Metrics::start(service)?;
        let meter = exporter.meter();
        Ok(Self {
            lag_records: meter.u64_gauge(names::LINK_LAG_RECORDS).build(),
            lag_bytes: meter.u64_gauge(names::LINK_LAG_BYTES).build(),
            lag_seconds: meter.f64_gauge(names::LINK_LAG_SECONDS).build(),
            epoch: meter.u64_gauge(names::GROUP_OWNERSHIP_EPOCH).build(),
            score: meter.f64_gauge(names::REGION_HEALTH_SCORE).build(),
            applied: meter.u64_gauge(names::COUNCIL_APPLIED_INDEX).build(),
            leads: meter.u64_gauge(names::COUNCIL_LEADS).build(),
            exporter,
        })
    }

    /// Measures what `broker` does from now on, too.
    pub(super) fn watch(&self, broker: Broker) {
        let meter = self.exporter.meter();
        let waiting = meter.u64_observable_gauge(names::BROKER_FETCHES_WAITING);
        waiting.with_callback(move |gauge| gauge.observe(broker.waiting_fetches() as u64, &[])).build();
    }
}

impl Telemetry for Metrics {
    fn update(&self, measured: &Measured) {
        for link in &measured.links {
            let labels = [
                KeyValue::new("source", link.source.to_string()),
                KeyValue::new("topic", link.topic.to_string()),
                KeyValue::new("partition", i64::from(link.partition.0)),
            ];
            self.lag_records.record(link.lag_records, &labels);
            self.lag_bytes.record(link.lag_bytes, &labels);
            self.lag_seconds.record(link.lag_seconds, &labels);
        }
        for (group, owner, epoch) in &measured.groups {
            let labels = [KeyValue::new("group", group.to_string()), KeyValue::new("owner", owner.to_string())];
            self.epoch.record(epoch.0.into(), &labels);
        }
        for (region, score) in &measured.scores {
            self.score.record(*score, &[KeyValue::new("region", region.to_string())]);
        }
        self.applied.record(measured.applied_index, &[]);
        self.leads.record(measured.leads.into(), &[]);
    }

    fn render(&self) -> String {
        self.exporter.render().unwrap_or_else(|error| format!("# {error}\n"))
    }
}
