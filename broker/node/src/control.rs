//! The control side of a broker: what the council assigns becomes metadata, and metadata becomes partitions.
//!
//! One task makes all changes, one after the other: it proposes them to the region's quorum, and then makes real what the
//! quorum agreed on. Whoever asks for a change waits until both are done.

mod gates;
mod realise;

pub(crate) use gates::Gates;

use crate::controller::{ChangeError, Controller};
use crate::producer_ids::{ProducerIdBlocks, Unavailable};
use crate::{Broker, Listeners};
use broker_core::metadata::{Addresses, Answer, BrokerEpoch, Command, Image, Refusal, TopicDraft, place, reconcile};
use env::PortFuture;
use model::{Assignment, BrokerSlot, Incarnation, ProducerId, ProtectionGroup, TopicId, TopicName, TopicState};
use realise::realise;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// The offsets of consumer groups are kept here.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// How many partitions that topic has.
pub(crate) const OFFSETS_PARTITIONS: i32 = 4;
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
        let worker = Worker { broker: broker.clone(), controller: controller.clone(), listeners, session: None };
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
    session: Option<BrokerEpoch>,
}

impl Worker {
    async fn run(mut self, mut asked: mpsc::Receiver<Asked>) {
        let mut stop = self.broker.0.stop.subscribe();
        loop {
            let (job, reply) = tokio::select! {
                job = asked.recv() => match job {
                    Some(job) => job,
                    None => return,
                },
                _ = stop.wait_for(|stop| *stop) => return,
            };
            // Whoever asked may have given up; the change stands all the same.
            let _ = reply.send(self.work(job).await);
        }
    }

    /// What was agreed on is made real even where the rest was refused.
    async fn work(&mut self, job: Job) -> Result<Vec<Answer>, ControlError> {
        let before = self.controller.image();
        let (answers, jumps) = match job {
            Job::Assign(assignment) => (self.assign(&assignment).await.map(|()| Vec::new()), None),
            Job::Change { commands, jumps } => (self.propose(commands).await, jumps),
        };
        let made = self.make_real(before, jumps).await;
        answers.and_then(|answers| made.map(|()| answers))
    }

    async fn assign(&mut self, assignment: &Assignment) -> Result<(), ControlError> {
        self.found(assignment).await?;
        self.register().await?;
        self.create_own_topics().await?;
        let (mut before, mut refused) = (Vec::new(), None);
        for _ in 0..ROUNDS_MAX {
            let commands = reconcile(&self.controller.image(), assignment);
            if commands.is_empty() {
                return Ok(());
            }
            if commands == before {
                break;
            }
            // What cannot be made now, for example a name that is taken until a deletion is done, comes in a later round.
            refused = None;
            for command in &commands {
                refused = refused.or(self.propose_part(command).await?);
            }
            before = commands;
        }
        let reason = refused.map_or_else(|| "it needs more rounds".to_owned(), |refusal| refusal.to_string());
        Err(ControlError(format!("a part of the assignment cannot be made real: {reason}")))
    }

    /// Names the region, or refuses to work on what another one has left.
    async fn found(&self, assignment: &Assignment) -> Result<(), ControlError> {
        let (region, incarnation) = (assignment.region.clone(), assignment.incarnation);
        let image = self.controller.image();
        let is_known = image.region().is_some_and(|known| known.name == region && known.incarnation == incarnation);
        if !is_known {
            self.controller.propose(&Command::Found { region, incarnation }).await?;
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
            Err(error @ ChangeError::Quorum(_)) => Err(error.into()),
        }
    }

    async fn propose(&self, commands: Vec<Command>) -> Result<Vec<Answer>, ControlError> {
        let mut answers = Vec::with_capacity(commands.len());
        for command in &commands {
            answers.push(self.controller.propose(command).await?);
        }
        Ok(answers)
    }

    /// Begins this broker's session: leaderships of an earlier one are over.
    async fn register(&mut self) -> Result<(), ControlError> {
        if self.session.is_some() {
            return Ok(());
        }
        let Listeners { clients, gateways, internal } = self.listeners;
        let command = Command::RegisterBroker {
            slot: self.slot(),
            incarnation: Incarnation(1),
            addresses: Addresses {
                clients: clients.to_string(),
                gateways: gateways.to_string(),
                internal: internal.to_string(),
            },
        };
        if let Answer::Registered { session } = self.controller.propose(&command).await? {
            self.session = Some(session);
            let blocks = Blocks { controller: self.controller.clone(), slot: self.slot(), session };
            self.broker.0.producer_ids.take_from(Arc::new(blocks));
        }
        Ok(())
    }

    async fn create_own_topics(&self) -> Result<(), ControlError> {
        if self.controller.image().topic_named(OFFSETS_TOPIC).is_some() {
            return Ok(());
        }
        let topic = TopicDraft {
            id: TopicId(uuid::Uuid::from_u128(self.broker.0.entropy.next_u128())),
            name: TopicName::new(OFFSETS_TOPIC).expect("the name is a name"),
            group: None,
            config: BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]),
            state: TopicState::Live,
            epochs_above: None,
            placement: place(&[self.slot()], 1, 0, OFFSETS_PARTITIONS),
        };
        self.controller.propose(&Command::CreateTopic { council_index: None, topic }).await?;
        Ok(())
    }

    /// Makes the agreed image, which was `before`, real on this broker's disk, and then tells everybody of it.
    async fn make_real(&self, before: Arc<Image>, jumps: Option<ProtectionGroup>) -> Result<(), ControlError> {
        let Some(session) = self.session else { return Ok(()) };
        let (broker, image) = (self.broker.clone(), self.controller.image());
        let real = image.clone();
        let made = tokio::task::spawn_blocking(move || realise(&broker, &before, &real, session, jumps.as_ref())).await;
        self.broker.0.image.send_replace(image);
        self.broker.0.partitions.note_change();
        made.map_err(|error| ControlError(error.to_string()))?
    }

    fn slot(&self) -> BrokerSlot {
        self.broker.0.config.slot
    }
}

/// Blocks of producer ids from the region's metadata.
struct Blocks {
    controller: Controller,
    slot: BrokerSlot,
    session: BrokerEpoch,
}

impl ProducerIdBlocks for Blocks {
    fn reserve(&self) -> PortFuture<'_, Result<(ProducerId, i64), Unavailable>> {
        Box::pin(async move {
            let command = Command::ReserveProducerIds { broker: self.slot, session: self.session };
            match self.controller.propose(&command).await {
                Ok(Answer::ProducerIds { first, count }) => Ok((first, count)),
                Ok(other) => Err(Unavailable(format!("the metadata answered {other:?}"))),
                Err(error) => Err(Unavailable(error.to_string())),
            }
        })
    }
}
