//! What a topic's configuration means: the entries that are known, with Kafka's names and defaults.

use crate::Flush;
use model::{ByteCount, limits};
use std::collections::BTreeMap;
use std::time::Duration;

/// One entry that a topic's configuration can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Kafka's name of it, or one of ours.
    pub name: &'static str,
    /// What holds where a topic does not say.
    pub default: &'static str,
    /// What kind of value it takes.
    pub kind: Kind,
    /// What it is for.
    pub documentation: &'static str,
}

/// What kind of value an entry takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number of at least this.
    Int(i64),
    /// `true` or `false`.
    Bool,
    /// One of these.
    Choice(&'static [&'static str]),
    /// Some of these, separated by commas.
    List(&'static [&'static str]),
}

/// What acknowledgements of a topic wait for: `before-ack`, `os`, or `default` for what the broker is started with.
pub const FLUSH: &str = "farshore.flush";

/// How many replicas have to be in sync for acks=all.
pub(crate) const INSYNC: &str = "min.insync.replicas";

macro_rules! entries {
    ($($name:literal = $default:literal, $kind:expr, $documentation:literal;)*) => {
        /// Every entry, by name.
        pub const ENTRIES: &[Entry] = &[
            $(Entry { name: $name, default: $default, kind: $kind, documentation: $documentation },)*
        ];
    };
}

entries! {
    "cleanup.policy" = "delete", Kind::List(&["delete", "compact"]), "What becomes of old records.";
    "compression.type" = "producer", Kind::Choice(&["producer"]), "Batches are kept as their producers compressed them.";
    "delete.retention.ms" = "86400000", Kind::Int(0), "How long tombstones of a compacted topic are kept.";
    "farshore.flush" = "default", Kind::Choice(&["default", "before-ack", "os"]), "What an acknowledgement waits for.";
    "farshore.replicas" = "0", Kind::Int(0), "How many replicas partitions get when they are made; 0 is as many as the region gives by default.";
    "file.delete.delay.ms" = "60000", Kind::Int(0), "Kept for clients that set it; files are deleted at once.";
    "flush.messages" = "9223372036854775807", Kind::Int(1), "1 is the same as farshore.flush=before-ack.";
    "flush.ms" = "9223372036854775807", Kind::Int(0), "Kept for clients that set it.";
    "index.interval.bytes" = "4096", Kind::Int(0), "How many bytes of log share an index entry.";
    "max.compaction.lag.ms" = "9223372036854775807", Kind::Int(1), "How old a record may be before it is compacted.";
    "max.message.bytes" = "1048588", Kind::Int(0), "The largest batch.";
    "message.timestamp.after.max.ms" = "3600000", Kind::Int(0), "How far ahead of the broker a batch's time may be.";
    "message.timestamp.before.max.ms" = "9223372036854775807", Kind::Int(0), "How far behind the broker it may be.";
    "message.timestamp.type" = "CreateTime", Kind::Choice(&["CreateTime", "LogAppendTime"]), "Whose time records carry.";
    "min.cleanable.dirty.ratio" = "0.5", Kind::Int(0), "How much of a log is dirty before it is compacted.";
    "min.compaction.lag.ms" = "0", Kind::Int(0), "How old a record must be before it is compacted.";
    "min.insync.replicas" = "1", Kind::Int(1), "How many replicas acks=all needs; 2 by default in a region of three brokers.";
    "preallocate" = "false", Kind::Bool, "Kept for clients that set it.";
    "retention.bytes" = "-1", Kind::Int(-1), "How large a partition may grow; -1 is no limit.";
    "retention.ms" = "604800000", Kind::Int(-1), "How long records are kept; -1 is for ever.";
    "segment.bytes" = "1073741824", Kind::Int(1024), "How large a segment may grow.";
    "segment.index.bytes" = "10485760", Kind::Int(4), "How large its indexes may grow.";
    "segment.jitter.ms" = "0", Kind::Int(0), "Kept for clients that set it.";
    "segment.ms" = "604800000", Kind::Int(1), "How old a segment may grow.";
    "unclean.leader.election.enable" = "false", Kind::Bool, "Whether a replica may lead that lacks records, where none that has them is alive; the loss is noted.";
}

