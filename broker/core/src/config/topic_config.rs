use super::{FLUSH, GROUP_HEARTBEAT, GROUP_KEYS, GROUP_SESSION, INSYNC, KEYS, Key, Kind, key};
use model::ByteCount;
use std::collections::BTreeMap;
use std::time::Duration;

/// A configuration that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No such key.
    #[error("there is no topic configuration {name}; known are {}", names(KEYS))]
    UnknownKey {
        /// The name.
        name: String,
    },
    /// No such key of a consumer group.
    #[error("there is no group configuration {name}; known are {}", names(GROUP_KEYS))]
    UnknownGroupKey {
        /// The name.
        name: String,
    },
    /// Members of a group would be expected when their sessions are over.
    #[error("{GROUP_HEARTBEAT} ({interval:?}) has to be less than {GROUP_SESSION} ({session:?}); set both at once")]
    LateHeartbeat {
        /// How often they would be expected.
        interval: Duration,
        /// How long they may be silent.
        session: Duration,
    },
    /// The value is not allowed.
    #[error("{name} cannot be {value:?}; allowed is {allowed}")]
    Value {
        /// The key.
        name: &'static str,
        /// The value.
        value: String,
        /// What is allowed.
        allowed: String,
    },
}

fn names(keys: &[Key]) -> String {
    keys.iter().map(|key| key.name).collect::<Vec<_>>().join(", ")
}

impl Kind {
    fn allows(self, value: &str) -> bool {
        match self {
            Self::Long { min, max } | Self::Int { min, max } => {
                value.parse::<i64>().is_ok_and(|n| (min..=max).contains(&n))
            }
            Self::Ratio => value.parse::<f64>().is_ok_and(|n| (0.0..=1.0).contains(&n)),
            Self::Bool => matches!(value, "true" | "false"),
            Self::Choice(choices) => choices.contains(&value),
            Self::List(choices) => value.split(',').all(|item| choices.contains(&item.trim())),
        }
    }

    fn allowed(self) -> String {
        match self {
            Self::Long { min, max } | Self::Int { min, max } => format!("an integer from {min} to {max}"),
            Self::Ratio => "a number from 0 to 1".to_owned(),
            Self::Bool => "true or false".to_owned(),
            Self::Choice([only]) => format!("only {only}"),
            Self::Choice(choices) => format!("one of {}", choices.join(", ")),
            Self::List(choices) => format!("a list of {}", choices.join(", ")),
        }
    }
}

impl Key {
    /// Whether it can have `value`.
    ///
    /// # Errors
    /// [`ConfigError::Value`] says what it could have.
    pub fn check(&self, value: &str) -> Result<(), ConfigError> {
        if self.kind.allows(value) {
            return Ok(());
        }
        Err(ConfigError::Value { name: self.name, value: value.to_owned(), allowed: self.kind.allowed() })
    }
}

/// Checks one entry.
///
/// # Errors
/// [`ConfigError`] names the key, the value and what is allowed.
pub fn check(name: &str, value: &str) -> Result<&'static Key, ConfigError> {
    let key = key(name).ok_or_else(|| ConfigError::UnknownKey { name: name.to_owned() })?;
    key.check(value).map(|()| key)
}

/// Checks every entry.
///
/// # Errors
/// [`ConfigError`] for the first that cannot be used.
pub fn check_all(config: &BTreeMap<String, String>) -> Result<(), ConfigError> {
    config.iter().try_for_each(|(name, value)| check(name, value).map(drop))
}

/// How old records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// By age and size.
    pub delete: bool,
    /// By key.
    pub compact: bool,
}

/// When records are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// As the broker was started.
    Default,
    /// Before they are acknowledged.
    BeforeAck,
    /// When the system writes them, or `flush.messages` and `flush.ms` say so.
    Os,
}

/// Whose time records carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's.
    LogAppendTime,
}

