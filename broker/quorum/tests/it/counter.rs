//! A state machine in memory, and how the tests start nodes.

use broker_quorum::{Applied, Batch, Config, Member, NodeId, Quorum, StateError, StateMachine};
use model::{BrokerSlot, Incarnation};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What the machine holds: the sum, and how many batches it came in.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct State {
    pub(crate) sum: u64,
    pub(crate) commands: u64,
    pub(crate) ballast: String,
    applied: Applied,
}

/// A machine that adds; its state is forgotten with the process, as in a region's metadata quorum.
#[derive(Clone, Default)]
pub(crate) struct Counter {
    pub(crate) state: Arc<Mutex<State>>,
    pub(crate) batches: Arc<Mutex<u64>>,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) enum Command {
    Add(u64),
    Ballast(usize),
    Text(String),
    Fail,
}

impl Counter {
    pub(crate) fn sum(&self) -> u64 {
        self.state.lock().unwrap().sum
    }
}

impl StateMachine for Counter {
    type Command = Command;
    type Answer = u64;

    async fn applied(&mut self) -> Result<Applied, StateError> {
        Ok(self.state.lock().unwrap().applied.clone())
    }

    async fn apply(&mut self, batch: Batch<Command>) -> Result<Vec<u64>, StateError> {
        if batch.entries.iter().any(|entry| matches!(entry.command, Command::Fail)) {
            return Err(StateError::because("told to fail"));
        }
        let mut state = self.state.lock().unwrap();
        *self.batches.lock().unwrap() += 1;
        state.applied = batch.applied;
        let answer = |entry: broker_quorum::Entry<Command>| {
            state.commands += 1;
            match entry.command {
                Command::Add(number) => state.sum += number,
                Command::Ballast(bytes) => state.ballast = "x".repeat(bytes),
                Command::Text(_) | Command::Fail => {}
            }
            state.sum
        };
        Ok(batch.entries.into_iter().map(answer).collect())
    }

    async fn snapshot(&mut self, image: &Path) -> Result<(), StateError> {
        let (state, image) = (self.state.lock().unwrap().clone(), image.to_owned());
        // Long work stays off the threads that carry heartbeats.
        let write = move || std::fs::write(image, serde_json::to_vec(&state)?);
        let written = tokio::task::spawn_blocking(write).await.map_err(std::io::Error::other).flatten();
        written.map_err(|error| StateError::new("write the image", error))
    }

    async fn install(&mut self, image: &Path, applied: Applied) -> Result<(), StateError> {
        let image = image.to_owned();
        let read = move || std::io::Result::Ok(serde_json::from_slice(&std::fs::read(image)?)?);
        let read = tokio::task::spawn_blocking(read).await.map_err(std::io::Error::other).flatten();
        let mut state: State = read.map_err(|error| StateError::new("read the image", error))?;
        state.applied = applied;
        *self.state.lock().unwrap() = state;
        Ok(())
    }
}

pub(crate) fn node_id(slot: u16, incarnation: u16) -> NodeId {
    NodeId::of(BrokerSlot(slot), Incarnation(incarnation))
}

pub(crate) fn alone(dir: &Path) -> Config {
    Config { is_new: true, ..Config::new(node_id(0, 1), "test", dir) }
}

/// Starts a quorum of one and waits until it leads.
pub(crate) async fn start_alone(config: Config, machine: Counter) -> Quorum<Counter> {
    let members = BTreeMap::from([(config.id, Member::new("alone", ""))]);
    let quorum = Quorum::start(config, machine).await.unwrap();
    quorum.initialize(members).await.unwrap();
    until("it leads", || quorum.leadership().borrow().tenure.is_some()).await;
    quorum
}

/// Waits for `condition`, and panics with `what` when it takes too long.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
