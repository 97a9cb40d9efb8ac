use super::machine::{Group, InitialDelay, JoinWait, Phase, reply};
use super::member::{Member, Waiting};
use super::{Effect, GroupError, MemberId, Moment, Reply, Settings};
use bytes::Bytes;
use std::time::Duration;

/// A member that asks for less could not even join again.
const REBALANCE_TIMEOUT_MIN: Duration = Duration::from_secs(1);

impl Group {
    /// Begins a rebalance, or goes on with the one that runs; it ends at once when nobody is waited for.
    pub(super) fn rebalance(&mut self, now: Moment, settings: &Settings, out: &mut Vec<Effect>) {
        if self.join_wait.is_none() {
            self.begin_rebalance(now, settings, out);
        }
        if self.join_wait.is_some_and(|wait| wait.initial.is_none()) && self.all_joined() {
            self.complete_join(now, out);
        }
    }

    fn begin_rebalance(&mut self, now: Moment, settings: &Settings, out: &mut Vec<Effect>) {
        if self.phase == Phase::Completing {
            self.reset_assignment(now, &GroupError::RebalanceInProgress, out);
        }
        self.join_wait = Some(match self.phase {
            Phase::Empty => self.initial_wait(now, settings),
            _ => JoinWait { due: now.boot + self.rebalance_timeout(), initial: None },
        });
        self.unsynced.clear();
        self.enter(now, Phase::Preparing);
    }

    fn initial_wait(&self, now: Moment, settings: &Settings) -> JoinWait {
        let delay = settings.initial_rebalance_delay;
        let remaining = self.rebalance_timeout().saturating_sub(delay);
        JoinWait { due: now.boot + delay, initial: Some(InitialDelay { remaining, more_came: false }) }
    }

    /// As long as the slowest member asked for; nobody needs no time.
    fn rebalance_timeout(&self) -> Duration {
        let asked = self.members.values().map(|member| member.rebalance_timeout).max();
        asked.map(|asked| asked.max(REBALANCE_TIMEOUT_MIN)).unwrap_or_default()
    }

    fn all_joined(&self) -> bool {
        self.named.is_empty() && self.members.values().all(Member::awaits_join)
    }

