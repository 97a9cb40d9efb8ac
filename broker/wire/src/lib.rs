//! The Kafka protocol, sans-IO and bounded: one file per API, plus a small async client.
