//! Who may do what in a group of the consumer protocol.

use super::state::{AWAY, JOINING, LEAVING, Member, State};
use super::{Assignor, ConsumerHeartbeat, Partitions};
use crate::group::{Commit, GroupError, InstanceId, MemberId};
use std::sync::Arc;

/// Whether a heartbeat is one at all, whatever the group.
pub(in crate::group) fn check(heartbeat: &ConsumerHeartbeat) -> Result<(), GroupError> {
    let invalid = |reason: &'static str| Err(GroupError::InvalidHeartbeat(reason));
    let ConsumerHeartbeat { epoch, owned, .. } = heartbeat;
    let needs_name = heartbeat.names_itself || *epoch != JOINING;
    let joins = *epoch == JOINING;
    let subscribes = heartbeat.topics.is_some() || heartbeat.pattern.is_some();
    match () {
        () if heartbeat.group.as_str().trim().is_empty() => Err(GroupError::InvalidGroupId),
        () if needs_name && heartbeat.member.is_unnamed() => invalid("a member needs a name"),
        () if *epoch < AWAY => invalid("a member epoch is not below -2"),
        () if *epoch == AWAY && heartbeat.instance.is_none() => invalid("only a static member leaves with epoch -2"),
        () if heartbeat.rack.as_deref() == Some("") => invalid("a rack needs a name"),
        () if joins && heartbeat.rebalance_timeout.is_none() => {
            invalid("a member that joins tells its rebalance timeout")
        }
        () if joins && owned.as_ref().is_none_or(|owned| !owned.is_empty()) => {
            invalid("a member that joins owns nothing, and says so")
        }
        () if joins && !subscribes => invalid("a member that joins says what it reads"),
        () => check_assignor(heartbeat.assignor.as_deref()),
    }
}

fn check_assignor(name: Option<&str>) -> Result<(), GroupError> {
    match name {
        Some(name) if Assignor::named(name).is_none() => Err(GroupError::UnsupportedAssignor(name.to_owned())),
        _ => Ok(()),
    }
}

impl State {
    pub(super) fn known(&self, id: &MemberId) -> Result<&Arc<Member>, GroupError> {
        self.members.get(id).ok_or_else(|| GroupError::UnknownMember(id.clone()))
    }

    /// The member that says it is `id`, whose static name is `instance`.
    pub(super) fn identified(&self, id: &MemberId, instance: Option<&InstanceId>) -> Result<&Arc<Member>, GroupError> {
        let Some(instance) = instance else { return self.known(id) };
        let (holder, member) = self.holder(instance).ok_or_else(|| GroupError::UnknownMember(id.clone()))?;
        if holder == id { Ok(member) } else { Err(GroupError::FencedInstance(instance.clone())) }
    }

    /// Whether a commit may be appended now.
    pub(super) fn check_commit(&self, commit: &Commit) -> Result<(), GroupError> {
        if commit.generation < 0 && self.members.is_empty() {
            return Ok(());
        }
        let member = self.known(&commit.member)?;
        match &member.classic {
            Some(_) => check_generation(member, commit.generation),
            None if !commit.knows_epochs => Err(GroupError::CommitTooOld),
            None => check_stale(member, commit.generation),
        }
    }

    /// Whether a member may read what the group has committed; nobody in particular always may.
    pub(super) fn check_fetch(&self, id: &MemberId, epoch: i32) -> Result<(), GroupError> {
        if id.is_unnamed() && epoch < 0 {
            return Ok(());
        }
        let member = self.known(id)?;
        if member.classic.is_some() { check_generation(member, epoch) } else { check_stale(member, epoch) }
    }
}

pub(super) fn check_generation(member: &Member, given: i32) -> Result<(), GroupError> {
    let current = member.epoch;
    if given == current { Ok(()) } else { Err(GroupError::IllegalGeneration { given, current }) }
}

fn check_stale(member: &Member, given: i32) -> Result<(), GroupError> {
    let current = member.epoch;
    if given == current { Ok(()) } else { Err(GroupError::StaleMemberEpoch { given, current }) }
}

/// Whether `given` is the member's epoch; the one before will do for a member that owns nothing it should not: it may
/// not have heard of the new one. 0 always is: it joins again.
pub(super) fn check_epoch(member: &Member, given: i32, owned: Option<&Partitions>) -> Result<(), GroupError> {
    let current = member.epoch;
    let missed = || given == member.previous_epoch && owned.is_some_and(|owned| owned.is_subset(&member.assigned));
    match given {
        JOINING => Ok(()),
        given if given == current => Ok(()),
        given if given < current && given > LEAVING && missed() => Ok(()),
        given => Err(GroupError::FencedMemberEpoch { given, current }),
    }
}
