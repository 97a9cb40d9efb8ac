/// What a key's value may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A 64-bit integer.
    Long {
        /// The smallest allowed.
        min: i64,
        /// The largest allowed.
        max: i64,
    },
    /// A 32-bit integer.
    Int {
        /// The smallest allowed.
        min: i64,
        /// The largest allowed.
        max: i64,
    },
    /// A number from 0 to 1.
    Ratio,
    /// `true` or `false`.
    Bool,
    /// One of these.
    Choice(&'static [&'static str]),
    /// Any of these, separated by commas.
    List(&'static [&'static str]),
}

/// One key of a topic's configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Key {
    /// Its name, Kafka's where Kafka has one.
    pub name: &'static str,
    /// What it is when nobody says otherwise.
    pub default: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// What it means.
    pub documentation: &'static str,
}

const ANY_LONG: Kind = Kind::Long { min: 0, max: i64::MAX };

const fn row(name: &'static str, default: &'static str, kind: Kind, documentation: &'static str) -> Key {
    Key { name, default, kind, documentation }
}

/// Every key, by name.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    row("cleanup.policy", "delete", Kind::List(&["delete", "compact"]), "how old records go: by age and size, by key, or both"),
    row("compression.type", "producer", Kind::Choice(&["producer"]), "batches are kept as the producer compressed them"),
    row("delete.retention.ms", "86400000", ANY_LONG, "how long a compacted topic keeps the mark of a deleted key"),
    row("file.delete.delay.ms", "60000", ANY_LONG, "how long a removed segment stays on disk"),
    row("flush", "ack", Kind::Choice(&["ack", "os"]), "whether records are on disk before they are acknowledged, or when the system writes them"),
    row("index.interval.bytes", "4096", Kind::Int { min: 0, max: i32::MAX as i64 }, "how many bytes share one index entry"),
    row("max.compaction.lag.ms", "9223372036854775807", Kind::Long { min: 1, max: i64::MAX }, "after which time a record is compacted at the latest"),
    row("max.message.bytes", "1048588", Kind::Int { min: 0, max: 64 << 20 }, "the largest batch"),
    row("message.timestamp.after.max.ms", "3600000", ANY_LONG, "how far ahead of the broker a producer's clock may be"),
    row("message.timestamp.before.max.ms", "9223372036854775807", ANY_LONG, "how old a produced record may be"),
    row("message.timestamp.type", "CreateTime", Kind::Choice(&["CreateTime", "LogAppendTime"]), "whose time records carry: the producer's or the broker's"),
    row("min.cleanable.dirty.ratio", "0.5", Kind::Ratio, "how much of a log is new before it is compacted"),
    row("min.compaction.lag.ms", "0", ANY_LONG, "before which time no record is compacted"),
    row("min.insync.replicas", "1", Kind::Int { min: 1, max: i32::MAX as i64 }, "how many replicas must hold a record before acks=all is answered"),
    row("preallocate", "false", Kind::Choice(&["false"]), "segments grow as they are written"),
    row("retention.bytes", "-1", Kind::Long { min: -1, max: i64::MAX }, "how large a partition may grow; -1 for no limit"),
    row("retention.ms", "604800000", Kind::Long { min: -1, max: i64::MAX }, "how long records are kept; -1 for ever"),
    row("segment.bytes", "1073741824", Kind::Int { min: 14, max: i32::MAX as i64 }, "how large a segment may grow"),
    row("segment.index.bytes", "10485760", Kind::Int { min: 4, max: i32::MAX as i64 }, "how large a segment's index may grow"),
    row("segment.jitter.ms", "0", ANY_LONG, "by how much segment.ms varies between partitions"),
    row("segment.ms", "604800000", Kind::Long { min: 1, max: i64::MAX }, "after which time a new segment begins"),
    row("unclean.leader.election.enable", "false", Kind::Choice(&["true", "false"]), "whether a replica out of sync may lead"),
];

/// The key of that name.
pub fn key(name: &str) -> Option<&'static Key> {
    KEYS.binary_search_by(|key| key.name.cmp(name)).ok().and_then(|index| KEYS.get(index))
}