    /// The assignment in the making is void; members that wait for it are told, and their sessions begin anew: they were
    /// silent because we owed them an answer.
    pub(super) fn reset_assignment(&mut self, now: Moment, error: &GroupError, out: &mut Vec<Effect>) {
        self.persisting = false;
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
            if let Some(Waiting::Sync(token)) = member.waiting {
                member.waiting = None;
                member.refresh(now.boot);
                out.push(reply(token, Reply::Sync(Err(error.clone()))));
            }
        }
    }

    /// Lets happen what is due.
    pub(super) fn on_time(&mut self, now: Moment, settings: &Settings, out: &mut Vec<Effect>) {
        self.expire_names(now, settings, out);
        self.expire_members(now, settings, out);
        self.expire_syncs(now, settings, out);
        self.expire_joins(now, settings, out);
    }

    fn expire_names(&mut self, now: Moment, settings: &Settings, out: &mut Vec<Effect>) {
        let before = self.named.len();
        self.named.retain(|_, expires| *expires > now.boot);
        if self.named.len() < before && self.phase == Phase::Preparing {
            self.rebalance(now, settings, out);
        }
    }

    fn expire_members(&mut self, now: Moment, settings: &Settings, out: &mut Vec<Effect>) {
        let silent = |member: &Member| member.deadline().is_some_and(|deadline| deadline <= now.boot);
        let gone = self.members.iter().filter(|(_, member)| silent(member)).map(|(id, _)| id.clone()).collect();
        self.remove(now, settings, gone, out);
    }

    /// Members that did not ask for their assignment in time are out.
    fn expire_syncs(&mut self, now: Moment, settings: &Settings, out: &mut Vec<Effect>) {
        if self.sync_due <= now.boot {
            let gone = std::mem::take(&mut self.unsynced).into_iter().collect();
            self.remove(now, settings, gone, out);
        }
    }

    /// Takes members out and rebalances the rest.
    pub(super) fn remove(&mut self, now: Moment, settings: &Settings, gone: Vec<MemberId>, out: &mut Vec<Effect>) {
        if gone.is_empty() {
            return;
        }
        for id in &gone {
            self.remove_member(id, GroupError::UnknownMember(id.clone()), out);
        }
        if self.phase != Phase::Empty {
            self.rebalance(now, settings, out);
        }
    }

    fn expire_joins(&mut self, now: Moment, settings: &Settings, out: &mut Vec<Effect>) {
        let Some(wait) = self.join_wait.filter(|wait| wait.due <= now.boot) else { return };
        match wait.initial {
            Some(initial) if initial.more_came && !initial.remaining.is_zero() => {
                let delay = settings.initial_rebalance_delay.min(initial.remaining);
                let remaining = initial.remaining - delay;
                let initial = Some(InitialDelay { remaining, more_came: false });
                self.join_wait = Some(JoinWait { due: now.boot + delay, initial });
            }
            _ => self.complete_join(now, out),
        }
    }

    /// Forms the next generation of those who joined. A static member keeps its place while its session lasts.
    fn complete_join(&mut self, now: Moment, out: &mut Vec<Effect>) {
        let absent = |member: &Member| !member.awaits_join() && member.instance.is_none();
        let gone: Vec<_> = self.members.iter().filter(|(_, m)| absent(m)).map(|(id, _)| id.clone()).collect();
        for id in gone {
            self.remove_member(&id, GroupError::UnknownMember(id.clone()), out);
        }
        if !self.elect_leader() {
            // Only absent static members are left: one of them returns, or its session ends.
            self.join_wait = Some(JoinWait { due: now.boot + self.rebalance_timeout(), initial: None });
            return;
        }
        self.join_wait = None;
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        if self.members.is_empty() { self.become_empty(now, out) } else { self.form_generation(now, out) }
    }

    /// Makes sure that somebody who joined leads; `false` when there are members but none of them joined.
    fn elect_leader(&mut self) -> bool {
        let joined = |id: &MemberId| self.members.get(id).is_some_and(Member::awaits_join);
        if !self.leader.as_ref().is_some_and(joined) {
            let candidate = self.members.iter().find(|(_, member)| member.awaits_join()).map(|(id, _)| id.clone());
            if candidate.is_none() && !self.members.is_empty() {
                return false;
            }
            self.leader = candidate;
        }
        true
    }

    fn become_empty(&mut self, now: Moment, out: &mut Vec<Effect>) {
        self.protocol = None;
        self.leader = None;
        self.enter(now, Phase::Empty);
        out.push(self.persist(now));
    }

    fn form_generation(&mut self, now: Moment, out: &mut Vec<Effect>) {
        self.protocol = self.select_protocol();
        self.enter(now, Phase::Completing);
        self.unsynced = self.members.keys().cloned().collect();
        self.sync_due = now.boot + self.rebalance_timeout();
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            let joined = self.joined(&id);
            let Some(member) = self.members.get_mut(&id) else { continue };
            let Some(Waiting::Join(token)) = member.waiting.take() else { continue };
            member.refresh(now.boot);
            member.is_new = false;
            out.push(reply(token, Reply::Join(Ok(joined))));
        }
    }

    /// The protocol most members prefer among those that all support; the leader's order breaks a tie.
    pub(super) fn select_protocol(&self) -> Option<String> {
        let shared = |name: &str| self.members.values().all(|member| member.supports(name));
        let vote = |member: &Member| member.protocols.iter().find(|p| shared(&p.name)).map(|p| p.name.clone());
        let votes: Vec<_> = self.members.values().filter_map(vote).collect();
        let leader = self.leader.as_ref().and_then(|leader| self.members.get(leader))?;
        let candidates = leader.protocols.iter().filter(|protocol| shared(&protocol.name));
        let counted = candidates.map(|p| (votes.iter().filter(|vote| **vote == p.name).count(), &p.name));
        counted.rev().max_by_key(|(count, _)| *count).map(|(_, name)| name.clone())
    }
}
