//! A running node of a quorum.

mod confirm;
mod election;
mod leadership;
mod members;
mod open;
mod predecessor;
mod progress;
mod propose;
mod serve;

pub use confirm::Confirmed;
pub use leadership::{Leadership, Tenure};
pub use predecessor::Predecessor;
pub use progress::{Progress, Replica};
pub use serve::Handler;

use crate::raft::Raft;
use crate::raft::voice::is_answered;
use crate::transport::{Kind, Lane, Peers};
use crate::{CallError, Config, Member, Membership, NodeId, Position, ProposeError, StartError, StateMachine};
use bytes::Bytes;
use env::Clock;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

/// How long to wait before asking again who leads.
const LEADER_RETRY: Duration = Duration::from_millis(20);

/// A node of a quorum that agrees on the commands of `S`. Clones are the same node; it ends with the last of them, or
/// when it is told to [`shutdown`](Self::shutdown).
pub struct Quorum<S: StateMachine> {
    node: Arc<Node>,
    of: PhantomData<fn() -> S>,
}

impl<S: StateMachine> Clone for Quorum<S> {
    fn clone(&self) -> Self {
        Self { node: Arc::clone(&self.node), of: PhantomData }
    }
}

/// What ends with the last handle.
struct Node {
    shared: Arc<Shared>,
    running: Mutex<open::Running>,
    address: Option<SocketAddr>,
}

/// What the tasks of a node and its callers have in common.
pub(crate) struct Shared {
    config: Config,
    clock: Arc<dyn Clock>,
    raft: Raft,
    peers: Arc<Peers>,
    proposals: mpsc::Sender<propose::Proposal>,
    confirmations: mpsc::Sender<confirm::Waiter>,
    applied: watch::Receiver<Option<Position>>,
    leadership: watch::Receiver<Leadership>,
    handler: OnceLock<Arc<dyn Handler>>,
    /// When a leader was heard of last; `None` where there has never been one.
    heard: Mutex<Option<Instant>>,
    followed: Mutex<predecessor::Followed>,
}

impl Shared {
    fn membership(&self) -> Membership {
        self.raft.metrics().borrow().membership_config.membership().into()
    }

    fn leader(&self) -> Option<NodeId> {
        self.leadership.borrow().leader
    }

    /// Whether this node leads and has heard from a majority lately.
    fn leads(&self) -> bool {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        metrics.state.is_leader() && is_answered(&metrics, &self.config.timing)
    }

    fn member(&self, id: NodeId) -> Option<Member> {
        self.raft.metrics().borrow().membership_config.membership().get_node(&id).cloned()
    }

    fn note_leader(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn heard(&self) -> Option<Instant> {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the consensus has stopped, if it has.
    fn failure(&self) -> Option<String> {
        self.raft.metrics().borrow().running_state.as_ref().err().map(ToString::to_string)
    }

    async fn ask(&self, id: NodeId, kind: Kind, request: Bytes, within: Duration) -> Result<Bytes, CallError> {
        let member = self.member(id).ok_or(CallError::Unknown(id))?;
        self.peers.ask((id, &member), Lane::Call, kind, request, within).await
    }
}

impl<S: StateMachine> Quorum<S> {
    /// Starts the node: it opens its directory, brings `machine` up to what is known to be committed, and listens.
    ///
    /// A node of a new cluster then waits for [`initialize`](Self::initialize), or to be added by the leader.
    ///
    /// # Errors
    /// [`StartError`] says what is in the way.
    pub async fn start(config: Config, machine: S) -> Result<Self, StartError> {
        let clock = Arc::new(env::real::SystemClock);
        let node = open::open(config, clock, machine).await?;
        Ok(Self { node: Arc::new(node), of: PhantomData })
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.node.shared
    }

    /// Answers the calls of other nodes by `handler` from now on. The first one stays.
    pub fn serve(&self, handler: Arc<dyn Handler>) {
        _ = self.shared().handler.set(handler);
    }

    /// Who this node is.
    pub fn id(&self) -> NodeId {
        self.shared().config.id
    }

    /// Where it listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.node.address
    }

    /// Who leads, as far as this node knows.
    pub fn leader(&self) -> Option<NodeId> {
        self.shared().leader()
    }

    /// Who leads, now and later, and since when this node does.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.shared().leadership.clone()
    }

    /// How far the state machine has come, now and later.
    pub fn applied(&self) -> watch::Receiver<Option<Position>> {
        self.shared().applied.clone()
    }

    /// The nodes of the quorum, as far as this node knows; none before it was initialized or added.
    pub fn membership(&self) -> Membership {
        self.shared().membership()
    }

    /// Proposes `command` and waits until it is carried out, for as long as the configuration says.
    ///
    /// Any node takes proposals; the leader gets them.
    ///
    /// # Errors
    /// [`ProposeError`] says whether anything has happened.
    pub async fn propose(&self, command: &S::Command) -> Result<S::Answer, ProposeError> {
        self.propose_within(command, self.shared().config.patience).await
    }

    /// Proposes `command` and waits until it is carried out, but no longer than `within`.
    ///
    /// # Errors
    /// [`ProposeError`] says whether anything has happened.
    pub async fn propose_within(&self, command: &S::Command, within: Duration) -> Result<S::Answer, ProposeError> {
        let bytes = serde_json::to_vec(command).map_err(|error| ProposeError::Unencodable(error.to_string()))?;
        let answer = propose::propose(self.shared(), bytes.into(), within).await?;
        serde_json::from_slice(&answer).map_err(|error| ProposeError::Unreadable(error.to_string()))
    }

    /// Calls the handler of node `id`, which may be this one.
    ///
    /// # Errors
    /// [`CallError`] says whether the call may have been served.
    pub async fn call(&self, id: NodeId, request: Bytes, within: Duration) -> Result<Bytes, CallError> {
        if id == self.id() {
            return serve::call_here(self.shared(), request, within).await;
        }
        self.shared().ask(id, Kind::Call, request, within).await
    }

    /// Calls the handler of the leader. It may have lost the leadership when the call arrives: handlers check.
    ///
    /// # Errors
    /// [`CallError`] says whether the call may have been served.
    pub async fn call_leader(&self, request: Bytes, within: Duration) -> Result<Bytes, CallError> {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.leader() {
                Some(leader) => return self.call(leader, request, left).await,
                None if left.is_zero() => return Err(CallError::NoLeader),
                None => sleep(LEADER_RETRY).await,
            }
        }
    }

    /// Takes a snapshot soon, and drops the log entries that it covers and that need not stay.
    ///
    /// # Errors
    /// Why the node has stopped.
    pub async fn compact(&self) -> Result<(), String> {
        self.shared().raft.trigger().snapshot().await.map_err(|error| error.to_string())
    }

    /// Waits until the node has stopped by itself, and says why: its disk or its state machine failed. The process
    /// should end then.
    pub async fn stopped(&self) -> String {
        let mut metrics = self.shared().raft.metrics();
        match metrics.wait_for(|metrics| metrics.running_state.is_err()).await {
            Ok(metrics) => metrics.running_state.as_ref().err().map(ToString::to_string).unwrap_or_default(),
            Err(_) => "the consensus has ended".into(),
        }
    }

    /// Stops the node and waits until its files are closed, so that it can be started again.
    pub async fn shutdown(&self) {
        _ = self.shared().raft.shutdown().await;
        let running = std::mem::take(&mut *self.node.running.lock().unwrap_or_else(PoisonError::into_inner));
        running.end().await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let raft = self.shared.raft.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { raft.shutdown().await });
        }
    }
}