/// Why an entry is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEntry {
    /// No such entry.
    #[error("unknown topic config name: {0}")]
    Unknown(String),
    /// A value it cannot have.
    #[error("invalid value {value} for configuration {name}: {expected} is expected")]
    Value {
        /// The entry.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it could be.
        expected: String,
    },
}

/// The entry called `name`.
pub fn entry(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.name == name)
}

impl Entry {
    /// Whether it can have `value`.
    ///
    /// # Errors
    /// [`BadEntry::Value`] says what it could have.
    pub fn check(&self, value: &str) -> Result<(), BadEntry> {
        let sound = match self.kind {
            _ if self.name == "min.cleanable.dirty.ratio" => value.parse().is_ok_and(|n: f64| (0.0..=1.0).contains(&n)),
            Kind::Int(least) => value.parse().is_ok_and(|n: i64| n >= least),
            Kind::Bool => matches!(value, "true" | "false"),
            Kind::Choice(choices) => choices.contains(&value),
            Kind::List(choices) => value.split(',').all(|item| choices.contains(&item.trim())),
        };
        let bad = || BadEntry::Value { name: self.name, value: value.to_owned(), expected: self.kind.expected() };
        if sound { Ok(()) } else { Err(bad()) }
    }
}

impl Kind {
    fn expected(self) -> String {
        match self {
            Self::Int(least) => format!("a number of at least {least}"),
            Self::Bool => "true or false".to_owned(),
            Self::Choice(choices) => format!("one of {}", choices.join(", ")),
            Self::List(choices) => format!("a list of {}", choices.join(", ")),
        }
    }
}

/// Checks every entry of a configuration.
///
/// # Errors
/// [`BadEntry`] for the first that is not one.
pub fn check(config: &BTreeMap<String, String>) -> Result<(), BadEntry> {
    config.iter().try_for_each(|(name, value)| {
        let entry = entry(name).ok_or_else(|| BadEntry::Unknown(name.clone()))?;
        entry.check(value)
    })
}

/// What a partition needs to know of its topic's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicSettings {
    /// For its log.
    pub(crate) log: log::Config,
    /// The largest batch.
    pub(crate) batch_bytes_max: ByteCount,
    /// What acknowledgements wait for.
    pub(crate) flush: Flush,
    /// Whether the last record of a key is kept for ever; records need keys then.
    pub(crate) is_compacted: bool,
    /// Whether old records are deleted.
    pub(crate) is_deleted: bool,
    /// How long records are kept.
    pub(crate) retention: Option<Duration>,
    /// How much is kept.
    pub(crate) retention_bytes: Option<ByteCount>,
    /// How many replicas have to be in sync for acks=all.
    pub(crate) insync_min: u64,
    /// How far a batch's time may be ahead of this broker's.
    pub(crate) time_ahead_max: Duration,
    /// How far it may be behind.
    pub(crate) time_behind_max: Duration,
}

/// How many replicas have to be in sync for acks=all where a topic of so many replicas does not say.
pub(crate) fn insync_default(replicas: usize) -> u64 {
    if replicas >= 3 { 2 } else { 1 }
}

impl TopicSettings {
    /// The same for partitions of so many `replicas`, where `config` does not say how many have to be in sync.
    #[must_use]
    pub(crate) fn replicated(self, config: &BTreeMap<String, String>, replicas: usize) -> Self {
        match config.contains_key(INSYNC) {
            true => self,
            false => Self { insync_min: insync_default(replicas), ..self },
        }
    }

    /// What `config` means where acknowledgements wait for `flush` by default. An entry that is not sound counts as
    /// not set: what is refused is refused when it is set.
    pub(crate) fn of(config: &BTreeMap<String, String>, flush: Flush) -> Self {
        let values = Values(config);
        let policy = values.text("cleanup.policy");
        let has = |wanted: &str| policy.split(',').any(|item| item.trim() == wanted);
        Self {
            log: values.log(),
            batch_bytes_max: ByteCount(values.count("max.message.bytes").min(limits::BATCH_BYTES_LIMIT.0)),
            flush: values.flush(flush),
            is_compacted: has("compact"),
            is_deleted: has("delete"),
            retention: u64::try_from(values.number("retention.ms")).ok().map(Duration::from_millis),
            retention_bytes: u64::try_from(values.number("retention.bytes")).ok().map(ByteCount),
            insync_min: values.count("min.insync.replicas"),
            time_ahead_max: values.millis("message.timestamp.after.max.ms"),
            time_behind_max: values.millis("message.timestamp.before.max.ms"),
        }
    }
}

