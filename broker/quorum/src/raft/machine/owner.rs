use super::super::{Answers, Commands, RaftEntry};
use super::applied_after;
use crate::{Applied, Batch, Entry, Position, StateError, StateMachine};
use bytes::Bytes;
use openraft::EntryPayload;
use std::path::PathBuf;
use tokio::sync::{mpsc, oneshot, watch};

type Reply<T> = oneshot::Sender<Result<T, String>>;

/// What the owner of a state machine is asked to do.
pub(crate) enum Order {
    Applied(Reply<Applied>),
    Apply(Vec<RaftEntry>, Reply<Vec<Answers>>),
    Snapshot(PathBuf, Reply<Applied>),
    Install(PathBuf, Applied, Reply<()>),
}

/// How many orders may wait.
const ORDERS_MAX: usize = 16;

/// Makes the owner of `machine`, and the way to it.
pub(crate) async fn start<S: StateMachine>(
    mut machine: S,
    progress: watch::Sender<Option<Position>>,
) -> Result<(mpsc::Sender<Order>, Owner<S>), StateError> {
    let applied = machine.applied().await?;
    progress.send_replace(applied.position);
    let (orders, inbox) = mpsc::channel(ORDERS_MAX);
    Ok((orders, Owner { machine, applied, progress, inbox, failed: None }))
}

/// Owns a state machine.
pub(crate) struct Owner<S> {
    machine: S,
    inbox: mpsc::Receiver<Order>,
    applied: Applied,
    progress: watch::Sender<Option<Position>>,
    /// Why the state can no longer be trusted.
    failed: Option<String>,
}

impl<S: StateMachine> Owner<S> {
    /// Follows orders until nobody can give any.
    pub(crate) async fn run(mut self) {
        while let Some(order) = self.inbox.recv().await {
            self.follow(order).await;
        }
    }

    async fn follow(&mut self, order: Order) {
        match order {
            Order::Applied(reply) => _ = reply.send(self.check().map(|()| self.applied.clone())),
            Order::Apply(entries, reply) => _ = reply.send(self.apply(entries).await),
            Order::Snapshot(image, reply) => _ = reply.send(self.snapshot(image).await),
            Order::Install(image, applied, reply) => _ = reply.send(self.install(image, applied).await),
        }
    }

    fn check(&self) -> Result<(), String> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    fn fail<T>(&mut self, why: String) -> Result<T, String> {
        tracing::error!(%why, "the state machine has failed");
        self.failed = Some(why.clone());
        Err(why)
    }

    async fn apply(&mut self, entries: Vec<RaftEntry>) -> Result<Vec<Answers>, String> {
        self.check()?;
        let applied = applied_after(self.applied.clone(), &entries);
        let (commands, counts) = match decode::<S>(entries) {
            Ok(decoded) => decoded,
            Err(why) => return self.fail(why),
        };
        let expected = commands.len();
        match self.machine.apply(Batch { entries: commands, applied: applied.clone() }).await {
            Ok(answers) if answers.len() == expected => {
                self.applied = applied;
                self.progress.send_replace(self.applied.position);
                encode(answers, &counts).or_else(|why| self.fail(why))
            }
            Ok(answers) => self.fail(format!("{expected} commands got {} answers", answers.len())),
            Err(error) => self.fail(error.chain()),
        }
    }

    async fn snapshot(&mut self, image: PathBuf) -> Result<Applied, String> {
        self.check()?;
        // A snapshot that cannot be written leaves the state as it is; the consensus stops all the same.
        self.machine.snapshot(&image).await.map_err(|error| error.chain())?;
        Ok(self.applied.clone())
    }

    async fn install(&mut self, image: PathBuf, applied: Applied) -> Result<(), String> {
        self.check()?;
        match self.machine.install(&image, applied.clone()).await {
            Ok(()) => {
                self.applied = applied;
                self.progress.send_replace(self.applied.position);
                Ok(())
            }
            Err(error) => self.fail(error.chain()),
        }
    }
}

/// Commands, and how many of them each log entry has.
type Decoded<C> = (Vec<Entry<C>>, Vec<usize>);

fn decode<S: StateMachine>(entries: Vec<RaftEntry>) -> Result<Decoded<S::Command>, String> {
    let mut commands = Vec::new();
    let mut counts = Vec::with_capacity(entries.len());
    for entry in entries {
        let position = Position::from(entry.log_id);
        let EntryPayload::Normal(Commands(list)) = entry.payload else {
            counts.push(0);
            continue;
        };
        counts.push(list.len());
        for bytes in list {
            let command = serde_json::from_slice(&bytes).map_err(|error| unreadable(position, &error))?;
            commands.push(Entry { position, command });
        }
    }
    Ok((commands, counts))
}

fn unreadable(position: Position, error: &serde_json::Error) -> String {
    format!("the command at index {} cannot be read by this version: {error}", position.index)
}

/// The answers, as many per entry as `counts` says.
fn encode<A: serde::Serialize>(answers: Vec<A>, counts: &[usize]) -> Result<Vec<Answers>, String> {
    let mut answers = answers.into_iter();
    let encode = |answer: A| serde_json::to_vec(&answer).map(Bytes::from).map_err(|error| error.to_string());
    counts
        .iter()
        .map(|count| answers.by_ref().take(*count).map(encode).collect::<Result<_, _>>().map(Answers))
        .collect()
}
