//! The control side of a broker: what the council assigns becomes metadata, and metadata becomes partitions.
//!
//! One task makes all changes of this broker, one after the other: it proposes them to the region's quorum, and then makes
//! real what the quorum agreed on. Whoever asks for a change waits until both are done. What other brokers have agreed on
//! is made real as it comes.

mod gates;
mod realise;

pub(crate) use gates::Gates;

use crate::controller::{ChangeError, Controller};
use crate::heart::Session;
use crate::producer_ids::{ProducerIdBlocks, Unavailable};
use crate::{Broker, Listeners};
use broker_core::metadata::{
    Addresses, Answer, BrokerEpoch, Command, Image, Placement, Refusal, Start, TopicDraft, reconcile,
};
use env::PortFuture;
use model::{Assignment, BrokerSlot, ProducerId, ProtectionGroup, TopicId, TopicName, TopicState};
use realise::{Failed, discard_gone, realise};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

/// The offsets of consumer groups are kept here.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// How many partitions that topic has.
pub(crate) const OFFSETS_PARTITIONS: i32 = 4;
/// How many replicas its partitions have where there are as many brokers.
const OFFSETS_REPLICAS: usize = 3;
/// How often what could not be made real is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// More rounds than any assignment needs: each round proposes what is still missing.
const ROUNDS_MAX: usize = 8;

/// Why the council's decisions, or an order, could not be made real. They can be given again.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct ControlError(pub(crate) String);

impl From<ChangeError> for ControlError {
    fn from(error: ChangeError) -> Self {
        Self(error.to_string())
    }
}

/// What the control task is asked to do.
enum Job {
    /// Make an assignment real.
    Assign(Box<Assignment>),
    /// Propose these and make them real. Producers may jump forward in partitions of `jumps` that start to be led.
    Change { commands: Vec<Command>, jumps: Option<ProtectionGroup> },
    /// Register again: that session is over.
    BeginSession(BrokerEpoch),
}

type Asked = (Job, oneshot::Sender<Result<Vec<Answer>, ControlError>>);

/// The way to the control task.
#[derive(Clone)]
pub(crate) struct Control {
    jobs: mpsc::Sender<Asked>,
    controller: Controller,
}

impl Control {
    /// Starts the control task of `broker`.
    pub(crate) fn start(broker: Broker, controller: Controller, listeners: Listeners) -> Self {
        let (jobs, asked) = mpsc::channel(16);
        let worker = Worker {
            broker: broker.clone(),
            controller: controller.clone(),
            listeners,
            real: Arc::default(),
            failed: Failed::default(),
            known: Arc::default(),
        };
        broker.spawn(worker.run(asked));
        Self { jobs, controller }
    }

    /// Makes an assignment real.
    ///
    /// # Errors
    /// What is in the way; it can be tried again.
    pub(crate) async fn assign(&self, assignment: Assignment) -> Result<(), ControlError> {
        self.ask(Job::Assign(Box::new(assignment))).await.map(drop)
    }

    /// Proposes `commands` one after the other and makes them real; their answers.
    ///
    /// # Errors
    /// The first that was refused; those before it were made.
    pub(crate) async fn change(&self, commands: Vec<Command>) -> Result<Vec<Answer>, ControlError> {
        self.ask(Job::Change { commands, jumps: None }).await
    }

    /// The same for the opening of a group after an unplanned failover.
    ///
    /// # Errors
    /// As [`Control::change`].
    pub(crate) async fn open(
        &self,
        commands: Vec<Command>,
        jumps: Option<ProtectionGroup>,
    ) -> Result<Vec<Answer>, ControlError> {
        self.ask(Job::Change { commands, jumps }).await
    }

    /// Begins the first session of this broker, if there is none.
    ///
    /// # Errors
    /// When that cannot be agreed on now.
    pub(crate) async fn join(&self) -> Result<(), ControlError> {
        // No session has this number.
        self.begin_session(BrokerEpoch(0)).await
    }

