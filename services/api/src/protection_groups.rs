//! `/v1/protection-groups`

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Topics and consumer groups that fail over together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProtectionGroup {
    /// What is asked of it.
    #[serde(flatten)]
    pub policy: Policy,
    /// The region that takes its writes.
    #[schema(example = "r1")]
    pub owner: String,
    /// The number of the owner's grant.
    #[schema(example = 1)]
    pub ownership_epoch: u32,
    /// Whether the grant stands.
    pub grant: GrantState,
    /// What its acknowledgements promise across regions now.
    pub durability: Durability,
    /// The region the gateways send its clients to.
    #[schema(example = "r1")]
    pub route_owner: String,
    /// The number of that route.
    pub route_epoch: u64,
    /// Its topics.
    pub topics: Vec<String>,
    /// The run in progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Why nothing is done automatically now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automation_blocked: Option<AutomationBlock>,
    /// Which version of the policy this is, for `If-Match`.
    pub revision: u64,
}

/// Whether a grant stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrantState {
    /// The owner renews its lease.
    Held,
    /// No renewal is answered any more.
    Revoked,
}

/// Why nothing is done automatically to a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AutomationBlock {
    /// Until when; absent until somebody takes it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub until: Option<String>,
    /// Why.
    pub reason: String,
    /// Since when.
    #[schema(format = DateTime)]
    pub since: String,
    /// Who said so.
    pub by: String,
}

/// What is asked of a protection group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Policy {
    /// Its name.
    #[schema(example = "default")]
    pub name: String,
    /// The region it begins at and returns to.
    #[schema(example = "r1")]
    pub home: String,
    /// The regions that keep copies, in the order in which they take over.
    #[schema(example = json!(["r2", "r3"]))]
    pub standbys: Vec<String>,
    /// What belongs to it.
    pub coverage: Coverage,
    /// What an acknowledgement promises across regions.
    #[serde(default)]
    pub mode: Mode,
    /// What becomes of writes in `sync` while the target is slow or out of reach.
    #[serde(default)]
    pub slow_target: SlowTarget,
    /// What `auto` accepts of the line to the target.
    #[serde(default)]
    pub auto: AutoLimits,
    /// What becomes of copies when a topic is deleted and made again under its name.
    #[serde(default)]
    pub topic_reset: ResetPolicy,
    /// Set for a group that every region takes writes for, each for its own clients: which of two writes of a key stands
    /// that knew nothing of each other. It is given when the group is made and stays; nothing of the group ever moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_active: Option<ConflictPolicy>,
    /// The most milliseconds of writes an unplanned failover may lose.
    #[serde(default = "Policy::default_rpo_ms")]
    #[schema(default = 5000, minimum = 1)]
    pub rpo_ms: u64,
    /// The longest time from the incident to the first produce and consume at the new owner, in milliseconds.
    #[serde(default = "Policy::default_rto_ms")]
    #[schema(default = 10000, minimum = 1)]
    pub rto_ms: u64,
    /// Whether the loss of the owner region starts a failover by itself.
    #[serde(default)]
    pub automatic_failover: bool,
    /// Smaller numbers go first where several groups move at once.
    #[serde(default = "Policy::default_priority")]
    #[schema(default = 100)]
    pub priority: u16,
    /// The groups that must be open in the target region before this one is.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// What keeps an old owner from acknowledging writes.
    #[serde(default)]
    pub fencing: Fencing,
    /// How long after an automatic action no other one is taken, in milliseconds.
    #[serde(default = "Policy::default_block_period_ms")]
    #[schema(default = 3600000)]
    pub block_period_ms: u64,
    /// The most automatic actions within 24 hours.
    #[serde(default = "Policy::default_automatic_actions_per_day_max")]
    #[schema(default = 3)]
    pub automatic_actions_per_day_max: u32,
    /// Whether diverged tails of its topics are published: topic `<topic>.diverged.<epoch>` gets all of their records, as
    /// they are. Tails that were archived while it was off follow when it is on again.
    #[serde(default = "Policy::default_diverged_topics")]
    #[schema(default = true)]
    pub diverged_topics: bool,
}

impl Policy {
    fn default_rpo_ms() -> u64 {
        5_000
    }

    fn default_rto_ms() -> u64 {
        10_000
    }

    fn default_priority() -> u16 {
        100
    }

    fn default_block_period_ms() -> u64 {
        3_600_000
    }

    fn default_automatic_actions_per_day_max() -> u32 {
        3
    }

    fn default_diverged_topics() -> bool {
        true
    }
}

