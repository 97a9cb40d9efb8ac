//! The names of the metrics, units last.

/// Records a copied partition lacks.
pub const LINK_LAG_RECORDS: &str = "farshore.link.lag.records";
/// Bytes a copied partition lacks.
pub const LINK_LAG_BYTES: &str = "farshore.link.lag.bytes";
/// Seconds of writes a copied partition lacks.
pub const LINK_LAG_SECONDS: &str = "farshore.link.lag.seconds";
/// The score of a region, 0 to 100.
pub const REGION_HEALTH_SCORE: &str = "farshore.region.health.score";
/// The ownership epoch of a protection group.
pub const GROUP_OWNERSHIP_EPOCH: &str = "farshore.group.ownership.epoch";
/// Free bytes of a log directory.
pub const DISK_FREE_BYTES: &str = "farshore.disk.free.bytes";
/// The next offset of a partition.
pub const PARTITION_TAIL: &str = "farshore.partition.tail";
/// Runs that ended, by outcome.
pub const RUNS_ENDED: &str = "farshore.runs.ended";
