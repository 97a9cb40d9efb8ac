//! Consumer groups: the shell around the coordinator of the core, and the topic its state is kept in.
//!
//! A commit is admitted, appended to `__consumer_offsets`, and counts once it is committed there; what a standby is sent
//! goes the same way. The order of the log is the order in which commits count.

mod commits;
mod expiry;
mod journal;
mod listing;
mod sync;

use crate::Broker;
use crate::replica::{Pass, Shut};
use broker_core::group::offsets::Offsets;
use broker_core::group::{
    Coordinator, Description, Effect, GroupError, Listing, MemberId, Moment, Reply, Request, Settings, Token,
};
use broker_core::metadata::{Group, Image};
use journal::Written;
use model::{CommitCursor, GroupId, OwnershipEpoch, ProtectionGroup, TopicPartition};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::sleep;

pub(crate) use commits::Committed;
pub use listing::ConsumerGroup;

/// The longest pause before the coordinator is asked whether something is due.
const TICK_MAX: Duration = Duration::from_secs(1);

/// The consumer groups of a broker.
pub(crate) struct Groups {
    state: Mutex<State>,
    /// Rings when the coordinator may have an earlier deadline.
    sooner: Notify,
    /// Counts changes of committed offsets, for those who follow them.
    changes: watch::Sender<u64>,
    /// How far the commits of each group's owner have been copied here.
    reached: watch::Sender<BTreeMap<ProtectionGroup, (OwnershipEpoch, CommitCursor)>>,
}

struct State {
    coordinator: Coordinator,
    offsets: Offsets,
    waiting: HashMap<Token, oneshot::Sender<Reply>>,
    next_token: u64,
    /// What is appended and not committed yet, by partition of the topic, in the order of the log.
    written: Vec<std::collections::VecDeque<Written>>,
    /// Whether the topic has been read since the start.
    is_loaded: bool,
    /// Names this start's numbering of commits.
    session: u64,
}

/// Why a group cannot be asked here now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotHere {
    /// Its offsets are being read.
    #[error("the group's offsets are being read")]
    Loading,
    /// Another region coordinates it, or this one may not now.
    #[error("the group is coordinated elsewhere")]
    Elsewhere,
}