    /// Begins a new session after the one that is `over`; returns when the metadata is real in it.
    ///
    /// # Errors
    /// When that cannot be agreed on now.
    pub(crate) async fn begin_session(&self, over: BrokerEpoch) -> Result<(), ControlError> {
        self.ask(Job::BeginSession(over)).await.map(drop)
    }

    /// This broker's part of the region's metadata quorum.
    pub(crate) fn controller(&self) -> &Controller {
        &self.controller
    }

    /// Waits until the metadata can be written no more, and says why.
    pub(crate) async fn failed(&self) -> String {
        self.controller.failed().await
    }

    /// Closes the metadata.
    pub(crate) async fn shutdown(&self) {
        self.controller.shutdown().await;
    }

    async fn ask(&self, job: Job) -> Result<Vec<Answer>, ControlError> {
        let stopped = || ControlError("the broker is stopping".to_owned());
        let (reply, answer) = oneshot::channel();
        self.jobs.send((job, reply)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

struct Worker {
    broker: Broker,
    controller: Controller,
    listeners: Listeners,
    /// What was made real last.
    real: Arc<Image>,
    /// The part of it that could not be.
    failed: Failed,
    /// What was known before the first session: topics of it that are gone by then left their logs here.
    known: Arc<Image>,
}

impl Worker {
    async fn run(mut self, mut asked: mpsc::Receiver<Asked>) {
        let (mut stop, mut images) = (self.broker.0.stop.subscribe(), self.controller.watch());
        let mut retries = interval(RETRY);
        retries.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let next = tokio::select! {
                job = asked.recv() => match job {
                    Some(job) => Some(job),
                    None => return,
                },
                changed = images.changed() => match changed {
                    Ok(()) => None,
                    Err(_) => return,
                },
                _ = retries.tick(), if !self.failed.is_empty() => None,
                () = crate::listener::stopped(&mut stop) => return,
            };
            match next {
                // Whoever asked may have given up; the change stands all the same.
                Some((job, reply)) => _ = reply.send(self.work(job).await),
                None => self.follow().await,
            }
        }
    }

    /// Makes real what was agreed on meanwhile.
    async fn follow(&mut self) {
        self.note_known();
        let followed = match self.broker.0.heart.session() {
            None if self.may_register() => self.register().await,
            None => Ok(()),
            Some(_) => self.make_real(None).await,
        };
        if let Err(error) = followed {
            tracing::warn!(%error, "the metadata is not real on this broker yet");
        }
        if self.broker.0.config.is_clustered()
            && self.controller.active() == Some(self.slot())
            && let Err(error) = self.create_own_topics().await
        {
            tracing::debug!(%error, "{OFFSETS_TOPIC} is not made yet");
        }
    }

    fn note_known(&mut self) {
        if self.broker.0.heart.session().is_none() {
            self.known = self.controller.image();
        }
    }

    /// A broker that is its region registers when the council has said what the region is to be.
    fn may_register(&self) -> bool {
        let image = self.controller.image();
        let is_ours = image.region().is_some_and(|region| region.name == self.broker.0.config.region);
        is_ours && self.broker.0.config.is_clustered()
    }

    /// What was agreed on is made real even where the rest was refused.
    async fn work(&mut self, job: Job) -> Result<Vec<Answer>, ControlError> {
        self.note_known();
        let (answers, jumps) = match job {
            Job::Assign(assignment) => (self.assign(&assignment).await.map(|()| Vec::new()), None),
            Job::Change { commands, jumps } => (self.propose(commands).await, jumps),
            Job::BeginSession(over) => (self.begin_session(over).await.map(|()| Vec::new()), None),
        };
        let made = self.make_real(jumps).await;
        answers.and_then(|answers| made.map(|()| answers))
    }

    async fn begin_session(&mut self, over: BrokerEpoch) -> Result<(), ControlError> {
        match self.broker.0.heart.session() {
            Some(current) if current.epoch > over => Ok(()),
            _ => self.register().await,
        }
    }

    async fn assign(&mut self, assignment: &Assignment) -> Result<(), ControlError> {
        self.found(assignment).await?;
        if self.broker.0.heart.session().is_none() {
            self.register().await?;
        }
        self.create_own_topics().await?;
        let (mut before, mut refused) = (Vec::new(), None);
        for _ in 0..ROUNDS_MAX {
            let commands = reconcile(&self.controller.image(), assignment, self.broker.0.config.broker_count());
            if commands.is_empty() {
                return self.check_brokers(assignment);
            }
            if commands == before {
                break;
            }
            // What cannot be made now, for example a name that is taken until a deletion is done, comes in a later round.
            refused = None;
            for command in &commands {
                refused = refused.or(self.propose_part(command).await?);
            }
            self.catch_up().await?;
            before = commands;
        }
        let reason = refused.map_or_else(|| "it needs more rounds".to_owned(), |refusal| refusal.to_string());
        Err(ControlError(format!("a part of the assignment cannot be made real: {reason}")))
    }

    /// Topics wait until there are brokers for all of their replicas.
    fn check_brokers(&self, assignment: &Assignment) -> Result<(), ControlError> {
        let image = self.controller.image();
        let is_missing = assignment.council_index >= image.council_index()
            && assignment.topics.iter().any(|topic| image.topic(topic.id).is_none());
        let (registered, wanted) = (image.brokers().count(), self.broker.0.config.broker_count());
        if is_missing && registered < wanted {
            return Err(ControlError(format!("topics wait for brokers: {registered} of {wanted} have registered")));
        }
        Ok(())
    }

    /// Waits until this broker has heard of what it had agreed on: the active controller may be another one.
    async fn catch_up(&self) -> Result<(), ControlError> {
        if self.broker.0.config.is_clustered() {
            self.controller.catch_up().await?;
        }
        Ok(())
    }

    /// Names the region, or refuses to work on what another one has left.
    async fn found(&self, assignment: &Assignment) -> Result<(), ControlError> {
        let (region, incarnation) = (assignment.region.clone(), assignment.incarnation);
        let image = self.controller.image();
        let is_known = image.region().is_some_and(|known| known.name == region && known.incarnation == incarnation);
        if !is_known {
            self.controller.propose(&Command::Found { region, incarnation }).await?;
            self.catch_up().await?;
        }
        Ok(())
    }

    /// Proposes a part of an assignment; gives why the metadata refuses it, or some of it.
    async fn propose_part(&self, command: &Command) -> Result<Option<Refusal>, ControlError> {
        match self.controller.propose(command).await {
            Ok(Answer::Started(started)) => Ok(started.into_iter().find_map(Result::err)),
            Ok(_) => Ok(None),
            Err(ChangeError::Refused(refusal)) => {
                tracing::debug!(%refusal, "a part of the assignment waits");
                Ok(Some(refusal))
            }
            Err(error @ (ChangeError::Quorum(_) | ChangeError::Behind(_))) => Err(error.into()),
        }
    }

    async fn propose(&self, commands: Vec<Command>) -> Result<Vec<Answer>, ControlError> {
        let mut answers = Vec::with_capacity(commands.len());
        for command in &commands {
            answers.push(self.controller.propose(command).await?);
        }
        self.catch_up().await?;
        Ok(answers)
    }

    /// Begins a session of this broker: what it led in an earlier one is over. It is let in once the metadata is real here.
    async fn register(&mut self) -> Result<(), ControlError> {
        let Listeners { clients, gateways, internal } = self.listeners;
        let command = Command::RegisterBroker {
            slot: self.slot(),
            incarnation: self.controller.incarnation(),
            addresses: Addresses {
                clients: clients.to_string(),
                gateways: gateways.to_string(),
                internal: internal.to_string(),
            },
            location: self.broker.0.config.location.clone(),
        };
        let Answer::Registered { session: epoch } = self.controller.propose(&command).await? else { return Ok(()) };
        self.catch_up().await?;
        let blocks = Blocks { controller: self.controller.clone(), slot: self.slot() };
        self.broker.0.producer_ids.take_from(Arc::new(blocks));
        self.broker.0.heart.set(Session { epoch, ready: false });
        if !self.broker.0.config.is_clustered() {
            let term = self.controller.leadership().borrow().term;
            self.controller.propose(&Command::Unfence { term, broker: self.slot(), session: epoch }).await?;
            return Ok(());
        }
        self.make_real(None).await?;
        self.broker.0.heart.set(Session { epoch, ready: true });
        Ok(())
    }

    async fn create_own_topics(&self) -> Result<(), ControlError> {
        let (image, wanted) = (self.controller.image(), self.broker.0.config.broker_count().min(OFFSETS_REPLICAS));
        if image.topic_named(OFFSETS_TOPIC).is_some() {
            return Ok(());
        }
        let id = TopicId(uuid::Uuid::from_u128(self.broker.0.entropy.next_u128()));
        let placed = Placement::of(&image, id, OFFSETS_REPLICAS, |known| !known.is_fenced());
        if placed.replicas() < wanted {
            return Ok(());
        }
        let topic = TopicDraft {
            id,
            name: TopicName::new(OFFSETS_TOPIC).expect("the name is a name"),
            group: None,
            config: BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]),
            state: TopicState::Live,
            epochs_above: None,
            placement: placed.partitions(0, OFFSETS_PARTITIONS),
        };
        self.controller.propose(&Command::CreateTopic { council_index: None, topic }).await?;
        if self.broker.0.config.is_clustered() {
            self.start_own_topics().await?;
        }
        Ok(())
    }

