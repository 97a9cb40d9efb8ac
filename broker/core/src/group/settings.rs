use super::MigrationPolicy;
use model::limits;
use std::time::Duration;

/// How a coordinator is set up; the names are Kafka's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long the first members of an empty group wait for more (`group.initial.rebalance.delay.ms`).
    pub initial_rebalance_delay: Duration,
    /// The shortest session a member may ask for (`group.min.session.timeout.ms`).
    pub session_timeout_min: Duration,
    /// The longest (`group.max.session.timeout.ms`).
    pub session_timeout_max: Duration,
    /// How long a new member may wait for its first generation.
    pub new_member_timeout: Duration,
    /// How long a member of the consumer protocol may be silent (`group.consumer.session.timeout.ms`).
    pub consumer_session_timeout: Duration,
    /// How often it is expected (`group.consumer.heartbeat.interval.ms`).
    pub consumer_heartbeat_interval: Duration,
    /// Which protocol a group may change to while it has members.
    pub migration_policy: MigrationPolicy,
    /// The most members of one group (`group.max.size`, `group.consumer.max.size`).
    pub members_max: usize,
    /// The most groups that have members, or had them.
    pub groups_max: usize,
    /// The most bytes of protocol metadata one member may bring.
    pub member_bytes_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            initial_rebalance_delay: Duration::from_millis(500),
            session_timeout_min: Duration::from_secs(6),
            session_timeout_max: Duration::from_secs(1800),
            new_member_timeout: Duration::from_secs(300),
            consumer_session_timeout: Duration::from_secs(45),
            consumer_heartbeat_interval: Duration::from_secs(5),
            migration_policy: MigrationPolicy::default(),
            members_max: limits::GROUP_MEMBERS_MAX,
            groups_max: 100_000,
            member_bytes_max: 1 << 20,
        }
    }
}
