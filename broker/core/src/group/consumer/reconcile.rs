//! How one member comes to its target.
//!
//! ```text
//!               there is something to give back               given back, and
//!        +----------------------------------------> Revoking -----------------+
//!        |                                                                    |
//!     Stable <---- all of the target is its own ----------------------------- +
//!        |                                                                    |
//!        +---- others have not given back yet ----> Waiting <-----------------+
//! ```
//!
//! A partition has at most one holder: it is handed to a member only when nobody else owns it or has still to give it
//! back. A member that gives back stays in its epoch until it says that it has; then it moves to the target's.

use super::state::{Member, Progress, State};
use super::{Partitions, Topics};
use crate::group::MemberId;
use model::TopicId;
use std::collections::BTreeSet;

/// What a heartbeat tells of a member, beside the state.
pub(super) struct Report<'a> {
    pub(super) id: &'a MemberId,
    /// What it says it owns; `None` when it did not say.
    pub(super) owned: Option<&'a Partitions>,
    /// Whether it reads other topics than before.
    pub(super) resubscribed: bool,
}

/// The member as it is after this step; the state is not changed.
pub(super) fn reconcile(state: &State, member: &Member, report: &Report, topics: &Topics) -> Member {
    let step = Step { state, member, report, read: read(state, member, topics) };
    match member.progress {
        Progress::Stable if member.epoch != state.target_epoch => step.next(),
        Progress::Stable if report.resubscribed => step.next(),
        Progress::Stable => member.clone(),
        Progress::Revoking if step.still_owns(&member.revoking) => step.strip(),
        Progress::Revoking | Progress::Waiting => step.next(),
    }
}

fn read(state: &State, member: &Member, topics: &Topics) -> BTreeSet<TopicId> {
    state.read_by(member, topics).into_iter().map(|topic| topic.id).collect()
}

struct Step<'a> {
    state: &'a State,
    member: &'a Member,
    report: &'a Report<'a>,
    read: BTreeSet<TopicId>,
}

impl Step<'_> {
    /// Whether the member may still be using some of these: it does not say, or it says so.
    fn still_owns(&self, partitions: &Partitions) -> bool {
        self.report.owned.is_none_or(|owned| owned.intersects(partitions))
    }

    /// It goes on giving back; what it reads no longer is given back too.
    fn strip(&self) -> Member {
        let mut member = self.member.clone();
        if self.report.resubscribed {
            let kept = member.assigned.filtered(|topic, _| self.read.contains(&topic));
            member.revoking = member.revoking.union(&member.assigned.without(&kept));
            member.assigned = kept;
        }
        member
    }

    fn next(&self) -> Member {
        let target = self.state.target(self.report.id).filtered(|topic, _| self.read.contains(&topic));
        let kept = self.member.assigned.intersection(&target);
        let revoking = self.member.assigned.without(&kept);
        let mut member = self.member.clone();
        if !revoking.is_empty() && self.still_owns(&revoking) {
            (member.progress, member.assigned, member.revoking) = (Progress::Revoking, kept, revoking);
            return member;
        }
        let wanted = target.without(&kept);
        let free = wanted.filtered(|topic, partition| !self.state.is_held_by_others(self.report.id, topic, partition));
        member.progress = if free.len() < wanted.len() { Progress::Waiting } else { Progress::Stable };
        member.assigned = kept.union(&free);
        member.revoking = Partitions::default();
        member.enter(self.state.target_epoch);
        member
    }
}
