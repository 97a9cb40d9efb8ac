//! Kafka-aware proxy: one virtual cluster over all regions.
