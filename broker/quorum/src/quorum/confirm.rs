use super::{LEADER_RETRY, Shared};
use crate::transport::Kind;
use crate::{ConfirmError, NodeId, Quorum, StateMachine};
use bytes::Bytes;
use env::BootInstant;
use openraft::error::{CheckIsLeaderError, RaftError};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

/// This node led the quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// The term it leads in.
    pub term: u64,
    /// It led at this instant or later: taken before a majority was asked.
    pub at: BootInstant,
    /// Everything committed before the confirmation was asked for lies below this index of the log.
    pub(super) read_tail: u64,
}

/// Who waits for the next confirmation.
pub(crate) type Waiter = oneshot::Sender<Result<Confirmed, ConfirmError>>;

/// Confirms leadership, one round of messages for everybody who waits.
pub(super) async fn confirm(shared: Arc<Shared>, mut waiters: mpsc::Receiver<Waiter>) {
    while let Some(first) = waiters.recv().await {
        let mut all = vec![first];
        while let Ok(waiter) = waiters.try_recv() {
            all.push(waiter);
        }
        all.retain(|waiter| !waiter.is_closed());
        if all.is_empty() {
            continue;
        }
        let mut result = round(&shared).await;
        if result == Err(ConfirmError::NoQuorum) {
            // One lost message must not cost a region its lease.
            sleep(shared.config.timing.heartbeat / 3).await;
            result = round(&shared).await;
        }
        for waiter in all {
            _ = waiter.send(result.clone());
        }
    }
}

async fn round(shared: &Shared) -> Result<Confirmed, ConfirmError> {
    let at = shared.clock.boot();
    let term = shared.raft.metrics().borrow().current_term;
    shared.note_round(term);
    let (read, _) = shared.raft.get_read_log_id().await.map_err(|error| unconfirmed(shared, error))?;
    if shared.raft.metrics().borrow().current_term != term {
        return Err(ConfirmError::NotLeader { leader: shared.leader() });
    }
    Ok(Confirmed { term, at, read_tail: read.map_or(0, |id| id.index + 1) })
}

fn unconfirmed(shared: &Shared, error: RaftError<NodeId, CheckIsLeaderError<NodeId, crate::Member>>) -> ConfirmError {
    match error {
        RaftError::APIError(CheckIsLeaderError::ForwardToLeader(_)) => {
            ConfirmError::NotLeader { leader: shared.leader().filter(|leader| *leader != shared.config.id) }
        }
        RaftError::APIError(CheckIsLeaderError::QuorumNotEnough(_)) => ConfirmError::NoQuorum,
        RaftError::Fatal(error) => ConfirmError::Stopped(error.to_string()),
    }
}

async fn confirm_within(shared: &Shared, within: Duration) -> Result<Confirmed, ConfirmError> {
    if !shared.raft.metrics().borrow().state.is_leader() {
        return Err(ConfirmError::NotLeader { leader: shared.leader() });
    }
    let ended = || ConfirmError::Stopped("it was told to".into());
    let (reply, confirmed) = oneshot::channel();
    let wait = async {
        shared.confirmations.send(reply).await.map_err(|_| ended())?;
        confirmed.await.map_err(|_| ended())?
    };
    timeout(within, wait).await.unwrap_or(Err(ConfirmError::TimedOut { waited: within }))
}

/// Serves another node that wants to read what is committed: up to where it has to wait.
pub(super) async fn serve(shared: &Shared) -> Result<Bytes, String> {
    let confirmed = confirm_within(shared, shared.config.patience).await;
    let tail = confirmed.map(|confirmed| confirmed.read_tail).map_err(|error| error.to_string());
    tail.map(|tail| Bytes::copy_from_slice(&tail.to_le_bytes()))
}

async fn read_tail(shared: &Shared, within: Duration) -> Result<u64, ConfirmError> {
    match shared.leader() {
        None => Err(ConfirmError::NotLeader { leader: None }),
        Some(leader) if leader == shared.config.id => {
            confirm_within(shared, within).await.map(|confirmed| confirmed.read_tail)
        }
        Some(leader) => {
            let answer = shared.ask(leader, Kind::ReadIndex, Bytes::new(), within).await;
            let tail = answer.ok().and_then(|answer| answer.as_ref().try_into().ok());
            tail.map(u64::from_le_bytes).ok_or(ConfirmError::NotLeader { leader: None })
        }
    }
}

impl<S: StateMachine> Quorum<S> {
    /// Makes sure that this node leads the quorum, by asking a majority. Confirmations that are asked for together share
    /// one round of messages, so several per second are cheap.
    ///
    /// # Errors
    /// [`ConfirmError`] when it does not lead, or cannot know.
    pub async fn confirm_leadership(&self) -> Result<Confirmed, ConfirmError> {
        let shared = self.shared();
        confirm_within(shared, shared.config.patience).await
    }

    /// Waits until this node's state holds everything that was committed before the call, on whatever node, so that a
    /// read of it is linearizable.
    ///
    /// # Errors
    /// [`ConfirmError`] when no leader with a majority answers in time.
    pub async fn ensure_linearizable(&self) -> Result<(), ConfirmError> {
        let shared = self.shared();
        let (started, within) = (Instant::now(), shared.config.patience);
        loop {
            let left = within.saturating_sub(started.elapsed());
            match read_tail(shared, left).await {
                Ok(tail) => return wait_applied(shared, tail, left).await,
                Err(error @ ConfirmError::Stopped(_)) => return Err(error),
                Err(error) if left <= LEADER_RETRY => return Err(error),
                Err(_) => sleep(LEADER_RETRY).await,
            }
        }
    }
}

async fn wait_applied(shared: &Shared, tail: u64, within: Duration) -> Result<(), ConfirmError> {
    let mut applied = shared.applied.clone();
    let reached = applied.wait_for(|position| position.map_or(0, |position| position.index + 1) >= tail);
    match timeout(within, reached).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err(ConfirmError::Stopped("its state machine has ended".into())),
        Err(_) => Err(ConfirmError::TimedOut { waited: within }),
    }
}
