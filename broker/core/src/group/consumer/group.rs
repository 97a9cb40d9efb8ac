use super::heartbeat::Scene;
use super::journal::{Change, changes};
use super::state::{Member, Progress, State};
use super::{Assigned, ConsumerHeartbeat};
use crate::group::{GroupError, MemberId, Moment, Settings};
use model::{GroupId, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A write that was refused is tried again after this.
const RETRY: Duration = Duration::from_secs(1);

/// One group of the consumer protocol: what is kept of it, and the clocks of its members.
#[derive(Clone, Debug)]
pub(in crate::group) struct ConsumerGroup {
    pub(super) id: GroupId,
    pub(super) state: Arc<State>,
    pub(super) clocks: BTreeMap<MemberId, Clock>,
    /// The topics it last looked at.
    pub(super) topics_seen: u64,
    /// Since when nobody has been in it, or nobody has known of anybody.
    pub(in crate::group) since: Timestamp,
}

/// Until when a member has time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    /// To say something.
    pub(super) silent: Duration,
    /// To give back what it has to.
    pub(super) revoking: Option<Duration>,
    /// To do as it was told: a member of the classic protocol joins again, and then asks for its assignment.
    pub(super) acting: Option<Duration>,
}

impl Clock {
    fn next(&self) -> Duration {
        [self.revoking, self.acting].into_iter().flatten().fold(self.silent, Duration::min)
    }
}

impl ConsumerGroup {
    pub(in crate::group) fn new(id: GroupId, now: Moment) -> Self {
        Self { id, state: Arc::default(), clocks: BTreeMap::new(), topics_seen: 0, since: now.wall }
    }

    /// One that goes on with the epochs of a group without members.
    pub(in crate::group) fn following(id: GroupId, now: Moment, epoch: i32) -> Self {
        let state = State { epoch, target_epoch: epoch, ..State::default() };
        Self { state: Arc::new(state), ..Self::new(id, now) }
    }

    pub(in crate::group) fn id(&self) -> &GroupId {
        &self.id
    }

    pub(in crate::group) fn state(&self) -> &State {
        &self.state
    }

    pub(in crate::group) fn is_empty(&self) -> bool {
        self.state.members.is_empty()
    }

    /// Takes a heartbeat in. The changes are in the state already; they are to be written down in this order.
    pub(in crate::group) fn heartbeat(
        &mut self,
        now: Moment,
        view: super::View<'_>,
        heartbeat: &ConsumerHeartbeat,
    ) -> (Vec<Change>, Result<Assigned, GroupError>) {
        let news = self.topics_seen != view.version;
        if !news && self.state.is_settled(heartbeat) {
            self.touch(now, view.settings, &heartbeat.member);
            let heartbeat_interval = view.settings.consumer_heartbeat_interval;
            let (member, epoch) = (heartbeat.member.clone(), heartbeat.epoch);
            return (vec![], Ok(Assigned { member, epoch, heartbeat_interval, assignment: None }));
        }
        let scene = Scene { now, settings: view.settings, topics: view.topics, topics_are_news: news };
        let mut next = (*self.state).clone();
        match next.heartbeat(scene, heartbeat) {
            Ok(assigned) => {
                self.topics_seen = view.version;
                let changes = self.turn_into(now, view.settings, next);
                self.touch(now, view.settings, &assigned.member);
                (changes, Ok(assigned))
            }
            Err(error) => (vec![], Err(error)),
        }
    }

    /// Goes over to `next`, and says what is to be written down for it.
    pub(super) fn turn_into(&mut self, now: Moment, settings: &Settings, next: State) -> Vec<Change> {
        let before = std::mem::replace(&mut self.state, Arc::new(next));
        if self.state.members.is_empty() && !before.members.is_empty() {
            self.since = now.wall;
        }
        self.wind(now, settings, &before);
        changes(&self.id, Some(&before), Some(&self.state))
    }

