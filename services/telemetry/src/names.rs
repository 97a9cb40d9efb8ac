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
/// The newest entry of the council's log that the node has applied.
pub const COUNCIL_APPLIED_INDEX: &str = "farshore.council.applied.index";
/// Fetches that wait for records at the region's broker: of consumers and of other regions.
pub const BROKER_FETCHES_WAITING: &str = "farshore.broker.fetches.waiting";
/// Whether the node leads the council.
pub const COUNCIL_LEADS: &str = "farshore.council.leads";