/// A topic's configuration with every default filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicConfig {
    /// `cleanup.policy`.
    pub cleanup: CleanupPolicy,
    /// `delete.retention.ms`.
    pub delete_retention: Duration,
    /// `farshore.flush`, or before the ack where `flush.messages` is 1.
    pub flush: Flush,
    /// `flush.messages`.
    pub flush_records: u64,
    /// `flush.ms`.
    pub flush_age_max: Duration,
    /// `index.interval.bytes`.
    pub index_interval: ByteCount,
    /// `max.compaction.lag.ms`.
    pub compaction_lag_max: Duration,
    /// `max.message.bytes`.
    pub batch_bytes_max: ByteCount,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_ahead_max: Duration,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_behind_max: Duration,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `min.cleanable.dirty.ratio`.
    pub dirty_ratio_min: f64,
    /// `min.compaction.lag.ms`.
    pub compaction_lag_min: Duration,
    /// `min.insync.replicas`.
    pub min_insync: usize,
    /// `retention.bytes`; `None` for no limit.
    pub retention_bytes: Option<ByteCount>,
    /// `retention.ms`; `None` for ever.
    pub retention: Option<Duration>,
    /// `segment.bytes`.
    pub segment_bytes: ByteCount,
    /// `segment.index.bytes`.
    pub segment_index_bytes: ByteCount,
    /// `segment.ms`.
    pub segment_age_max: Duration,
    /// `segment.jitter.ms`.
    pub segment_jitter: Duration,
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self::of(&BTreeMap::new())
    }
}

impl TopicConfig {
    /// Reads and checks a whole configuration.
    ///
    /// # Errors
    /// [`ConfigError`] for the first entry that cannot be used.
    pub fn from_map(config: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        check_all(config)?;
        Ok(Self::of(config))
    }

    /// What `config` means. An entry that cannot be used counts as not set: what is refused is refused when it is set.
    pub fn of(config: &BTreeMap<String, String>) -> Self {
        let entries = Entries(config);
        Self {
            cleanup: CleanupPolicy {
                delete: entries.lists("cleanup.policy", "delete"),
                compact: entries.lists("cleanup.policy", "compact"),
            },
            delete_retention: entries.duration("delete.retention.ms"),
            flush: entries.flush(),
            flush_records: entries.unsigned("flush.messages"),
            flush_age_max: entries.duration("flush.ms"),
            index_interval: entries.bytes("index.interval.bytes"),
            compaction_lag_max: entries.duration("max.compaction.lag.ms"),
            batch_bytes_max: entries.bytes("max.message.bytes"),
            timestamp_ahead_max: entries.duration("message.timestamp.after.max.ms"),
            timestamp_behind_max: entries.duration("message.timestamp.before.max.ms"),
            timestamp_type: match entries.text("message.timestamp.type") {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            dirty_ratio_min: entries.text("min.cleanable.dirty.ratio").parse().unwrap_or_default(),
            compaction_lag_min: entries.duration("min.compaction.lag.ms"),
            min_insync: entries.unsigned("min.insync.replicas") as usize,
            retention_bytes: entries.limit("retention.bytes").map(ByteCount),
            retention: entries.limit("retention.ms").map(Duration::from_millis),
            segment_bytes: entries.bytes("segment.bytes"),
            segment_index_bytes: entries.bytes("segment.index.bytes"),
            segment_age_max: entries.duration("segment.ms"),
            segment_jitter: entries.duration("segment.jitter.ms"),
        }
    }
}

/// When records of a topic that is configured so are on disk.
pub fn flush(config: &BTreeMap<String, String>) -> Flush {
    Entries(config).flush()
}

/// How many replicas have to be in sync for acks=all in a topic of so many that is configured so: where it does not say,
/// two of three.
pub fn min_insync(config: &BTreeMap<String, String>, replicas: usize) -> usize {
    match config.contains_key(INSYNC) {
        true => Entries(config).unsigned(INSYNC) as usize,
        false => min_insync_default(replicas),
    }
}

/// How many replicas have to be in sync for acks=all where a topic of so many replicas does not say.
pub fn min_insync_default(replicas: usize) -> usize {
    if replicas >= 3 { 2 } else { 1 }
}

/// Entries; one that is missing or cannot be used has its default.
struct Entries<'a>(&'a BTreeMap<String, String>);

