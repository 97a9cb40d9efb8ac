//! Consumer groups: the shell around the coordinator of the core, and the topic its state is kept in.
//!
//! A commit is admitted, appended to `__consumer_offsets`, and counts once it is committed there; what a standby is sent
//! goes the same way. The order of the log is the order in which commits count.

mod commits;
mod expiry;
mod journal;
mod listing;
mod load;
mod sync;

use crate::Broker;
use crate::replica::{Pass, Shut, Standing};
use broker_core::group::offsets::Offsets;
use broker_core::group::{
    ConsumerDescription, Coordinator, Description, Effect, GroupError, Listing, MemberId, Moment, Reply, Request,
    Settings, Token, TopicShape, Topics,
};
use broker_core::metadata::{Group, Image, Topic};
use journal::{NoPartition, NotWritten, Place, Record, Written};
use model::{CommitMarks, GroupId, LeaderEpoch, OwnershipEpoch, ProtectionGroup, TopicPartition, TopicState};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    reached: watch::Sender<Reached>,
}

/// Up to where the commits of each group's owner have been copied, and under which grant.
type Reached = BTreeMap<ProtectionGroup, (OwnershipEpoch, CommitMarks)>;

struct State {
    coordinator: Coordinator,
    offsets: Offsets,
    waiting: HashMap<Token, oneshot::Sender<Reply>>,
    next_token: u64,
    /// What is appended and not committed yet, by partition of the topic, in the order of the log.
    written: Vec<std::collections::VecDeque<Written>>,
    /// Where what was appended last ends, by partition of the topic.
    ends: HashMap<usize, Place>,
    /// The partitions of the topic that have been read, and under which leadership.
    loaded: BTreeMap<usize, LeaderEpoch>,
}

/// Why a group cannot be asked here now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotHere {
    /// Its offsets are being read.
    #[error("the group's offsets are being read")]
    Loading,
    /// Another broker of the region coordinates it.
    #[error("the group is coordinated by another broker")]
    OtherBroker,
    /// Another region coordinates it, or this one may not now.
    #[error("the group is coordinated elsewhere")]
    Elsewhere,
}

