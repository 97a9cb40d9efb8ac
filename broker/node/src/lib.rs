//! One broker process: listeners, one file per Kafka API, the shells of the cores.
