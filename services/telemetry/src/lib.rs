//! Logs, traces and metrics: names and exporters.