impl Groups {
    /// Knows no group before the topic is read. `session` is another one at every start.
    pub(crate) fn new(settings: Settings, session: u64) -> Self {
        let state = State {
            coordinator: Coordinator::new(settings),
            offsets: Offsets::default(),
            waiting: HashMap::new(),
            next_token: 0,
            written: Vec::new(),
            is_loaded: false,
            session,
        };
        Self {
            state: Mutex::new(state),
            sooner: Notify::new(),
            changes: watch::Sender::new(0),
            reached: watch::Sender::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Broker {
    /// Starts coordinating: reads the topic once it is led, lets time pass, lets go of what another region owns, and
    /// forgets what nobody needs.
    pub(crate) fn coordinate_groups(&self) {
        self.spawn(self.clone().load_groups());
        self.spawn(self.clone().let_time_pass());
        self.spawn(self.clone().let_go());
        self.spawn(self.clone().expire_commits());
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment { boot: self.0.clock.boot().since_boot(), wall: self.0.clock.now() }
    }

    /// A name nobody has had, for a member of a client that calls itself `client_id`.
    pub(crate) fn fresh_member(&self, client_id: &str) -> MemberId {
        let id = uuid::Uuid::from_u128(self.0.entropy.next_u128());
        MemberId::new(format!("{client_id}-{id}"))
    }

    /// The right to coordinate `group` now: held until the answer is out.
    ///
    /// # Errors
    /// [`NotHere`] says whom else to ask, or to wait.
    pub(crate) fn enter_group(&self, group: &GroupId) -> Result<Pass, NotHere> {
        let image = self.image();
        let gate = image.coordinating_group(group).and_then(|known| self.0.gates.of(&known.grant.group));
        let gate = gate.ok_or(NotHere::Elsewhere)?;
        let entered = gate.enter(self.0.clock.boot());
        let pass = entered.map_err(|_: Shut| NotHere::Elsewhere)?;
        if self.0.groups.state().is_loaded { Ok(pass) } else { Err(NotHere::Loading) }
    }

    /// Hands a member's request to the coordinator; the answer comes when it is due. Dropped when the broker stops.
    pub(crate) fn ask_group(&self, request: Request) -> oneshot::Receiver<Reply> {
        let (reply, answer) = oneshot::channel();
        let effects = {
            let mut state = self.0.groups.state();
            let token = Token(state.next_token);
            state.next_token += 1;
            state.waiting.insert(token, reply);
            state.coordinator.on_request(self.moment(), token, request)
        };
        self.take_effect(effects);
        self.0.groups.sooner.notify_one();
        answer
    }

    fn take_effect(&self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Reply { token, reply } => {
                    let waiting = self.0.groups.state().waiting.remove(&token);
                    // A client that is gone waits no longer.
                    let _ = waiting.map(|waiting| waiting.send(reply));
                }
                Effect::Persist { group, generation, key, value } => {
                    let broker = self.clone();
                    tokio::spawn(async move {
                        let written = broker.write_group_record(&group, &key, value.as_ref()).await;
                        let result = written.map_err(|_| GroupError::CoordinatorNotAvailable);
                        let now = broker.moment();
                        let effects = broker.0.groups.state().coordinator.on_persisted(now, &group, generation, result);
                        broker.take_effect(effects);
                        broker.0.groups.sooner.notify_one();
                    });
                }
            }
        }
    }

    /// Ends sessions and goes on with rebalances when they are due.
    async fn let_time_pass(self) {
        let mut stop = self.0.stop.subscribe();
        loop {
            let effects = self.0.groups.state().coordinator.on_time(self.moment());
            self.take_effect(effects);
            let due = self.0.groups.state().coordinator.next_deadline();
            let pause = due.map_or(TICK_MAX, |due| due.saturating_sub(self.moment().boot).min(TICK_MAX));
            tokio::select! {
                () = sleep(pause) => {}
                () = self.0.groups.sooner.notified() => {}
                () = crate::listener::stopped(&mut stop) => return,
            }
        }
    }

    /// Forgets the members of groups this region may not coordinate any more: they are told to look elsewhere.
    async fn let_go(self) {
        let (mut stop, mut images) = (self.0.stop.subscribe(), self.watch_image());
        loop {
            let image = images.borrow_and_update().clone();
            self.forget_lost_groups(&image);
            tokio::select! {
                changed = images.changed() => if changed.is_err() { return },
                () = crate::listener::stopped(&mut stop) => return,
            }
        }
    }

    fn forget_lost_groups(&self, image: &Image) {
        let is_lost = |group: &GroupId| !image.coordinating_group(group).is_some_and(Group::takes_writes);
        let effects = self.0.groups.state().coordinator.lose(is_lost);
        self.take_effect(effects);
    }

    /// The group as DescribeGroups shows it.
    pub(crate) fn describe_group(&self, group: &GroupId) -> Option<Description> {
        self.0.groups.state().coordinator.describe(group)
    }

    /// Every group that is coordinated here or has committed offsets here.
    pub(crate) fn list_groups(&self) -> (Vec<Listing>, Vec<GroupId>) {
        let state = self.0.groups.state();
        (state.coordinator.list().collect(), state.offsets.groups().cloned().collect())
    }

    /// Whether the group has members, had some lately, or has committed offsets.
    pub(crate) fn knows_group(&self, group: &GroupId) -> bool {
        let state = self.0.groups.state();
        state.coordinator.contains(group) || state.offsets.has_group(group)
    }

    /// Deletes a group nobody is in, with its offsets.
    ///
    /// # Errors
    /// Why it stays.
    pub(crate) async fn delete_group(&self, group: &GroupId) -> Result<(), GroupError> {
        let (effect, partitions): (_, Vec<TopicPartition>) = {
            let mut state = self.0.groups.state();
            let has_offsets = state.offsets.has_group(group);
            let effect = state.coordinator.delete(group, has_offsets)?;
            let partitions = state.offsets.of_group(group).map(|(partition, _)| partition.clone()).collect();
            (effect, partitions)
        };
        self.take_effect(effect.into_iter().collect());
        let deleted = self.forget_commits(group, partitions).await;
        deleted.map_err(|_| GroupError::CoordinatorNotAvailable)
    }

    /// The topics the members of a group read; offsets of those cannot be deleted.
    ///
    /// # Errors
    /// When that is not known.
    pub(crate) fn subscribed_topics(&self, group: &GroupId) -> Result<std::collections::BTreeSet<String>, GroupError> {
        self.0.groups.state().coordinator.subscribed_topics(group)
    }
}
