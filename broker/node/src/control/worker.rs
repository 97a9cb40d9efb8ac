//! The task that makes all changes of this broker.

use super::realise::{Failed, discard_gone, realise};
use super::{Asked, ControlError, Job, OFFSETS_TOPIC};
use crate::controller::Controller;
use crate::{Broker, Listeners};
use broker_core::metadata::{Answer, Choice, Command, Image};
use model::BrokerSlot;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often what could not be made real is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// How many leaders are handed over at once: for so many there is none for a moment.
const MOVES_MAX: usize = 500;

/// What the control task does next.
enum Next {
    Work(Job, oneshot::Sender<Result<Vec<Answer>, ControlError>>),
    Follow,
    HandOver,
}

fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// The control task's state.
pub(super) struct Worker {
    pub(super) broker: Broker,
    pub(super) controller: Controller,
    pub(super) listeners: Listeners,
    /// What was made real last.
    real: Arc<Image>,
    /// The part of it that could not be.
    failed: Failed,
    /// What was looked through last for leaders that have to go.
    looked: Arc<Image>,
    /// What was known before the first session: topics of it that are gone by then left their logs here.
    known: Arc<Image>,
}

impl Worker {
    /// The one of `broker`, to which nothing is real yet.
    pub(super) fn new(broker: Broker, controller: Controller, listeners: Listeners) -> Self {
        let (real, looked, known) = (Arc::default(), Arc::default(), Arc::default());
        Self { broker, controller, listeners, real, failed: Failed::default(), looked, known }
    }

    /// Works until the broker stops.
    pub(super) async fn run(mut self, mut asked: mpsc::Receiver<Asked>) {
        let (mut stop, mut images) = (self.broker.0.stop.subscribe(), self.controller.watch());
        let mut retries = every(RETRY);
        let mut rebalances = every(self.broker.0.config.rebalance_every);
        loop {
            let next = tokio::select! {
                job = asked.recv() => match job {
                    Some((job, reply)) => Next::Work(job, reply),
                    None => return,
                },
                changed = images.changed() => match changed {
                    Ok(()) => Next::Follow,
                    Err(_) => return,
                },
                _ = retries.tick(), if !self.failed.is_empty() => Next::Follow,
                _ = rebalances.tick(), if self.broker.0.config.is_clustered() => Next::HandOver,
                () = crate::listener::stopped(&mut stop) => return,
            };
            match next {
                // Whoever asked may have given up; the change stands all the same.
                Next::Work(job, reply) => _ = reply.send(self.work(job).await),
                Next::Follow => self.follow().await,
                Next::HandOver => {
                    let moves = self.controller.image().leads_for_others(self.slot());
                    self.hand_over(moves).await;
                }
            }
            let goes = self.leads_until_moved();
            self.hand_over(goes).await;
        }
    }

    /// What this broker leads of the partitions that have changed and wait only for that to move on; all that others can
    /// lead, if it is to be emptied.
    fn leads_until_moved(&mut self) -> Vec<Choice> {
        let before = std::mem::replace(&mut self.looked, self.real.clone());
        if Arc::ptr_eq(&before, &self.real) {
            return Vec::new();
        }
        if self.real.is_draining(self.slot()) {
            return self.real.leads_for_others(self.slot());
        }
        self.real.leads_until_moved(self.slot(), self.real.changes_since(&before).partitions)
    }

    /// Makes real what was agreed on meanwhile.
    async fn follow(&mut self) {
        self.note_known();
        let followed = match self.broker.0.heart.session() {
            None if self.may_register() => self.register().await,
            None => Ok(()),
            Some(_) => self.make_real().await,
        };
        if let Err(error) = followed {
            tracing::warn!(%error, "the metadata is not real on this broker yet");
        }
        if self.broker.0.config.is_clustered()
            && self.controller.active() == Some(self.slot())
            && let Err(error) = self.create_own_topics(false).await
        {
            tracing::debug!(%error, "{OFFSETS_TOPIC} is not made yet");
        }
    }