/// What belongs to a protection group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Coverage {
    /// Its topics.
    #[serde(default)]
    pub topics: Vec<Pattern>,
    /// Its consumer groups.
    #[serde(default)]
    pub consumer_groups: Vec<Pattern>,
}

/// Names a set of names. The longest prefix wins over shorter ones, an exact name over all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(example = json!({"prefix": "eu."}))]
pub enum Pattern {
    /// Exactly this name.
    Exact(String),
    /// Every name that begins so.
    Prefix(String),
    /// Every name but internal ones.
    Any,
}

/// Which of two writes of one key stands that knew nothing of each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConflictPolicy {
    /// The later one.
    LastWriterWins,
    /// The one of the region that comes first.
    RegionPriority {
        /// The regions, most important first; those that are not named come behind all of them.
        #[schema(example = json!(["r1", "r2"]))]
        order: Vec<String>,
    },
    /// Both count: the later one is the last of the key, the other one is in the conflict topic.
    KeepBoth,
    /// The earlier one, until a person has chosen.
    Quarantine,
}

/// What an acknowledgement of a write promises across regions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The write is safe in the owner region; the copies follow.
    #[default]
    Async,
    /// The write is safe in two regions.
    Sync,
    /// `sync` while the line to the target is good enough, `async` otherwise.
    Auto,
}

/// What `auto` accepts of the line to the target, and how slowly it changes its mind.
///
/// A line is good below 80 % of the round trip and half of the errors, and bad above either limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AutoLimits {
    /// The longest round trip, in milliseconds.
    #[schema(default = 100, minimum = 1, maximum = 60000)]
    pub round_trip_max_ms: u32,
    /// How many of a million requests may fail, over 10 seconds.
    #[schema(default = 1000, maximum = 999999)]
    pub errors_max_ppm: u32,
    /// For how many milliseconds a line has to be good without a break before `sync` is asked for.
    #[schema(default = 10000, maximum = 3600000)]
    pub good_for_ms: u32,
    /// For how many milliseconds a line has to be bad without a break before `sync` is left.
    #[schema(default = 3000, maximum = 3600000)]
    pub bad_for_ms: u32,
    /// The least time between two changes of mind, in milliseconds.
    #[schema(default = 15000, maximum = 3600000)]
    pub dwell_ms: u32,
}

impl Default for AutoLimits {
    fn default() -> Self {
        Self { round_trip_max_ms: 100, errors_max_ppm: 1000, good_for_ms: 10_000, bad_for_ms: 3_000, dwell_ms: 15_000 }
    }
}

/// Changes what `auto` accepts. What is left out stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateAutoLimits {
    /// The longest round trip, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_max_ms: Option<u32>,
    /// How many of a million requests may fail, over 10 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors_max_ppm: Option<u32>,
    /// For how many milliseconds a line has to be good without a break before `sync` is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good_for_ms: Option<u32>,
    /// For how many milliseconds a line has to be bad without a break before `sync` is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad_for_ms: Option<u32>,
    /// The least time between two changes of mind, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dwell_ms: Option<u32>,
}

/// What `auto` asks for now, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AutoJudgement {
    /// `sync` or `async`.
    pub asks_for: Mode,
    /// Why, in words.
    #[schema(example = "the line is bad: a round trip of 152.3 ms of at most 100 ms")]
    pub reason: String,
    /// The shortest round trip of the last 3 seconds, in milliseconds; absent where nothing was heard.
    #[schema(example = 20.4)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<f64>,
    /// How many requests of the link were answered or failed in the last 10 seconds.
    pub requests: u64,
    /// How many of them failed.
    pub failures: u64,
}

/// What becomes of a group's copies when one of its topics is deleted and made again under its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResetPolicy {
    /// What was copied is put aside for a day, and the new topic is copied from its beginning.
    #[default]
    Follow,
    /// What was copied is put aside for a day, and nothing of the new topic is copied before it is said at
    /// `/v1/topics/{name}/follow`; until then its copies are no standby.
    Stop,
}

/// What becomes of writes in `sync` while the target does not make them durable in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SlowTarget {
    /// They go on without it after 2 seconds, once the council has said so; the RPO ledger tells of it.
    #[default]
    Degrade,
    /// They wait for it, and fail with errors that clients retry.
    Block,
}