    /// No assignment asks for the leaders of the region's own topics.
    async fn start_own_topics(&self) -> Result<(), ControlError> {
        self.catch_up().await?;
        let image = self.controller.image();
        for (broker, known) in image.brokers() {
            let is_own = |start: &Start| image.topic(start.topic).is_some_and(|topic| topic.group.is_none());
            let starts: Vec<_> = image.starts_due(broker).into_iter().filter(is_own).collect();
            if !starts.is_empty() {
                self.controller.propose(&Command::StartLeaders { broker, session: known.session, starts }).await?;
            }
        }
        Ok(())
    }

    /// Makes the agreed image real on this broker's disk, and then tells everybody of it.
    async fn make_real(&mut self, jumps: Option<ProtectionGroup>) -> Result<(), ControlError> {
        let Some(session) = self.broker.0.heart.session() else { return Ok(()) };
        let (broker, before, image) = (self.broker.clone(), self.real.clone(), self.controller.image());
        if Arc::ptr_eq(&before, &image) && self.failed.is_empty() && jumps.is_none() {
            return Ok(());
        }
        let (real, failed) = (image.clone(), std::mem::take(&mut self.failed));
        let known = std::mem::take(&mut self.known);
        let making = move || {
            discard_gone(&broker, &known, &real);
            realise(&broker, &before, &real, session.epoch, jumps.as_ref(), failed)
        };
        let made = tokio::task::spawn_blocking(making).await;
        self.real = image.clone();
        self.broker.0.image.send_replace(image);
        self.broker.0.partitions.note_change();
        self.failed = made.map_err(|error| ControlError(error.to_string()))?;
        self.failed.first_error()
    }

    fn slot(&self) -> BrokerSlot {
        self.broker.0.config.slot
    }
}

/// Blocks of producer ids from the region's metadata.
struct Blocks {
    controller: Controller,
    slot: BrokerSlot,
}

impl ProducerIdBlocks for Blocks {
    fn reserve(&self) -> PortFuture<'_, Result<(ProducerId, i64), Unavailable>> {
        Box::pin(async move {
            let session = self.controller.image().broker(self.slot).map(|known| known.session);
            let session = session.ok_or_else(|| Unavailable("the broker is starting".to_owned()))?;
            let command = Command::ReserveProducerIds { broker: self.slot, session };
            match self.controller.propose(&command).await {
                Ok(Answer::ProducerIds { first, count }) => Ok((first, count)),
                Ok(other) => Err(Unavailable(format!("the metadata answered {other:?}"))),
                Err(error) => Err(Unavailable(error.to_string())),
            }
        })
    }
}