    /// Hands over what this broker leads in the place of a preferred leader that is back. It stops to lead first: so
    /// nothing is acknowledged under its epoch once the other one leads.
    async fn hand_over(&mut self, mut moves: Vec<Choice>) {
        let Some(session) = self.broker.0.heart.session().filter(|session| session.ready) else { return };
        let image = self.controller.image();
        moves.retain(|due| image.leads_for_others_in(self.slot(), due.topic, due.partition).as_ref() == Some(due));
        moves.truncate(MOVES_MAX);
        if moves.is_empty() {
            return;
        }
        let held = self.broker.0.partitions.held();
        let led = moves.iter().filter_map(|moved| held.partition(moved.topic, moved.partition));
        led.for_each(|partition| partition.resign());
        self.failed.look_again(moves.iter().map(|moved| (moved.topic, moved.partition)));
        let command = Command::MoveLeaders { broker: self.slot(), session: session.epoch, moves };
        match self.propose(vec![command]).await {
            Ok(_) => tracing::info!("leaders were handed over"),
            Err(error) => tracing::warn!(%error, "leaders were not handed over"),
        }
        self.follow().await;
    }

    fn note_known(&mut self) {
        if self.broker.0.heart.session().is_none() {
            self.known = self.controller.image();
        }
    }

    /// What was agreed on is made real even where the rest was refused.
    async fn work(&mut self, job: Job) -> Result<Vec<Answer>, ControlError> {
        self.note_known();
        let answers = match job {
            Job::Assign(assignment) => self.assign(&assignment).await.map(|()| Vec::new()),
            Job::Change(commands) => self.propose(commands).await,
            Job::HandOver(moves) => {
                // Whoever asks may know of more than this broker.
                let caught_up = self.catch_up().await;
                self.hand_over(moves).await;
                caught_up.map(|()| Vec::new())
            }
            Job::BeginSession(over) => self.begin_session(over).await.map(|()| Vec::new()),
        };
        let made = self.make_real().await;
        answers.and_then(|answers| made.map(|()| answers))
    }

    /// Waits until this broker has heard of what it had agreed on: the active controller may be another one.
    pub(super) async fn catch_up(&self) -> Result<(), ControlError> {
        if self.broker.0.config.is_clustered() {
            self.controller.catch_up().await?;
        }
        Ok(())
    }

    pub(super) async fn propose(&self, commands: Vec<Command>) -> Result<Vec<Answer>, ControlError> {
        let mut answers = Vec::with_capacity(commands.len());
        for command in &commands {
            answers.push(self.controller.propose(command).await?);
        }
        self.catch_up().await?;
        Ok(answers)
    }

    /// Makes the agreed image real on this broker's disk, and then tells everybody of it.
    pub(super) async fn make_real(&mut self) -> Result<(), ControlError> {
        let Some(session) = self.broker.0.heart.session() else { return Ok(()) };
        let (broker, before, image) = (self.broker.clone(), self.real.clone(), self.controller.image());
        if Arc::ptr_eq(&before, &image) && self.failed.is_empty() {
            return Ok(());
        }
        let (real, failed) = (image.clone(), std::mem::take(&mut self.failed));
        let known = std::mem::take(&mut self.known);
        let making = move || {
            discard_gone(&broker, &known, &real);
            realise(&broker, &before, &real, session.epoch, failed)
        };
        let made = tokio::task::spawn_blocking(making).await;
        self.real = image.clone();
        self.broker.note_admission(&image);
        self.broker.0.image.send_replace(image);
        self.broker.0.partitions.note_change();
        self.failed = made.map_err(|error| ControlError(error.to_string()))?;
        self.failed.first_error()
    }

    pub(super) fn slot(&self) -> BrokerSlot {
        self.broker.0.config.slot
    }
}
