use super::machine::{Group, Phase, reply};
use super::member::{Member, Waiting};
use super::{
    Effect, GroupError, InstanceId, Join, Joined, JoinedMember, MemberId, Moment, Protocol, Reply, Settings, Token,
};

impl Group {
    /// JoinGroup.
    pub(super) fn join(&mut self, now: Moment, settings: &Settings, token: Token, join: &Join, out: &mut Vec<Effect>) {
        if let Err(error) = self.admit_join(settings, join) {
            out.push(reply(token, Reply::Join(Err(error))));
            return;
        }
        let holder = join.instance.as_ref().and_then(|instance| self.instances.get(instance).cloned());
        match holder {
            Some(holder) if join.member.is_unnamed() => self.replace_static(now, settings, token, join, holder, out),
            _ if join.member.is_unnamed() && join.instance.is_none() && join.names_first => {
                self.name(now, token, join, out);
            }
            _ if join.member.is_unnamed() => self.add(now, settings, token, join, join.fresh_member.clone(), out),
            _ if self.named.contains_key(&join.member) => {
                self.add(now, settings, token, join, join.member.clone(), out);
            }
            _ => self.rejoin(now, settings, token, join, out),
        }
    }

    fn admit_join(&self, settings: &Settings, join: &Join) -> Result<(), GroupError> {
        let known = self.members.contains_key(&join.member) || self.named.contains_key(&join.member);
        let returns = join.instance.as_ref().is_some_and(|instance| self.instances.contains_key(instance));
        if !join.member.is_unnamed() && !self.named.contains_key(&join.member) {
            self.check_member(&join.member, join.instance.as_ref())?;
        }
        let size = self.members.len() + self.named.len();
        if !known && !returns && size >= settings.members_max {
            return Err(GroupError::GroupFull(size));
        }
        if self.fits(&join.protocol_type, &join.protocols) { Ok(()) } else { Err(GroupError::InconsistentProtocol) }
    }

    /// Whether somebody with these protocols can be in one generation with those who are here.
    fn fits(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        if protocol_type.is_empty() || protocols.is_empty() {
            return false;
        }
        let same_type = self.protocol_type.as_deref() == Some(protocol_type);
        let shared = |protocol: &Protocol| self.members.values().all(|member| member.supports(&protocol.name));
        self.members.is_empty() || (same_type && protocols.iter().any(shared))
    }

    fn name(&mut self, now: Moment, token: Token, join: &Join, out: &mut Vec<Effect>) {
        let fresh = join.fresh_member.clone();
        self.named.insert(fresh.clone(), now.boot + join.session_timeout);
        out.push(reply(token, Reply::Join(Err(GroupError::MemberIdRequired(fresh)))));
    }

    fn add(
        &mut self,
        now: Moment,
        settings: &Settings,
        token: Token,
        join: &Join,
        id: MemberId,
        out: &mut Vec<Effect>,
    ) {
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type.clone());
        }
        let mut member = Member::joining(join);
        member.expires = now.boot + settings.new_member_timeout;
        member.waiting = Some(Waiting::Join(token));
        self.insert_member(id, member);
        if let Some(initial) = self.join_wait.as_mut().and_then(|wait| wait.initial.as_mut()) {
            initial.more_came = true;
        }
        self.rebalance(now, settings, out);
    }

    /// A member that is known joins again.
    fn rejoin(&mut self, now: Moment, settings: &Settings, token: Token, join: &Join, out: &mut Vec<Effect>) {
        let unchanged = self.members.get(&join.member).is_some_and(|member| member.protocols == join.protocols);
        let answered = match self.phase {
            Phase::Completing => unchanged,
            Phase::Stable => unchanged && !self.is_leader(&join.member),
            Phase::Preparing | Phase::Empty => false,
        };
        if answered {
            self.answer_waiting(&join.member, GroupError::RebalanceInProgress, out);
            self.refresh(now, &join.member);
            out.push(reply(token, Reply::Join(Ok(self.joined(&join.member)))));
            return;
        }
        self.hold(&join.member, Waiting::Join(token), out);
        if let Some(member) = self.members.get_mut(&join.member) {
            member.update(join);
            member.refresh(now.boot);
        }
        self.rebalance(now, settings, out);
    }

    /// A static member comes back as a new process: it takes the place, and the assignment, of the one before.
    fn replace_static(
        &mut self,
        now: Moment,
        settings: &Settings,
        token: Token,
        join: &Join,
        old: MemberId,
        out: &mut Vec<Effect>,
    ) {
        let (leads, fresh) = (self.is_leader(&old), join.fresh_member.clone());
        self.rename(&old, fresh.clone(), join, now, out);
        let keeps = self.phase == Phase::Stable && self.select_protocol() == self.protocol;
        if !keeps {
            self.hold(&fresh, Waiting::Join(token), out);
            self.rebalance(now, settings, out);
            return;
        }
        out.push(self.persist(now));
        out.push(reply(token, Reply::Join(Ok(self.returned(fresh, leads.then_some(old), join)))));
    }

    fn rename(&mut self, old: &MemberId, fresh: MemberId, join: &Join, now: Moment, out: &mut Vec<Effect>) {
        let instance = join.instance.clone().unwrap_or_else(|| InstanceId::new(""));
        self.answer_waiting(old, GroupError::FencedInstance(instance.clone()), out);
        let Some(mut member) = self.members.remove(old) else { return };
        member.update(join);
        member.refresh(now.boot);
        self.instances.insert(instance, fresh.clone());
        if self.unsynced.remove(old) {
            self.unsynced.insert(fresh.clone());
        }
        if self.is_leader(old) {
            self.leader = Some(fresh.clone());
        }
        self.members.insert(fresh, member);
    }

    /// The answer to a static member that returned without a rebalance. A leader that cannot be told to keep the
    /// assignment is told that the process before it still leads, so that it assigns nothing.
    fn returned(&self, fresh: MemberId, led_before: Option<MemberId>, join: &Join) -> Joined {
        let mut joined = self.joined(&fresh);
        let Some(old) = led_before else { return joined };
        if join.may_skip_assignment {
            joined.skip_assignment = true;
        } else {
            joined.leader = old;
            joined.members.clear();
        }
        joined
    }

    /// The answer that tells `member` of the current generation.
    pub(super) fn joined(&self, member: &MemberId) -> Joined {
        let protocol = self.protocol.clone().unwrap_or_default();
        let leader = self.leader.clone().unwrap_or_else(|| MemberId::new(""));
        let described = |(id, known): (&MemberId, &Member)| JoinedMember {
            member: id.clone(),
            instance: known.instance.clone(),
            metadata: known.metadata(&protocol),
        };
        let leads = leader == *member;
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            members: if leads { self.members.iter().map(described).collect() } else { vec![] },
            protocol,
            leader,
            member: member.clone(),
            skip_assignment: false,
        }
    }
}