struct Values<'a>(&'a BTreeMap<String, String>);

impl Values<'_> {
    fn text(&self, name: &str) -> &str {
        let entry = entry(name).expect("only entries of the table are asked for");
        self.0.get(name).map(String::as_str).filter(|value| entry.check(value).is_ok()).unwrap_or(entry.default)
    }

    fn number(&self, name: &str) -> i64 {
        self.text(name).parse().expect("the value was checked")
    }

    fn count(&self, name: &str) -> u64 {
        self.number(name).unsigned_abs()
    }

    fn millis(&self, name: &str) -> Duration {
        Duration::from_millis(self.count(name))
    }

    fn log(&self) -> log::Config {
        log::Config {
            segment_bytes: ByteCount(self.count("segment.bytes")),
            segment_age_max: self.millis("segment.ms"),
            index_interval_bytes: ByteCount(self.count("index.interval.bytes")),
            segment_index_bytes: ByteCount(self.count("segment.index.bytes")),
            timestamp_type: match self.text("message.timestamp.type") {
                "LogAppendTime" => log::TimestampType::LogAppendTime,
                _ => log::TimestampType::CreateTime,
            },
        }
    }

    fn flush(&self, default: Flush) -> Flush {
        match self.text(FLUSH) {
            "before-ack" => Flush::BeforeAck,
            "os" => Flush::Os,
            _ if self.count("flush.messages") == 1 => Flush::BeforeAck,
            _ => default,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn every_default_is_a_value_its_entry_can_have() {
        for entry in ENTRIES {
            assert_eq!(entry.check(entry.default), Ok(()), "{}", entry.name);
        }
        assert!(ENTRIES.is_sorted_by_key(|entry| entry.name));
    }

    #[test]
    fn an_empty_configuration_means_kafkas_defaults() {
        let settings = TopicSettings::of(&BTreeMap::new(), Flush::Os);
        assert_eq!(settings.log, log::Config::default());
        assert_eq!((settings.batch_bytes_max, settings.flush), (limits::BATCH_BYTES_MAX, Flush::Os));
        assert!(settings.is_deleted && !settings.is_compacted);
    }

    #[test]
    fn entries_are_checked_by_name_and_value() {
        assert_eq!(check(&config(&[("retention.ms", "-1"), ("cleanup.policy", "compact,delete")])), Ok(()));
        assert!(matches!(check(&config(&[("retention.msec", "1")])), Err(BadEntry::Unknown(_))));
        let error = check(&config(&[("cleanup.policy", "shred")])).unwrap_err();
        assert!(error.to_string().contains("a list of delete, compact"), "{error}");
    }

    #[test]
    fn three_replicas_need_two_in_sync_unless_the_topic_says_otherwise() {
        let insync = |entries, replicas| {
            let config = config(entries);
            TopicSettings::of(&config, Flush::Os).replicated(&config, replicas).insync_min
        };
        assert_eq!((insync(&[], 1), insync(&[], 2), insync(&[], 3)), (1, 1, 2));
        assert_eq!((insync(&[(INSYNC, "1")], 3), insync(&[(INSYNC, "2")], 1)), (1, 2));
    }

    #[test]
    fn a_topic_may_choose_how_it_is_flushed() {
        let flush = |entries| TopicSettings::of(&config(entries), Flush::Os).flush;
        assert_eq!(flush(&[(FLUSH, "before-ack")]), Flush::BeforeAck);
        assert_eq!(flush(&[("flush.messages", "1")]), Flush::BeforeAck);
        assert_eq!(flush(&[("flush.messages", "2")]), Flush::Os);
    }
}