impl<'a> Entries<'a> {
    fn text(&self, name: &str) -> &'a str {
        let key = key(name).expect("only keys of the table are asked for");
        self.0.get(name).map(String::as_str).filter(|value| key.check(value).is_ok()).unwrap_or(key.default)
    }

    fn flush(&self) -> Flush {
        match self.text(FLUSH) {
            "before-ack" => Flush::BeforeAck,
            "os" => Flush::Os,
            _ if self.unsigned("flush.messages") == 1 => Flush::BeforeAck,
            _ => Flush::Default,
        }
    }

    fn lists(&self, name: &str, item: &str) -> bool {
        self.text(name).split(',').any(|listed| listed.trim() == item)
    }

    /// `None` for a negative value: no limit.
    fn limit(&self, name: &str) -> Option<u64> {
        self.text(name).parse::<i64>().ok().and_then(|n| u64::try_from(n).ok())
    }

    fn unsigned(&self, name: &str) -> u64 {
        self.limit(name).unwrap_or_default()
    }

    fn bytes(&self, name: &str) -> ByteCount {
        ByteCount(self.unsigned(name))
    }

    fn duration(&self, name: &str) -> Duration {
        Duration::from_millis(self.unsigned(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(entries: &[(&str, &str)]) -> Result<TopicConfig, ConfigError> {
        TopicConfig::from_map(&entries.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn the_keys_are_sorted_and_their_defaults_allowed() {
        assert!(KEYS.is_sorted_by_key(|key| key.name));
        for key in KEYS {
            assert_eq!(check(key.name, key.default), Ok(key), "{}", key.name);
        }
    }

    #[test]
    fn defaults_are_kafkas() {
        let config = TopicConfig::default();
        assert_eq!(config.retention, Some(Duration::from_secs(7 * 24 * 3600)));
        assert_eq!((config.retention_bytes, config.min_insync, config.flush), (None, 1, Flush::Default));
        assert_eq!(config.cleanup, CleanupPolicy { delete: true, compact: false });
    }

    #[test]
    fn values_are_read() {
        let config = config(&[
            ("cleanup.policy", "compact, delete"),
            ("retention.ms", "-1"),
            ("retention.bytes", "1000"),
            (FLUSH, "os"),
            ("message.timestamp.type", "LogAppendTime"),
        ]);
        let config = config.unwrap();
        assert_eq!((config.retention, config.retention_bytes), (None, Some(ByteCount(1000))));
        assert!(config.cleanup.compact && config.cleanup.delete);
        assert_eq!((config.flush, config.timestamp_type), (Flush::Os, TimestampType::LogAppendTime));
    }

    #[test]
    fn an_entry_that_cannot_be_used_counts_as_not_set() {
        let stored = BTreeMap::from([("retention.ms".to_owned(), "soon".to_owned()), ("x".to_owned(), "1".to_owned())]);
        assert_eq!(TopicConfig::of(&stored), TopicConfig::default());
    }

    #[test]
    fn a_topic_may_choose_how_it_is_flushed() {
        let flush = |entries| config(entries).unwrap().flush;
        assert_eq!(flush(&[(FLUSH, "before-ack"), ("flush.messages", "5")]), Flush::BeforeAck);
        assert_eq!(flush(&[("flush.messages", "1")]), Flush::BeforeAck);
        assert_eq!(flush(&[("flush.messages", "2")]), Flush::Default);
    }

    #[test]
    fn what_is_not_allowed_is_named_with_what_is() {
        let message = |name, value| config(&[(name, value)]).unwrap_err().to_string();
        assert_eq!(
            message("segment.bytes", "3"),
            r#"segment.bytes cannot be "3"; allowed is an integer from 1024 to 2147483647"#
        );
        assert_eq!(
            message("compression.type", "zstd"),
            r#"compression.type cannot be "zstd"; allowed is only producer"#
        );
        assert!(message("cleanup.policy", "delete,shred").ends_with("allowed is a list of delete, compact"));
        assert!(message("retention", "1").starts_with("there is no topic configuration retention; known are cleanup"));
        assert!(config(&[("min.cleanable.dirty.ratio", "NaN")]).is_err());
    }
}
