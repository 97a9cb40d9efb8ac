use super::{Shared, confirm, election, predecessor, propose};
use crate::raft::network::{decode_append, decode_snapshot};
use crate::transport::{Kind, Service};
use crate::{CallError, NodeId};
use bytes::Bytes;
use env::PortFuture;
use openraft::raft::AppendEntriesResponse;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// What the owner of a quorum does for the owners of its other nodes.
pub trait Handler: Send + Sync + 'static {
    /// Answers a call. `from` is the calling node, as it says; `None` for one that has no id yet and asks to be let in.
    fn call(&self, from: Option<NodeId>, request: Bytes) -> PortFuture<'_, Bytes>;
}

/// Serves the other nodes.
pub(super) struct Desk {
    shared: Arc<Shared>,
}

/// Calls the handler of this very node.
pub(super) async fn call_here(shared: &Shared, request: Bytes, within: Duration) -> Result<Bytes, CallError> {
    let address = || shared.config.id.to_string();
    let Some(handler) = shared.handler.get() else {
        return Err(CallError::Failed { address: address(), why: NO_HANDLER.into() });
    };
    let call = handler.call(Some(shared.config.id), request);
    timeout(within, call).await.map_err(|_| CallError::TimedOut { address: address(), waited: within })
}

const NO_HANDLER: &str = "it is still starting; try again";

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Desk {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    async fn vote(&self, request: &[u8]) -> Result<Bytes, String> {
        let request = serde_json::from_slice(request).map_err(text)?;
        let answer = self.shared.raft.vote(request).await;
        if answer.as_ref().is_ok_and(|answer| answer.vote_granted) {
            // Whom this node voted for gets the time to win.
            self.shared.note_leader();
        }
        encode(&answer)
    }

    async fn append(&self, request: Bytes) -> Result<Bytes, String> {
        let request = decode_append(request).map_err(text)?;
        self.shared.note_word(&request.vote);
        let answer = self.shared.raft.append_entries(request).await;
        if answer.as_ref().is_ok_and(|answer| !matches!(answer, AppendEntriesResponse::HigherVote(_))) {
            self.shared.note_leader();
        }
        encode(&answer)
    }

    async fn snapshot(&self, request: Bytes) -> Result<Bytes, String> {
        let request = decode_snapshot(request).map_err(text)?;
        let sender = request.vote;
        self.shared.note_word(&sender);
        let answer = self.shared.raft.install_snapshot(request).await;
        if answer.as_ref().is_ok_and(|answer| answer.vote <= sender) {
            self.shared.note_leader();
        }
        encode(&answer)
    }

    async fn call(&self, from: Option<NodeId>, request: Bytes) -> Result<Bytes, String> {
        match self.shared.handler.get() {
            Some(handler) => Ok(handler.call(from, request).await),
            None => Err(NO_HANDLER.into()),
        }
    }

    async fn answer(&self, from: Option<NodeId>, kind: Kind, payload: Bytes) -> Result<Bytes, String> {
        match kind {
            Kind::Call => return self.call(from, payload).await,
            _ if from.is_none() => return Err("only a node of the quorum may ask this".into()),
            _ => {}
        }
        match kind {
            Kind::Vote => self.vote(&payload).await,
            Kind::Append => self.append(payload).await,
            Kind::Snapshot => self.snapshot(payload).await,
            Kind::Canvass => election::serve(&self.shared, &payload).await,
            Kind::Propose => propose::serve(&self.shared, payload).await,
            Kind::ReadIndex => confirm::serve(&self.shared).await,
            Kind::Followed => predecessor::serve(&self.shared, &payload).await,
            Kind::Call | Kind::Hello | Kind::Welcome | Kind::Refused | Kind::Answer | Kind::Failed => {
                Err("this is no request".into())
            }
        }
    }
}

fn encode(answer: &impl serde::Serialize) -> Result<Bytes, String> {
    serde_json::to_vec(answer).map(Bytes::from).map_err(text)
}

impl Service for Desk {
    fn serve(&self, from: Option<NodeId>, kind: Kind, payload: Bytes) -> PortFuture<'_, Result<Bytes, String>> {
        Box::pin(self.answer(from, kind, payload))
    }
}
