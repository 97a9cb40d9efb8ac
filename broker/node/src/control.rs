//! The control side of a broker: what the council assigns becomes metadata, and metadata becomes partitions.
//!
//! One task makes all changes of this broker, one after the other: it proposes them to the region's quorum, and then makes
//! real what the quorum agreed on. Whoever asks for a change waits until both are done. What other brokers have agreed on
//! is made real as it comes.

mod assign;
mod gates;
mod realise;
mod session;
mod worker;

pub(crate) use gates::Gates;

use crate::controller::{ChangeError, Controller};
use crate::{Broker, Listeners};
use broker_core::metadata::{Answer, BrokerEpoch, Choice, Command};
use model::Assignment;
use tokio::sync::{mpsc, oneshot};
use worker::Worker;

/// The offsets of consumer groups are kept here.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// What the region found in conflict is kept here, by every region for itself.
pub(crate) const CONFLICTS_TOPIC: &str = "__farshore_conflicts";
/// How many partitions that topic has.
pub(crate) const OFFSETS_PARTITIONS: i32 = 50;

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
    /// Propose these and make them real.
    Change(Vec<Command>),
    /// Hand these over, as far as this broker leads them.
    HandOver(Vec<Choice>),
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
        let worker = Worker::new(broker.clone(), controller.clone(), listeners);
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
        self.ask(Job::Change(commands)).await
    }

    /// Makes everything real here that the region has agreed on before the call.
    ///
    /// # Errors
    /// When it is not known whether this is all, or something cannot be made real.
    pub(crate) async fn catch_up(&self) -> Result<(), ControlError> {
        self.change(Vec::new()).await.map(drop)
    }

    /// Hands `moves` over, as far as this broker leads them; returns when that is real.
    ///
    /// # Errors
    /// When it cannot be agreed on now.
    pub(crate) async fn hand_over(&self, moves: Vec<Choice>) -> Result<(), ControlError> {
        self.ask(Job::HandOver(moves)).await.map(drop)
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
