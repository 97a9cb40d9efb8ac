//! Raft's messages over our transport.

use super::voice::Voice;
use super::{LogId, RaftEntry, Types, Vote, codec};
use crate::transport::{Kind, Lane, Peers};
use crate::{CallError, Member, NodeId, Position};
use bytes::{BufMut, Bytes, BytesMut};
use openraft::error::{InstallSnapshotError, NetworkError, RPCError, RaftError, RemoteError, Unreachable};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse, VoteRequest,
    VoteResponse,
};
use openraft::{AnyError, SnapshotMeta};
use serde::de::DeserializeOwned;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// How long replication to an unreachable node pauses.
const BACKOFF: Duration = Duration::from_millis(100);

type RemoteFault<E> = RPCError<NodeId, Member, RaftError<NodeId, E>>;

/// Makes clients for openraft.
pub(crate) struct Network {
    pub(crate) peers: Arc<Peers>,
    pub(crate) voice: Arc<Voice>,
}

/// Sends to one node.
pub(crate) struct Client {
    peers: Arc<Peers>,
    voice: Arc<Voice>,
    target: NodeId,
    member: Member,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct AppendHead {
    vote: Vote,
    prev_log_id: Option<LogId>,
    leader_commit: Option<LogId>,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct SnapshotHead {
    vote: Vote,
    meta: SnapshotMeta<NodeId, Member>,
    offset: u64,
    done: bool,
}

fn with_head(head: &impl serde::Serialize, extra_bytes: usize) -> io::Result<BytesMut> {
    let head = serde_json::to_vec(head)?;
    let mut out = BytesMut::with_capacity(4 + head.len() + extra_bytes);
    out.put_u32_le(head.len() as u32);
    out.put_slice(&head);
    Ok(out)
}

fn encode_append(request: &AppendEntriesRequest<Types>) -> io::Result<Bytes> {
    let (vote, prev_log_id, leader_commit) = (request.vote, request.prev_log_id, request.leader_commit);
    let mut out = with_head(&AppendHead { vote, prev_log_id, leader_commit }, 0)?;
    let mut parts = Vec::with_capacity(2 * request.entries.len());
    for entry in &request.entries {
        let entry = codec::encode(entry)?;
        parts.push(serde_json::to_vec(&entry.position)?.into());
        parts.push(entry.body);
    }
    codec::put_list(&mut out, &parts);
    Ok(out.freeze())
}

/// Reads what `encode_append` wrote.
pub(crate) fn decode_append(mut bytes: Bytes) -> io::Result<AppendEntriesRequest<Types>> {
    let head: AppendHead = serde_json::from_slice(&codec::read_bytes(&mut bytes)?)?;
    let parts = codec::read_list(&mut bytes)?;
    let entries: io::Result<Vec<RaftEntry>> = parts.chunks_exact(2).map(decode_entry).collect();
    let AppendHead { vote, prev_log_id, leader_commit } = head;
    Ok(AppendEntriesRequest { vote, prev_log_id, leader_commit, entries: entries? })
}

fn decode_entry(parts: &[Bytes]) -> io::Result<RaftEntry> {
    let position: Position = serde_json::from_slice(&parts[0])?;
    codec::decode(crate::journal::Entry { position, body: parts[1].clone() })
}

fn encode_snapshot(request: InstallSnapshotRequest<Types>) -> io::Result<Bytes> {
    let InstallSnapshotRequest { vote, meta, offset, data, done } = request;
    let mut out = with_head(&SnapshotHead { vote, meta, offset, done }, data.len())?;
    out.put_slice(&data);
    Ok(out.freeze())
}

/// Reads what `encode_snapshot` wrote.
pub(crate) fn decode_snapshot(mut bytes: Bytes) -> io::Result<InstallSnapshotRequest<Types>> {
    let head: SnapshotHead = serde_json::from_slice(&codec::read_bytes(&mut bytes)?)?;
    let SnapshotHead { vote, meta, offset, done } = head;
    Ok(InstallSnapshotRequest { vote, meta, offset, data: bytes.to_vec(), done })
}

/// As openraft wants to hear that nobody answered: a node that cannot be reached is left alone for a while.
fn fault<E: std::error::Error>(error: CallError) -> RemoteFault<E> {
    match error {
        CallError::Unreachable { .. } | CallError::Refused { .. } | CallError::Unknown(_) => {
            RPCError::Unreachable(Unreachable::new(&error))
        }
        error => RPCError::Network(NetworkError::new(&error)),
    }
}

fn broken<E: std::error::Error>(error: impl std::error::Error + 'static) -> RemoteFault<E> {
    RPCError::Network(NetworkError::new(&AnyError::new(&error)))
}

impl Client {
    async fn ask<R, E>(
        &self,
        lane: Lane,
        kind: Kind,
        request: io::Result<Bytes>,
        within: Duration,
    ) -> Result<R, RemoteFault<E>>
    where
        R: DeserializeOwned,
        E: std::error::Error + DeserializeOwned,
    {
        let request = request.map_err(broken)?;
        let answer = self.peers.ask((self.target, &self.member), lane, kind, request, within).await.map_err(fault)?;
        let answer: Result<R, RaftError<NodeId, E>> = serde_json::from_slice(&answer).map_err(broken)?;
        answer.map_err(|error| RPCError::RemoteError(RemoteError::new(self.target, error)))
    }
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: NodeId, node: &Member) -> Client {
        let (peers, voice) = (Arc::clone(&self.peers), Arc::clone(&self.voice));
        Client { peers, voice, target, member: node.clone() }
    }
}

impl RaftNetwork<Types> for Client {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<NodeId>, RPCError<NodeId, Member, RaftError<NodeId>>> {
        if !self.voice.may_reach(self.target) {
            let why = "no majority answers, and another one may have to lead".to_owned();
            return Err(fault(CallError::Unreachable { address: self.member.address.clone(), why }));
        }
        let answer = self.ask(Lane::Raft, Kind::Append, encode_append(&request), option.hard_ttl()).await;
        match &answer {
            Ok(_) => self.voice.on_answer(self.target),
            // It was not sent.
            Err(RPCError::Unreachable(_)) => {}
            Err(_) => self.voice.on_silence(self.target),
        }
        answer
    }

    async fn install_snapshot(
        &mut self,
        request: InstallSnapshotRequest<Types>,
        option: RPCOption,
    ) -> Result<InstallSnapshotResponse<NodeId>, RPCError<NodeId, Member, RaftError<NodeId, InstallSnapshotError>>>
    {
        self.ask(Lane::Bulk, Kind::Snapshot, encode_snapshot(request), option.hard_ttl()).await
    }

    async fn vote(
        &mut self,
        request: VoteRequest<NodeId>,
        option: RPCOption,
    ) -> Result<VoteResponse<NodeId>, RPCError<NodeId, Member, RaftError<NodeId>>> {
        let request = serde_json::to_vec(&request).map(Bytes::from).map_err(io::Error::from);
        self.ask(Lane::Raft, Kind::Vote, request, option.hard_ttl()).await
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(BACKOFF))
    }
}
