use crate::metadata::REPLICAS_ENTRY;
use model::limits;

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

/// One key of a topic's or a group's configuration.
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
const ANY_INT: i64 = i32::MAX as i64;

pub(super) const fn row(name: &'static str, default: &'static str, kind: Kind, documentation: &'static str) -> Key {
    Key { name, default, kind, documentation }
}

/// What acknowledgements of a topic wait for: `before-ack`, `os`, or `default` for what the broker is started with.
pub const FLUSH: &str = "farshore.flush";

/// How many replicas have to be in sync for acks=all.
pub const INSYNC: &str = "min.insync.replicas";

/// Every key, by name.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    row("cleanup.policy", "delete", Kind::List(&["delete", "compact"]), "What becomes of old records: deleted by age and size, compacted by key, or both."),
    row("compression.type", "producer", Kind::Choice(&["producer"]), "Batches are kept as their producers compressed them."),
    row("delete.retention.ms", "86400000", ANY_LONG, "How long a compacted topic keeps the mark of a deleted key."),
    row(FLUSH, "default", Kind::Choice(&["default", "before-ack", "os"]), "What an acknowledgement waits for."),
    row(REPLICAS_ENTRY, "0", Kind::Int { min: 0, max: i16::MAX as i64 }, "How many replicas partitions get when they are made; 0 is as many as the region gives by default."),
    row("file.delete.delay.ms", "60000", ANY_LONG, "Kept for clients that set it: files are removed at once, and whoever reads them reads on."),
    row("flush.messages", "9223372036854775807", Kind::Long { min: 1, max: i64::MAX }, "After how many records a log is flushed that is not flushed before the ack; 1 is the same as farshore.flush=before-ack."),
    row("flush.ms", "9223372036854775807", ANY_LONG, "How long a record may wait for the disk in a log that is not flushed before the ack."),
    row("index.interval.bytes", "4096", Kind::Int { min: 0, max: ANY_INT }, "How many bytes of log share an index entry."),
    row("max.compaction.lag.ms", "9223372036854775807", Kind::Long { min: 1, max: i64::MAX }, "How old a record may be before it is compacted, however little is new."),
    row("max.message.bytes", "1048588", Kind::Int { min: 0, max: limits::BATCH_BYTES_LIMIT.0 as i64 }, "The largest batch."),
    row("message.timestamp.after.max.ms", "3600000", ANY_LONG, "How far ahead of the broker a batch's time may be."),
    row("message.timestamp.before.max.ms", "9223372036854775807", ANY_LONG, "How far behind the broker it may be."),
    row("message.timestamp.type", "CreateTime", Kind::Choice(&["CreateTime", "LogAppendTime"]), "Whose time records carry: the producer's or the broker's."),
    row("min.cleanable.dirty.ratio", "0.5", Kind::Ratio, "How much of a log is new before it is compacted."),
    row("min.compaction.lag.ms", "0", ANY_LONG, "How old a record must be before it is compacted."),
    row(INSYNC, "1", Kind::Int { min: 1, max: ANY_INT }, "How many replicas acks=all needs; 2 by default in a region of three brokers."),
    row("preallocate", "false", Kind::Bool, "Kept for clients that set it: segments grow as they are written."),
    row("retention.bytes", "-1", Kind::Long { min: -1, max: i64::MAX }, "How large a partition may grow; -1 is no limit."),
    row("retention.ms", "604800000", Kind::Long { min: -1, max: i64::MAX }, "How long records are kept; -1 is for ever."),
    row("segment.bytes", "1073741824", Kind::Int { min: 1024, max: ANY_INT }, "How large a segment may grow."),
    row("segment.index.bytes", "10485760", Kind::Int { min: 4, max: ANY_INT }, "How large its indexes may grow."),
    row("segment.jitter.ms", "0", ANY_LONG, "Kept for clients that set it."),
    row("segment.ms", "604800000", Kind::Long { min: 1, max: i64::MAX }, "How old a segment may grow."),
    row("unclean.leader.election.enable", "false", Kind::Bool, "Whether a replica may lead that lacks records, where none that has them is alive; the loss is noted."),
];

/// The key of that name.
pub fn key(name: &str) -> Option<&'static Key> {
    KEYS.binary_search_by(|key| key.name.cmp(name)).ok().and_then(|index| KEYS.get(index))
}
