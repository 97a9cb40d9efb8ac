//! One run: persist, do, persist, until it has ended.

use super::Executor;
use super::effects::Failure;
use super::failpoint::{FINISH, Point};
use crate::council::CouncilError;
use catalog::command::AppendRunEvent;
use catalog::{CatalogError, Refusal};
use dr_planner::run::{Command, Event, IllegalTransition, Machine, Outcome, Output};
use model::RunId;
use std::time::Duration;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

/// How long to wait before an event is proposed again that the council did not take.
const APPEND_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// How often events written by others, for example a cancellation, are looked for.
const NEWS_INTERVAL: Duration = Duration::from_millis(200);
/// The shortest sleep.
const REST_MIN: Duration = Duration::from_millis(10);
/// The longest sleep while nothing is due.
const IDLE_MAX: Duration = Duration::from_secs(3600);

/// Why the task of a run ends though the run has not.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stopped {
    #[error("its events cannot be read: {0}")]
    Catalog(#[from] CatalogError),
    #[error("{0}")]
    Illegal(#[from] IllegalTransition),
    #[error("there is no such run")]
    Unknown,
    #[error("another executor wrote event {seq}: {event}")]
    Other { seq: u64, event: &'static str },
    #[error("{0}")]
    Refused(Refusal),
}

/// A run while this executor is at work on it.
struct Running<'a> {
    executor: &'a Executor,
    machine: Machine,
    /// How many events are stored and taken note of.
    seq: u64,
    effects: JoinSet<(Command, Result<Output, Failure>)>,
    /// When to look for events of others, however often something is due here.
    news: Interval,
}

impl Executor {
    /// Carries `run` on until it has ended.
    pub(super) async fn execute(&self, run: &RunId) -> Result<(), Stopped> {
        let stored = self.council.reader().run(run).await?.ok_or(Stopped::Unknown)?;
        let seq = stored.entries.len() as u64;
        let machine = Machine::from_events(stored.plan, &stored.entries)?;
        let mut news = interval(NEWS_INTERVAL);
        news.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut running = Running { executor: self, machine, seq, effects: JoinSet::new(), news };
        tracing::info!(%run, events = seq, state = ?running.machine.state(), "carrying on a run");
        while !running.machine.state().is_terminal() {
            match running.machine.conclusion() {
                Some(outcome) => running.finish(outcome).await?,
                None => running.advance().await?,
            }
        }
        Ok(())
    }
}

impl Running<'_> {
    /// Starts what is due and waits for something to happen.
    async fn advance(&mut self) -> Result<(), Stopped> {
        for command in self.machine.next_commands(self.executor.ports.clock.now()) {
            self.start(command).await?;
        }
        let rest = self.rest();
        tokio::select! {
            Some(done) = self.effects.join_next() => self.conclude(done).await,
            () = sleep(rest) => Ok(()),
            _ = self.news.tick() => self.read_news().await,
        }
    }

    fn rest(&self) -> Duration {
        let now = self.executor.ports.clock.now();
        let due = self.machine.next_deadline().map(|at| at.since(now) + Duration::from_millis(1));
        due.unwrap_or(IDLE_MAX).clamp(REST_MIN, IDLE_MAX)
    }

    /// The start is in the council's log before anything is done.
    async fn start(&mut self, command: Command) -> Result<(), Stopped> {
        let started = command.started();
        // An event of somebody else, found while another command was started, may have made this one void.
        if self.machine.check(&started).is_err() {
            return Ok(());
        }
        self.reach(command.token.as_str(), Point::BeforeStarted).await;
        if !self.append(started).await? {
            return Ok(());
        }
        self.reach(command.token.as_str(), Point::AfterStarted).await;
        let executor = self.executor.clone();
        self.effects.spawn(async move {
            let done = executor.carry_out(&command).await;
            (command, done)
        });
        Ok(())
    }

    async fn conclude(&mut self, done: Result<(Command, Result<Output, Failure>), JoinError>) -> Result<(), Stopped> {
        let (command, done) = match done {
            Ok(done) => done,
            // It has no outcome then, and is done again by the task that follows this one.
            Err(died) => std::panic::resume_unwind(died.into_panic()),
        };
        // Who failed may have had none.
        if done.is_ok() {
            self.reach(command.token.as_str(), Point::AfterEffect).await;
        }
        let outcome = match done {
            Ok(output) => self.machine.verify(&command, output),
            Err(failure) => command.failed(failure.error, failure.retryable, failure.happened),
        };
        if let Event::StepFailed { step, error, .. } | Event::UndoFailed { step, error, .. } = &outcome {
            tracing::warn!(run = %self.machine.run(), %step, attempt = command.attempt, error, "an attempt failed");
        }
        self.append(outcome).await?;
        self.reach(command.token.as_str(), Point::AfterOutcome).await;
        Ok(())
    }

    async fn finish(&mut self, outcome: Outcome) -> Result<(), Stopped> {
        self.reach(FINISH, Point::BeforeStarted).await;
        if self.append(Event::Finished { outcome }).await? {
            match outcome {
                Outcome::Stuck => tracing::error!(run = %self.machine.run(), "a run is stuck: a person has to look"),
                outcome => tracing::info!(run = %self.machine.run(), %outcome, "a run has ended"),
            }
            self.reach(FINISH, Point::AfterOutcome).await;
        }
        Ok(())
    }

    async fn reach(&self, step: &str, point: Point) {
        self.executor.failpoints.reach(step, point).await;
    }

    /// Persists `event` and takes note of it. False when an event of somebody else came before it and made it void.
    async fn append(&mut self, event: Event) -> Result<bool, Stopped> {
        loop {
            if self.machine.check(&event).is_err() {
                return Ok(false);
            }
            let append = AppendRunEvent { run: self.machine.run().clone(), seq: self.seq, event: event.clone() };
            match self.executor.council.propose(&self.executor.by(), append).await {
                Ok(_) => {
                    self.machine.on_event(self.executor.ports.clock.now(), event)?;
                    self.seq += 1;
                    return Ok(true);
                }
                Err(CouncilError::Refused(Refusal::OtherEvent { .. })) => {
                    let known = self.seq;
                    self.read_news().await?;
                    if self.seq == known {
                        // It is not applied here yet.
                        sleep(APPEND_AGAIN_AFTER).await;
                    }
                }
                Err(CouncilError::Refused(refusal)) => return Err(Stopped::Refused(refusal)),
                Err(error) => {
                    tracing::debug!(run = %self.machine.run(), %error, "an event is not stored yet");
                    sleep(APPEND_AGAIN_AFTER).await;
                }
            }
        }
    }

    /// Takes note of events that people wrote. An executor's event means that there is another one.
    async fn read_news(&mut self) -> Result<(), Stopped> {
        let news = self.executor.council.reader().run_events(self.machine.run(), self.seq, None).await?;
        for stored in news {
            if !is_from_outside(&stored.event) {
                return Err(Stopped::Other { seq: stored.seq, event: stored.event.name() });
            }
            self.machine.on_event(stored.at, stored.event)?;
            self.seq = stored.seq + 1;
        }
        Ok(())
    }
}

fn is_from_outside(event: &Event) -> bool {
    matches!(event, Event::Paused { .. } | Event::Resumed | Event::CancelRequested { .. })
}
