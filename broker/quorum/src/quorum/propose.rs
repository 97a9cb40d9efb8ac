use super::{LEADER_RETRY, Shared};
use crate::raft::{Answers, Commands};
use crate::transport::Kind;
use crate::{CallError, NodeId, Outcome, ProposeError};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::error::{ClientWriteError, RaftError};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{sleep, timeout};

/// The largest command.
const COMMAND_BYTES_MAX: usize = 8 << 20;
/// How many commands share a log entry, and a flush.
const BATCH_COMMANDS_MAX: usize = 256;
/// How many bytes of commands share a log entry, unless one alone is larger.
const BATCH_BYTES_MAX: usize = 512 << 10;
/// How many log entries are on their way at once; whatever comes meanwhile shares the next.
const BATCHES_IN_FLIGHT: usize = 2;

/// A command and who waits for its answer.
pub(crate) struct Proposal {
    command: Bytes,
    reply: oneshot::Sender<Result<Bytes, ProposeError>>,
}

/// Proposes `command` at whoever leads, again and again as long as nothing has happened.
pub(super) async fn propose(shared: &Shared, command: Bytes, within: Duration) -> Result<Bytes, ProposeError> {
    if command.len() > COMMAND_BYTES_MAX {
        return Err(ProposeError::TooLarge { bytes: command.len(), limit: COMMAND_BYTES_MAX });
    }
    let deadline = Instant::now() + within;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match attempt(shared, command.clone(), left).await {
            Err(error) if error.is_retryable() && left > LEADER_RETRY => sleep(LEADER_RETRY).await,
            Err(ProposeError::NoLeader { .. }) => return Err(ProposeError::NoLeader { waited: within }),
            Err(ProposeError::TimedOut { .. }) => return Err(ProposeError::TimedOut { waited: within }),
            done => return done,
        }
    }
}

async fn attempt(shared: &Shared, command: Bytes, within: Duration) -> Result<Bytes, ProposeError> {
    if let Some(why) = shared.failure() {
        return Err(ProposeError::Stopped(why));
    }
    match shared.leader() {
        Some(leader) if leader == shared.config.id => submit(shared, command, within).await,
        Some(leader) => forward(shared, leader, command, within).await,
        None => Err(ProposeError::NoLeader { waited: Duration::ZERO }),
    }
}

/// Proposes `command` here, where the leader is.
pub(super) async fn submit(shared: &Shared, command: Bytes, within: Duration) -> Result<Bytes, ProposeError> {
    if !shared.leads() {
        return Err(ProposeError::NoLeader { waited: Duration::ZERO });
    }
    let (reply, answer) = oneshot::channel();
    shared.proposals.try_send(Proposal { command, reply }).map_err(|_| ProposeError::Busy)?;
    match timeout(within, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(ProposeError::Stopped("it was told to".into())),
        Err(_) => Err(ProposeError::TimedOut { waited: within }),
    }
}

async fn forward(shared: &Shared, leader: NodeId, command: Bytes, within: Duration) -> Result<Bytes, ProposeError> {
    let mut request = BytesMut::with_capacity(4 + command.len());
    request.put_u32_le(within.as_millis().min(u128::from(u32::MAX)) as u32);
    request.put_slice(&command);
    match shared.ask(leader, Kind::Propose, request.freeze(), within).await {
        Ok(answer) => read_answer(answer),
        Err(error) => Err(lost(&error, within)),
    }
}

fn lost(error: &CallError, within: Duration) -> ProposeError {
    match (error.outcome(), error) {
        (Outcome::Nothing, CallError::Busy { .. }) => ProposeError::Busy,
        (Outcome::Nothing, _) => ProposeError::NoLeader { waited: within },
        (_, CallError::TimedOut { .. }) => ProposeError::TimedOut { waited: within },
        _ => ProposeError::Lost(error.to_string()),
    }
}

/// Serves a proposal of another node.
pub(super) async fn serve(shared: &Shared, mut request: Bytes) -> Result<Bytes, String> {
    if request.len() < 4 {
        return Err("the proposal is cut short".into());
    }
    let within = Duration::from_millis(u64::from(request.get_u32_le()));
    let mut out = BytesMut::new();
    match submit(shared, request, within).await {
        Ok(answer) => {
            out.put_u8(1);
            out.put_slice(&answer);
        }
        Err(error) => {
            out.put_u8(0);
            out.put_slice(&serde_json::to_vec(&error).map_err(|error| error.to_string())?);
        }
    }
    Ok(out.freeze())
}

fn read_answer(mut answer: Bytes) -> Result<Bytes, ProposeError> {
    match answer.first() {
        Some(1) => {
            answer.advance(1);
            Ok(answer)
        }
        Some(0) => {
            let error = serde_json::from_slice(&answer[1..]);
            Err(error.unwrap_or_else(|error| ProposeError::Lost(error.to_string())))
        }
        _ => Err(ProposeError::Lost("the leader's answer cannot be read".into())),
    }
}

/// Puts proposals that wait together into one log entry.
pub(super) async fn batch(shared: Arc<Shared>, mut proposed: mpsc::Receiver<Proposal>) {
    let places = Arc::new(Semaphore::new(BATCHES_IN_FLIGHT));
    let mut next = None;
    loop {
        let first = match next.take() {
            Some(first) => first,
            None => match proposed.recv().await {
                Some(first) => first,
                None => return,
            },
        };
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let batch = gather(first, &mut proposed, &mut next);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            write(&shared, batch).await;
            drop(place);
        });
    }
}

/// What goes into one entry: `first` and what waits behind it, within the limits. What does not fit is put into `rest`.
fn gather(first: Proposal, proposed: &mut mpsc::Receiver<Proposal>, rest: &mut Option<Proposal>) -> Vec<Proposal> {
    let mut bytes = first.command.len();
    let mut batch = vec![first];
    while batch.len() < BATCH_COMMANDS_MAX
        && let Ok(proposal) = proposed.try_recv()
    {
        bytes += proposal.command.len();
        if bytes > BATCH_BYTES_MAX {
            *rest = Some(proposal);
            break;
        }
        batch.push(proposal);
    }
    // Who has given up waiting was told that the outcome is unknown; not proposing it is one.
    batch.retain(|proposal| !proposal.reply.is_closed());
    batch
}

async fn write(shared: &Shared, batch: Vec<Proposal>) {
    if batch.is_empty() {
        return;
    }
    let commands = Commands(batch.iter().map(|proposal| proposal.command.clone()).collect());
    let result = shared.raft.client_write(commands).await.map(|written| written.data).map_err(failure);
    let lost = || ProposeError::Lost("an answer is missing".into());
    let mut answers = result.map(|Answers(answers)| answers.into_iter());
    for proposal in batch {
        let answer = match &mut answers {
            Ok(answers) => answers.next().ok_or_else(lost),
            Err(error) => Err(error.clone()),
        };
        _ = proposal.reply.send(answer);
    }
}

fn failure(error: RaftError<NodeId, ClientWriteError<NodeId, crate::Member>>) -> ProposeError {
    match error {
        // The entry may have been in the log already: it can come back with a later leader.
        RaftError::APIError(error) => ProposeError::Lost(error.to_string()),
        RaftError::Fatal(error) => ProposeError::Stopped(error.to_string()),
    }
}
