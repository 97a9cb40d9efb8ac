//! Every hard limit of the catalog, named once.

/// The most bytes one encoded command may have.
pub const COMMAND_BYTES_MAX: usize = 32 << 20;
/// The most regions of one platform.
pub const REGIONS_MAX: usize = 16;
/// The most gateways of one platform.
pub const GATEWAYS_MAX: usize = 64;
/// The most virtual nodes of one gateway.
pub const VIRTUAL_NODES_PER_GATEWAY_MAX: usize = 256;
/// The most protection groups.
pub const GROUPS_MAX: usize = 1_000;
/// The most patterns one protection group may have for topics, and for consumer groups.
pub const PATTERNS_PER_GROUP_MAX: usize = 1_000;
/// The most topics, deleted ones not counted.
pub const TOPICS_MAX: usize = 20_000;
/// The most topics one command may create or delete.
pub const TOPICS_PER_COMMAND_MAX: usize = 1_000;
/// The most configuration entries of one topic.
pub const CONFIG_ENTRIES_MAX: usize = 64;
/// The longest name or value of a configuration entry, in bytes.
pub const CONFIG_BYTES_MAX: usize = 4_096;
/// The highest ownership epoch that leaves room for leader epochs.
pub const OWNERSHIP_EPOCH_MAX: u32 = (1 << 19) - 1;
/// The longest text given as a reason, a key or an actor, in bytes.
pub const TEXT_BYTES_MAX: usize = 4_096;
/// The most bytes of a document (plan, event, report, policy) a command may carry.
pub const DOCUMENT_BYTES_MAX: usize = 16 << 20;
/// How many runs of a published tail are kept.
pub const PUBLISHED_RUNS_MAX: usize = 1_000;
/// The most schedules.
pub const SCHEDULES_MAX: usize = 1_000;
/// How many entries of the council's log the audit and the answers to keyed requests reach back.
pub const ENTRIES_REMEMBERED: u64 = 100_000;
/// The most rows one page of a query holds.
pub const PAGE_ROWS_MAX: u32 = 1_000;
/// How many entries of the RPO ledger are kept of one group.
pub const EXPOSURES_PER_GROUP_MAX: u32 = 1000;
