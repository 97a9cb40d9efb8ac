//! Logs and metrics of a process: one place for the OpenTelemetry SDK, the exporters and the names.
//!
//! Logs are JSON lines on standard error; `FARSHORE_LOG` filters them (`info` unless told, the syntax of
//! `tracing-subscriber`'s `EnvFilter`). Metrics are OpenTelemetry instruments, read at `/metrics` by Prometheus.

pub mod names;

use opentelemetry::metrics::{Meter, MeterProvider};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Encoder, Registry, TextEncoder};
use tracing_subscriber::EnvFilter;

/// Libraries whose own words say nothing that our logs do not.
const DEFAULT_FILTER: &str = "info,openraft=off,s3s=off";

/// The metrics of one process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    provider: SdkMeterProvider,
}

/// Why telemetry could not be set up or read.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The exporter refused.
    #[error("metrics cannot be exported: {0}")]
    Exporter(String),
}

/// Sends the logs of this process to standard error. Only the first call has an effect.
pub fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("FARSHORE_LOG").unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    // What cannot be written is lost: telling of that would go the same way, and panic there.
    let subscriber = tracing_subscriber::fmt().log_internal_errors(false);
    let subscriber = subscriber.json().flatten_event(true).with_env_filter(filter);
    // A second call, as in tests, finds the first one's subscriber in place.
    let _ = subscriber.with_writer(std::io::stderr).try_init();
}

impl Metrics {
    /// The instruments of the process called `service`.
    ///
    /// # Errors
    /// [`TelemetryError::Exporter`] when the registry refuses the exporter.
    pub fn start(service: &str) -> Result<Self, TelemetryError> {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter().with_registry(registry.clone()).scope_info_enabled(false);
        let exporter = exporter.build().map_err(|error| TelemetryError::Exporter(error.to_string()))?;
        let resource = Resource::builder().with_service_name(service.to_owned()).build();
        let provider = SdkMeterProvider::builder().with_reader(exporter).with_resource(resource).build();
        Ok(Self { registry, provider })
    }

    /// Where instruments are made.
    pub fn meter(&self) -> Meter {
        self.provider.meter("farshore")
    }

    /// Everything measured so far, in the text format Prometheus reads.
    ///
    /// # Errors
    /// [`TelemetryError::Exporter`] when a metric cannot be written as text.
    pub fn render(&self) -> Result<String, TelemetryError> {
        let mut text = Vec::new();
        let encoded = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        encoded.map_err(|error| TelemetryError::Exporter(error.to_string()))?;
        String::from_utf8(text).map_err(|error| TelemetryError::Exporter(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::KeyValue;

    #[test]
    fn what_is_counted_is_exported() {
        let metrics = Metrics::start("test").unwrap();
        let lag = metrics.meter().f64_gauge(names::LINK_LAG_SECONDS).build();
        lag.record(1.5, &[KeyValue::new("source", "r1")]);
        let text = metrics.render().unwrap();
        assert!(text.contains("farshore_link_lag_seconds{source=\"r1\"} 1.5"), "{text}");
    }
}
