use super::machine::{Group, Phase};
use super::{Effect, GroupError, Heartbeat, Leaver, MemberId, Moment, Settings};

impl Group {
    /// Heartbeat.
    pub(super) fn heartbeat(&mut self, now: Moment, heartbeat: &Heartbeat) -> Result<(), GroupError> {
        self.check_member(&heartbeat.member, heartbeat.instance.as_ref())?;
        self.check_generation(heartbeat.generation)?;
        self.refresh(now, &heartbeat.member);
        match self.phase {
            Phase::Preparing => Err(GroupError::RebalanceInProgress),
            Phase::Empty | Phase::Completing | Phase::Stable => Ok(()),
        }
    }

    /// LeaveGroup: one result per member, and one rebalance for all of them.
    pub(super) fn leave(
        &mut self,
        now: Moment,
        settings: &Settings,
        leavers: &[Leaver],
        out: &mut Vec<Effect>,
    ) -> Vec<Result<(), GroupError>> {
        let mut gone = vec![];
        let mut renamed = false;
        let results = leavers.iter().map(|leaver| match self.leaving(leaver) {
            Ok(id) if self.named.remove(&id).is_some() => {
                renamed = true;
                Ok(())
            }
            Ok(id) if gone.contains(&id) => Err(GroupError::UnknownMember(id)),
            Ok(id) => {
                gone.push(id);
                Ok(())
            }
            Err(error) => Err(error),
        });
        let results = results.collect();
        self.remove(now, settings, gone, out);
        if renamed && self.phase == Phase::Preparing {
            self.rebalance(now, settings, out);
        }
        results
    }

    fn leaving(&self, leaver: &Leaver) -> Result<MemberId, GroupError> {
        let Leaver { member, instance } = leaver;
        if let Some(holder) = instance.as_ref().filter(|_| member.is_unnamed()).map(|name| self.instances.get(name)) {
            return holder.cloned().ok_or_else(|| GroupError::UnknownMember(member.clone()));
        }
        if self.named.contains_key(member) {
            return Ok(member.clone());
        }
        self.check_member(member, instance.as_ref()).map(|()| member.clone())
    }
}