impl Groups {
    /// Knows no group before the topic is read.
    pub(crate) fn new(settings: Settings) -> Self {
        let state = State {
            coordinator: Coordinator::new(settings),
            offsets: Offsets::default(),
            waiting: HashMap::new(),
            next_token: 0,
            written: Vec::new(),
            ends: HashMap::new(),
            loaded: BTreeMap::new(),
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

impl State {
    fn answer(&mut self, token: Token, reply: Reply) {
        // A client that is gone waits no longer.
        let _ = self.waiting.remove(&token).map(|waiting| waiting.send(reply));
    }

    fn refuse(&mut self, answers: Vec<(Token, Reply)>) {
        for (token, reply) in answers {
            self.answer(token, reply.refused(GroupError::CoordinatorNotAvailable));
        }
    }
}

impl Broker {
    /// Starts coordinating: reads what it leads of the topic, lets time pass, lets go of what another region owns, and
    /// forgets what nobody needs.
    pub(crate) fn coordinate_groups(&self) {
        self.spawn(self.clone().follow_offsets_leaders());
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
        let (number, partition) = self.partition_of(group).map_err(|missing| match missing {
            NoPartition::Unmade => NotHere::Loading,
            NoPartition::Elsewhere => NotHere::OtherBroker,
        })?;
        match partition.standing() {
            _ if self.0.groups.state().is_loaded(number, &partition) => Ok(pass),
            Standing::Replica { .. } => Err(NotHere::OtherBroker),
            Standing::Owner { .. } | Standing::Copy { .. } | Standing::Idle => Err(NotHere::Loading),
        }
    }

    /// Hands a member's request to the coordinator; the answer comes when it is due. Dropped when the broker stops.
    pub(crate) fn ask_group(&self, request: Request) -> oneshot::Receiver<Reply> {
        let (reply, answer) = oneshot::channel();
        self.with_coordinator(|state, now| {
            let token = Token(state.next_token);
            state.next_token += 1;
            state.waiting.insert(token, reply);
            state.coordinator.on_request(now, token, request)
        });
        answer
    }

    /// Lets `ask` have its say, and does what the coordinator then wants done, before anybody else has his: what is
    /// written down is in the order in which it was decided.
    fn with_coordinator(&self, ask: impl FnOnce(&mut State, Moment) -> Vec<Effect>) {
        {
            let mut state = self.0.groups.state();
            let effects = ask(&mut state, self.moment());
            self.perform(&mut state, effects);
        }
        self.0.groups.sooner.notify_one();
    }

    fn perform(&self, state: &mut State, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Reply { token, reply } => state.answer(token, reply),
                Effect::Persist { group, generation, key, value } => {
                    let appended = self.append_group_records(state, &group, &[(key, value)]);
                    tokio::spawn(self.clone().report_persisted(group, generation, appended));
                }
                Effect::Write { group, records, answers } => self.write_group(state, &group, &records, answers),
            }
        }
    }

    async fn report_persisted(self, group: GroupId, generation: i32, appended: Result<Option<Place>, NotWritten>) {
        let committed = match appended {
            Ok(Some(place)) => self.until_committed(&place).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        let result = committed.map_err(|_| GroupError::CoordinatorNotAvailable);
        self.with_coordinator(|state, now| state.coordinator.on_persisted(now, &group, generation, result));
    }

    /// Appends what became of a group; whoever asked is answered when it is committed.
    fn write_group(&self, state: &mut State, group: &GroupId, records: &[Record], answers: Vec<(Token, Reply)>) {
        match self.append_group_records(state, group, records) {
            Ok(place) => {
                state.coordinator.on_appended(group);
                match place.filter(|place| !place.is_committed()) {
                    None => answers.into_iter().for_each(|(token, reply)| state.answer(token, reply)),
                    Some(place) => drop(tokio::spawn(self.clone().answer_when_committed(place, answers))),
                }
            }
            Err(error) => {
                tracing::warn!(%group, %error, "a change of the group was not written");
                let effects = state.coordinator.on_refused(self.moment(), group);
                self.perform(state, effects);
                state.refuse(answers);
            }
        }
    }

    async fn answer_when_committed(self, place: Place, answers: Vec<(Token, Reply)>) {
        let committed = self.until_committed(&place).await;
        let mut state = self.0.groups.state();
        match committed {
            Ok(()) => answers.into_iter().for_each(|(token, reply)| state.answer(token, reply)),
            Err(_) => state.refuse(answers),
        }
    }

    /// Ends sessions and goes on with rebalances when they are due.
    async fn let_time_pass(self) {
        let mut stop = self.0.stop.subscribe();
        loop {
            self.let_be_due();
            let due = self.0.groups.state().coordinator.next_deadline();
            let pause = due.map_or(TICK_MAX, |due| due.saturating_sub(self.moment().boot).min(TICK_MAX));
            tokio::select! {
                () = sleep(pause) => {}
                () = self.0.groups.sooner.notified() => {}
                () = crate::listener::stopped(&mut stop) => return,
            }
        }
    }

    fn let_be_due(&self) {
        let mut state = self.0.groups.state();
        let effects = state.coordinator.on_time(self.moment());
        self.perform(&mut state, effects);
    }

    /// Forgets the members of groups this region may not coordinate any more: they are told to look elsewhere.
    async fn let_go(self) {
        let (mut stop, mut images) = (self.0.stop.subscribe(), self.watch_image());
        loop {
            let image = images.borrow_and_update().clone();
            if image.council_index() > 0 {
                self.show_topics(&image);
                self.with_coordinator(|state, now| {
                    state.coordinator.see_entries(now, image.group_entries());
                    Vec::new()
                });
                self.forget_lost_groups(&image);
            }
            tokio::select! {
                changed = images.changed() => if changed.is_err() { return },
                () = crate::listener::stopped(&mut stop) => return,
            }
        }
    }

    fn forget_lost_groups(&self, image: &Image) {
        let is_lost = |group: &GroupId| !image.coordinating_group(group).is_some_and(Group::takes_writes);
        self.with_coordinator(|state, _| state.coordinator.lose(is_lost));
    }

    /// Tells the coordinator which topics there are.
    fn show_topics(&self, image: &Image) {
        let live = image.topics().filter(|topic| topic.state == TopicState::Live);
        let shape = |topic: &Topic| TopicShape { id: topic.id, partitions: topic.partition_count() };
        let topics: Topics = live.map(|topic| (topic.name.as_str(), shape(topic))).collect();
        self.0.groups.state().coordinator.see_topics(topics);
    }

    /// The group as ConsumerGroupDescribe shows it, with the topics as it sees them.
    pub(crate) fn describe_consumer_group(&self, group: &GroupId) -> Option<(ConsumerDescription, Arc<Topics>)> {
        let state = self.0.groups.state();
        Some((state.coordinator.describe_consumer(group)?, state.coordinator.topics()))
    }

    /// The group as DescribeGroups shows it; `None` when there is no such group of the classic protocol.
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
        let partitions: Vec<TopicPartition> = {
            let mut state = self.0.groups.state();
            let has_offsets = state.offsets.has_group(group);
            let effects = state.coordinator.delete(group, has_offsets)?;
            self.perform(&mut state, effects);
            state.offsets.of_group(group).map(|(partition, _)| partition.clone()).collect()
        };
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
