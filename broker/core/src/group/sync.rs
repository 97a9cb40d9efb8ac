use super::machine::{Group, Phase, reply};
use super::member::Waiting;
use super::{Effect, GroupError, MemberId, Moment, Reply, Settings, Sync, Synced, Token};
use bytes::Bytes;
use std::collections::BTreeMap;

impl Group {
    /// SyncGroup.
    pub(super) fn sync(&mut self, now: Moment, token: Token, sync: Sync, out: &mut Vec<Effect>) {
        let answer = |result| reply(token, Reply::Sync(result));
        if let Err(error) = self.admit_sync(&sync) {
            out.push(answer(Err(error)));
            return;
        }
        self.refresh(now, &sync.member);
        self.unsynced.remove(&sync.member);
        match self.phase {
            Phase::Empty => out.push(answer(Err(GroupError::UnknownMember(sync.member)))),
            Phase::Preparing => out.push(answer(Err(GroupError::RebalanceInProgress))),
            Phase::Stable => out.push(answer(Ok(self.synced(&sync.member)))),
            Phase::Completing => {
                self.hold(&sync.member, Waiting::Sync(token), out);
                if self.is_leader(&sync.member) && !self.persisting {
                    self.assign(sync.assignments);
                    self.persisting = true;
                    out.push(self.persist(now));
                }
            }
        }
    }

    fn admit_sync(&self, sync: &Sync) -> Result<(), GroupError> {
        self.check_member(&sync.member, sync.instance.as_ref())?;
        self.check_generation(sync.generation)?;
        let differs = |given: &Option<String>, ours: &Option<String>| given.is_some() && given != ours;
        if differs(&sync.protocol_type, &self.protocol_type) || differs(&sync.protocol, &self.protocol) {
            return Err(GroupError::InconsistentProtocol);
        }
        Ok(())
    }

    /// A member the leader gives nothing gets an empty assignment.
    fn assign(&mut self, assignments: Vec<(MemberId, Bytes)>) {
        let mut assignments: BTreeMap<_, _> = assignments.into_iter().collect();
        for (id, member) in &mut self.members {
            member.assignment = assignments.remove(id).unwrap_or_default();
        }
    }

    fn synced(&self, member: &MemberId) -> Synced {
        Synced {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: self.protocol.clone().unwrap_or_default(),
            assignment: self.members.get(member).map(|member| member.assignment.clone()).unwrap_or_default(),
        }
    }

    /// The group's record is on disk, or could not be written: then the members join again.
    pub(super) fn on_persisted(
        &mut self,
        now: Moment,
        settings: &Settings,
        generation: i32,
        result: Result<(), GroupError>,
        out: &mut Vec<Effect>,
    ) {
        if !self.persisting || generation != self.generation {
            return;
        }
        self.persisting = false;
        match result {
            Ok(()) => self.become_stable(now, out),
            Err(error) => {
                self.reset_assignment(now, &error, out);
                self.rebalance(now, settings, out);
            }
        }
    }

    fn become_stable(&mut self, now: Moment, out: &mut Vec<Effect>) {
        self.enter(now, Phase::Stable);
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            let synced = self.synced(&id);
            let Some(member) = self.members.get_mut(&id) else { continue };
            let Some(Waiting::Sync(token)) = member.waiting else { continue };
            member.waiting = None;
            member.refresh(now.boot);
            out.push(reply(token, Reply::Sync(Ok(synced))));
        }
    }
}
