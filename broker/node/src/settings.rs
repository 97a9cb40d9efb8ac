//! What a topic's configuration means to its partitions here. The keys themselves are `broker_core::config`'s.

use crate::Flush;
use broker_core::config::{self, TopicConfig};
use model::ByteCount;
use std::collections::BTreeMap;
use std::time::Duration;

/// What a partition needs to know of its topic's configuration.
#[derive(Clone, Debug, PartialEq)]
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
    /// How many replicas have to be in sync for acks=all.
    pub(crate) insync_min: u64,
    /// How far a batch's time may be ahead of this broker's.
    pub(crate) time_ahead_max: Duration,
    /// How far it may be behind.
    pub(crate) time_behind_max: Duration,
    /// All of it.
    pub(crate) topic: TopicConfig,
}

impl TopicSettings {
    /// The same for partitions of so many `replicas`, where `config` does not say how many have to be in sync.
    #[must_use]
    pub(crate) fn replicated(self, config: &BTreeMap<String, String>, replicas: usize) -> Self {
        Self { insync_min: config::min_insync(config, replicas) as u64, ..self }
    }

    /// The same, flushed before it is shown to anybody: another region's records may build on it.
    #[must_use]
    pub(crate) fn flushed(self) -> Self {
        Self { flush: Flush::BeforeAck, ..self }
    }

    /// What `config` means where acknowledgements wait for `flush` by default.
    pub(crate) fn of(config: &BTreeMap<String, String>, flush: Flush) -> Self {
        let topic = TopicConfig::of(config);
        Self {
            log: log_config(&topic),
            batch_bytes_max: topic.batch_bytes_max,
            flush: match topic.flush {
                config::Flush::Default => flush,
                config::Flush::BeforeAck => Flush::BeforeAck,
                config::Flush::Os => Flush::Os,
            },
            is_compacted: topic.cleanup.compact,
            is_deleted: topic.cleanup.delete,
            insync_min: topic.min_insync as u64,
            time_ahead_max: topic.timestamp_ahead_max,
            time_behind_max: topic.timestamp_behind_max,
            topic,
        }
    }
}

fn log_config(topic: &TopicConfig) -> log::Config {
    log::Config {
        segment_bytes: topic.segment_bytes,
        segment_age_max: topic.segment_age_max,
        index_interval_bytes: topic.index_interval,
        segment_index_bytes: topic.segment_index_bytes,
        timestamp_type: match topic.timestamp_type {
            config::TimestampType::LogAppendTime => log::TimestampType::LogAppendTime,
            config::TimestampType::CreateTime => log::TimestampType::CreateTime,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker_core::config::INSYNC;
    use model::limits;

    fn config(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn an_empty_configuration_means_kafkas_defaults() {
        let settings = TopicSettings::of(&BTreeMap::new(), Flush::Os);
        assert_eq!(settings.log, log::Config::default());
        assert_eq!((settings.batch_bytes_max, settings.flush), (limits::BATCH_BYTES_MAX, Flush::Os));
        assert!(settings.is_deleted && !settings.is_compacted);
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
        assert_eq!(flush(&[(config::FLUSH, "before-ack")]), Flush::BeforeAck);
        assert_eq!(flush(&[("flush.messages", "1")]), Flush::BeforeAck);
        assert_eq!(flush(&[("flush.messages", "2")]), Flush::Os);
    }
}