/// What the acknowledgements of a protection group promise across regions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Durability {
    /// Where it stands.
    pub phase: ModePhase,
    /// Counts every change of it.
    pub mode_epoch: u64,
    /// The region whose copy is waited for, in `converging` and `sync`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "r2")]
    pub target: Option<String>,
    /// Whether, in `converging`, writers are slowed down to less than the line carries until the copy is near. Writes wait
    /// for it only then.
    #[serde(default)]
    pub slows_writers: bool,
    /// Since when.
    #[schema(format = DateTime)]
    pub since: String,
    /// Why a crash of the owner region would lose writes now, as the ledger has it; absent in `sync`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposed_by: Option<ExposureReason>,
    /// What the line to the target makes of it, where the mode is `auto` and the council's leader has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto: Option<AutoJudgement>,
}

/// Where a protection group stands between `async` and `sync`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModePhase {
    /// A write is safe in the owner region.
    Async,
    /// The copy is catching up: writers are slowed down until it is near, then writes wait for it. Nothing is promised yet.
    Converging,
    /// A write with acks=all is acknowledged only when the target region has it durable.
    Sync,
    /// As `async`, though `sync` is asked for.
    Degraded,
}

/// One entry of the RPO ledger: an interval in which a crash of the owner region would have lost writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Exposure {
    /// The change of mode that began it.
    pub mode_epoch: u64,
    /// Since when.
    #[schema(format = DateTime)]
    pub from: String,
    /// Until when; absent while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub to: Option<String>,
    /// Why.
    pub reason: ExposureReason,
    /// How long it lasted, or has lasted so far.
    pub duration_ms: u64,
    /// Records at risk at the worst moment that was seen.
    pub records: u64,
    /// Their bytes, reckoned.
    pub bytes: u64,
    /// Milliseconds of writes at risk at the worst moment that was seen.
    pub at_risk_ms: u64,
}

/// Why a protection group began to be exposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExposureReason {
    /// It was made; every group begins in `async`.
    Created,
    /// A person asked for `async`, or took the target out of the standbys.
    Operator,
    /// The target did not make writes durable in time.
    TargetSlow,
    /// The target lost its copy.
    TargetLost,
    /// The copy did not catch up in time.
    NotConverged,
    /// Another region became the owner.
    Moved,
    /// The line to the target became longer, or failed more often, than `auto` accepts.
    Line,
}

/// What keeps an old owner from acknowledging writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fencing {
    /// Its lease runs out.
    #[default]
    Lease,
    /// A person says that it is down.
    Operator,
}

/// Cuts over now and accepts the measured loss. Answered with 202 and the run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FailoverRequest {
    /// The new owner; the best standby when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "r2")]
    pub target: Option<String>,
    /// Why, for the report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Only make the plan and say what it would cost.
    #[serde(default)]
    pub dry_run: bool,
    /// Also go to copies that are no standby, where deleted keys may be back or records differ: for an owner that is gone for
    /// good, when there is nothing better.
    #[serde(default)]
    pub accept_unusable_copies: bool,
}

/// Cuts over after catching up; nothing is lost. Answered with 202 and the run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SwitchoverRequest {
    /// The new owner; the first standby when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "r2")]
    pub target: Option<String>,
    /// Why, for the report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Only make the plan and say what it would cost.
    #[serde(default)]
    pub dry_run: bool,
}

/// Changes what is asked of a protection group. What is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateProtectionGroup {
    /// Whether the loss of the owner region starts a failover by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automatic_failover: Option<bool>,
    /// The regions that keep copies, in the order in which they take over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(["r2", "r3"]))]
    pub standbys: Option<Vec<String>>,
    /// What an acknowledgement promises across regions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// What becomes of writes in `sync` while the target is slow or out of reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_target: Option<SlowTarget>,
    /// What becomes of copies when a topic is deleted and made again under its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_reset: Option<ResetPolicy>,
    /// What `auto` accepts of the line to the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto: Option<UpdateAutoLimits>,
    /// The most milliseconds of writes an unplanned failover may lose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub rpo_ms: Option<u64>,
    /// The longest time from the incident to the first produce and consume at the new owner, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub rto_ms: Option<u64>,
    /// Whether diverged tails of its topics are published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diverged_topics: Option<bool>,
}

/// Forbids automatic action on a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BlockAutomationRequest {
    /// For how many milliseconds; until somebody takes it away when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Why.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_can_be_written_in_a_few_words() {
        let text = r#"{"name":"eu","home":"r1","standbys":["r2"],"coverage":{"topics":[{"prefix":"eu."}]}}"#;
        let policy: Policy = serde_json::from_str(text).unwrap();
        assert_eq!((policy.rpo_ms, policy.mode, policy.priority), (5_000, Mode::Async, 100));
        assert_eq!(policy.coverage.topics, [Pattern::Prefix("eu.".into())]);
        assert_eq!(serde_json::to_value(Pattern::Any).unwrap(), "any");
    }
}
