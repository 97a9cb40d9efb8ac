//! The configuration of topics and of consumer groups: which keys there are, what they allow, what they are by default.

mod entries;
mod group_config;
mod keys;
mod topic_config;

pub use entries::change_entries;
pub use group_config::{
    GROUP_HEARTBEAT, GROUP_KEYS, GROUP_SESSION, GroupConfig, GroupEntries, check_group, group_default, group_key,
};
pub use keys::{FLUSH, INSYNC, KEYS, Key, Kind, key};
pub use topic_config::{
    CleanupPolicy, ConfigError, Flush, TimestampType, TopicConfig, check, check_all, flush, min_insync,
    min_insync_default,
};
