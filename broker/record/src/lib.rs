//! Kafka record batches (format v2) as bytes: view, builder, checksum, bounded compression.
