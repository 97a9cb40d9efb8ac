use model::ByteCount;
use std::time::Duration;

/// Which time the records of a topic carry (Kafka's `message.timestamp.type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's.
    #[default]
    CreateTime,
    /// The leader's, at the append.
    LogAppendTime,
}

/// What a topic's configuration says about its logs. [`Default`] is Kafka's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// A segment that would grow beyond this is followed by a new one (`segment.bytes`); below 2 GiB.
    pub segment_bytes: ByteCount,
    /// A segment whose first batch is older than this is followed by a new one (`segment.ms`).
    pub segment_age_max: Duration,
    /// How many bytes of log share one index entry (`index.interval.bytes`).
    pub index_interval_bytes: ByteCount,
    /// The largest index of a segment (`segment.index.bytes`).
    pub segment_index_bytes: ByteCount,
    /// Which time the records carry (`message.timestamp.type`).
    pub timestamp_type: TimestampType,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            segment_bytes: ByteCount::mib(1024),
            segment_age_max: Duration::from_secs(7 * 24 * 3600),
            index_interval_bytes: ByteCount(4096),
            segment_index_bytes: ByteCount::mib(10),
            timestamp_type: TimestampType::CreateTime,
        }
    }
}

impl Config {
    /// The most bytes a segment may have: positions in it are `i32` in Kafka's index format.
    pub(crate) fn segment_bytes_max(&self) -> u64 {
        self.segment_bytes.0.min(i32::MAX as u64)
    }
}
