use super::machine::{Group, Phase};
use super::{Commit, GroupError, MemberId, Moment};

impl Group {
    /// Whether this commit may be appended now; a sign of life of the member.
    pub(super) fn admit_commit(&mut self, now: Moment, commit: &Commit) -> Result<(), GroupError> {
        if commit.generation < 0 && self.phase == Phase::Empty {
            return Ok(());
        }
        self.check_member(&commit.member, commit.instance.as_ref())?;
        self.check_generation(commit.generation)?;
        if self.phase == Phase::Completing {
            // It knows the new generation, but not yet what it owns in it.
            return Err(GroupError::RebalanceInProgress);
        }
        self.refresh(now, &commit.member);
        Ok(())
    }
}

/// Whether a commit may be appended to a group that has no members and never had.
pub(super) fn admit_without_group(commit: &Commit) -> Result<(), GroupError> {
    // A member of the consumer protocol knows what to do about that: it joins again.
    if commit.generation >= 0 && commit.knows_epochs && !commit.member.is_unnamed() {
        return Err(GroupError::UnknownMember(commit.member.clone()));
    }
    if commit.generation >= 0 {
        return Err(GroupError::IllegalGeneration { given: commit.generation, current: -1 });
    }
    if commit.member != MemberId::new("") || commit.instance.is_some() {
        return Err(GroupError::UnknownMember(commit.member.clone()));
    }
    Ok(())
}
