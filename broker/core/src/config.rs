//! The configuration of a topic: which keys there are, what they allow, what they are by default.

mod keys;
mod topic_config;

pub use keys::{FLUSH, INSYNC, KEYS, Key, Kind, key};
pub use topic_config::{CleanupPolicy, ConfigError, Flush, TimestampType, TopicConfig, check, check_all};
