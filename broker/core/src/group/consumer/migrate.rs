//! From one protocol to the other while members are there (KIP-848).
//!
//! ```text
//!            a member of the consumer protocol joins
//!   classic ----------------------------------------> consumer, with members of both protocols
//!      ^                                                 |
//!      +-------------------------------------------------+
//!          the last member of the consumer protocol goes
//! ```
//!
//! Epochs and generations are one count: it goes on rising on both ways.

use super::Topics;
use super::group::ConsumerGroup;
use super::protocol::{assignment, read_assignment, read_subscription};
use super::state::{Classic, Member, State};
use crate::group::machine::{Group, Phase};
use crate::group::member::Member as ClassicMember;
use crate::group::{MemberId, Moment, Settings};
use std::sync::Arc;

/// Which ways are open (`group.consumer.migration.policy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MigrationPolicy {
    /// None.
    Disabled,
    /// From classic to consumer.
    Upgrade,
    /// From consumer to classic.
    Downgrade,
    /// Both.
    #[default]
    Bidirectional,
}

impl MigrationPolicy {
    /// Kafka's name of it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Upgrade => "upgrade",
            Self::Downgrade => "downgrade",
            Self::Bidirectional => "bidirectional",
        }
    }

    pub(super) const fn upgrades(self) -> bool {
        matches!(self, Self::Upgrade | Self::Bidirectional)
    }

    pub(super) const fn downgrades(self) -> bool {
        matches!(self, Self::Downgrade | Self::Bidirectional)
    }
}

/// The state a group of the classic protocol becomes; `None` when its members are no consumers, or use an assignor of
/// their own that the coordinator cannot stand in for.
pub(super) fn upgraded(group: &Group, topics: &Topics) -> Option<State> {
    if group.protocol_type.as_deref() != Some("consumer") {
        return None;
    }
    let mut state = State { epoch: group.generation, target_epoch: group.generation, ..State::default() };
    for (id, known) in &group.members {
        let member = upgraded_member(group, known, topics)?;
        state.targets.insert(id.clone(), Arc::new(member.assigned.clone()));
        state.members.insert(id.clone(), Arc::new(member));
    }
    Some(state)
}

fn upgraded_member(group: &Group, known: &ClassicMember, topics: &Topics) -> Option<Member> {
    let agreed = group.protocol.as_deref().map(|protocol| known.metadata(protocol)).filter(|bytes| !bytes.is_empty());
    let metadata = agreed.or_else(|| known.protocols.first().map(|protocol| protocol.metadata.clone()))?;
    let subscription = read_subscription(&metadata, topics)?;
    Some(Member {
        instance: known.instance.clone(),
        client_id: known.client_id.clone(),
        client_host: known.client_host.clone(),
        topics: subscription.topics,
        rebalance_timeout: known.rebalance_timeout,
        classic: Some(Classic { session_timeout: known.session_timeout, protocols: known.protocols.clone() }),
        epoch: group.generation,
        previous_epoch: group.generation,
        assigned: read_assignment(&known.assignment, topics)?,
        ..Member::default()
    })
}

/// Whether only members of the classic protocol are left, and may go on as a group of it.
pub(super) fn is_to_downgrade(state: &State, settings: &Settings) -> bool {
    let classic = |member: &Arc<Member>| member.classic.is_some();
    settings.migration_policy.downgrades() && !state.members.is_empty() && state.members.values().all(classic)
}

/// The group of the classic protocol that goes on where `group` ends. Its members have still to join again.
pub(super) fn downgraded(now: Moment, group: &ConsumerGroup, topics: &Topics) -> Group {
    let state = group.state();
    let mut classic = Group::new(group.id.clone(), now.wall);
    classic.generation = state.epoch;
    classic.protocol_type = Some("consumer".to_owned());
    for (id, member) in &state.members {
        let Some(known) = &member.classic else { continue };
        classic.insert_member(id.clone(), downgraded_member(now, member, known, topics));
    }
    classic.protocol = classic.select_protocol();
    classic.enter(now, Phase::Stable);
    classic
}

fn downgraded_member(now: Moment, member: &Member, known: &Classic, topics: &Topics) -> ClassicMember {
    let first = known.protocols.first().map(|protocol| &protocol.metadata);
    let version = first.and_then(|metadata| read_subscription(metadata, topics)).map_or(0, |known| known.version);
    ClassicMember {
        instance: member.instance.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        session_timeout: known.session_timeout,
        rebalance_timeout: member.rebalance_timeout,
        protocols: known.protocols.clone(),
        assignment: assignment(version, &member.assigned, topics),
        waiting: None,
        expires: now.boot + known.session_timeout,
        is_new: false,
    }
}

impl ConsumerGroup {
    /// The group that takes the place of one of the classic protocol.
    pub(super) fn upgraded(now: Moment, settings: &Settings, classic: &Group, state: State) -> Self {
        let mut group = Self::new(classic.id.clone(), now);
        group.turn_into(now, settings, state);
        let members: Vec<MemberId> = classic.members.keys().cloned().collect();
        members.iter().for_each(|id| group.touch(now, settings, id));
        group
    }
}