    /// Starts the clocks of members that came or have to give back something, and stops those of others.
    fn wind(&mut self, now: Moment, settings: &Settings, before: &State) {
        let state = &self.state;
        self.clocks.retain(|id, _| state.members.contains_key(id));
        for (id, member) in &state.members {
            let was = before.members.get(id);
            if was.is_some_and(|was| Arc::ptr_eq(was, member)) && self.clocks.contains_key(id) {
                continue;
            }
            let silent = now.boot + session(settings, member);
            let clock = self.clocks.entry(id.clone()).or_insert(Clock { silent, revoking: None, acting: None });
            let revokes = member.progress == Progress::Revoking && !member.is_away();
            let began = was.is_none_or(|was| was.progress != Progress::Revoking || was.revoking != member.revoking);
            match revokes {
                true if began => clock.revoking = Some(now.boot + member.rebalance_timeout),
                true => {}
                false => clock.revoking = None,
            }
        }
    }

    /// A sign of life of a member.
    pub(super) fn touch(&mut self, now: Moment, settings: &Settings, id: &MemberId) {
        let Some(member) = self.state.members.get(id) else { return };
        if let Some(clock) = self.clocks.get_mut(id) {
            clock.silent = now.boot + session(settings, member);
        }
    }

    /// Nobody may be silent longer than the session the group has now, from the heartbeat on that tells it so; that one
    /// comes within `heard`.
    pub(super) fn hurry(&mut self, now: Moment, settings: &Settings, heard: Duration) {
        for (id, clock) in &mut self.clocks {
            let Some(member) = self.state.members.get(id) else { continue };
            clock.silent = clock.silent.min(now.boot + heard + session(settings, member));
        }
    }

    /// A member of the classic protocol has to act within its rebalance timeout, from the first time it is told.
    pub(super) fn expect(&mut self, now: Moment, id: &MemberId, anew: bool) {
        let Some(timeout) = self.state.members.get(id).map(|member| member.rebalance_timeout) else { return };
        let Some(clock) = self.clocks.get_mut(id) else { return };
        if anew || clock.acting.is_none() {
            clock.acting = Some(now.boot + timeout);
        }
    }

    /// It has done so.
    pub(super) fn expect_nothing(&mut self, id: &MemberId) {
        if let Some(clock) = self.clocks.get_mut(id) {
            clock.acting = None;
        }
    }

    pub(in crate::group) fn next_deadline(&self) -> Option<Duration> {
        self.clocks.values().map(Clock::next).min()
    }

    /// Takes out the members whose time is up.
    pub(in crate::group) fn expire(&mut self, now: Moment, settings: &Settings) -> Vec<Change> {
        let late = self.clocks.iter().filter(|(_, clock)| clock.next() <= now.boot);
        let gone: Vec<_> = late.map(|(id, _)| id.clone()).collect();
        self.take_out(now, settings, &gone)
    }

    /// Takes members out; the rest is assigned anew with the next heartbeat.
    pub(super) fn take_out(&mut self, now: Moment, settings: &Settings, gone: &[MemberId]) -> Vec<Change> {
        if gone.is_empty() {
            return vec![];
        }
        let mut next = (*self.state).clone();
        next.remove(gone);
        self.turn_into(now, settings, next)
    }

    /// Takes back the last change: it could not be written. Whose time was up gets more of it.
    pub(in crate::group) fn go_back(&mut self, now: Moment, settings: &Settings, state: Arc<State>) {
        let after = std::mem::replace(&mut self.state, state);
        // What it saw may have been what it could not write down.
        self.topics_seen = 0;
        self.wind(now, settings, &after);
        for clock in self.clocks.values_mut() {
            let more = |due: Duration| due.max(now.boot + RETRY);
            *clock = Clock {
                silent: more(clock.silent),
                revoking: clock.revoking.map(more),
                acting: clock.acting.map(more),
            };
        }
    }

    /// Everything that is written of it, taken back.
    pub(in crate::group) fn tombstones(&self) -> Vec<Change> {
        changes(&self.id, Some(&self.state), None)
    }
}

/// How long a member may be silent.
pub(super) fn session(settings: &Settings, member: &Member) -> Duration {
    member.classic.as_ref().map_or(settings.consumer_session_timeout, |classic| classic.session_timeout)
}
