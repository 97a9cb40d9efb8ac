use super::predecessor::Followed;
use super::{Leadership, Node, Shared, confirm, election, leadership, propose, serve};
use crate::identity::{self, Lock, disk};
use crate::journal::{Journal, Writer};
use crate::raft::Raft;
use crate::raft::machine::{self, Images, Machine};
use crate::raft::network::Network;
use crate::raft::store::Store;
use crate::raft::voice::Voice;
use crate::transport::{Listener, Peers};
use crate::{Config, Position, StartError, StateMachine};
use env::Clock;
use openraft::storage::RaftLogStorage;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use tokio::time::timeout;

/// How long the tasks of a node may take to end.
const END_MAX: Duration = Duration::from_secs(10);
/// How many proposals wait before more are refused.
const PROPOSALS_MAX: usize = 8192;
/// How many confirmations wait before more do so at the sender.
const CONFIRMATIONS_MAX: usize = 1024;

/// Opens the node of `config`.
pub(super) async fn open<S: StateMachine>(config: Config, clock: Arc<dyn Clock>, state: S) -> Result<Node, StartError> {
    let raft_config = Arc::new(config.raft()?);
    let socket = listen(&config).await?;
    let address = socket.as_ref().and_then(|socket| socket.local_addr().ok());
    let (lock, mut store) = open_store(&config).await?;
    let (progress, applied) = watch::channel(None);
    let (machine, owner) = open_machine(&config, state, progress, lock).await?;
    check_no_hole(&mut store, &machine).await?;
    let heard = Mutex::new(last_heard(&config, &store)?);
    let peers = Arc::new(Peers::new(config.cluster.clone(), config.id, config.addresses.clone()));
    let voice = Arc::new(Voice::new(config.timing.clone()));
    let network = Network { peers: Arc::clone(&peers), voice: Arc::clone(&voice) };
    let raft = Raft::new(config.id, raft_config, network, store, machine)
        .await
        .map_err(|error| StartError::Raft(error.to_string()))?;
    voice.follow(raft.metrics());
    let (proposals, proposed) = mpsc::channel(PROPOSALS_MAX);
    let (confirmations, waiters) = mpsc::channel(CONFIRMATIONS_MAX);
    let (leading, leadership) = watch::channel(Leadership::default());
    let shared = Arc::new(Shared {
        followed: Mutex::new(Followed::start(clock.boot())),
        config,
        clock,
        raft,
        peers,
        proposals,
        confirmations,
        applied,
        leadership,
        handler: OnceLock::new(),
        heard,
    });
    let mut tasks = JoinSet::new();
    tasks.spawn(leadership::watch(Arc::clone(&shared), leading));
    tasks.spawn(propose::batch(Arc::clone(&shared), proposed));
    tasks.spawn(confirm::confirm(Arc::clone(&shared), waiters));
    tasks.spawn(election::stand(Arc::clone(&shared)));
    if let Some(socket) = socket {
        tasks.spawn(door(&shared).run(socket));
    }
    let running = Running { tasks, owner: Some(owner) };
    Ok(Node { shared, running: Mutex::new(running), address })
}

/// The tasks of a node. Those that only serve end when this is dropped; the owner of the state machine ends by itself
/// when the consensus has.
#[derive(Default)]
pub(super) struct Running {
    tasks: JoinSet<()>,
    owner: Option<JoinHandle<()>>,
}

impl Running {
    /// Ends the tasks and waits for them.
    pub(super) async fn end(mut self) {
        self.tasks.shutdown().await;
        if let Some(owner) = self.owner.take() {
            _ = timeout(END_MAX, owner).await;
        }
    }
}

fn door(shared: &Arc<Shared>) -> Listener {
    let service = Arc::new(serve::Desk::new(Arc::clone(shared)));
    Listener { cluster: shared.config.cluster.clone(), id: shared.config.id, service }
}

/// A node that once followed or was a leader keeps still after a restart as if it had just heard of it: its vote is bound
/// for that long.
fn last_heard(config: &Config, store: &Store) -> Result<Option<Instant>, StartError> {
    let vote = store.vote().map_err(disk(&config.dir))?;
    Ok(vote.filter(openraft::Vote::is_committed).map(|_| Instant::now()))
}

async fn listen(config: &Config) -> Result<Option<TcpListener>, StartError> {
    let Some(address) = config.listen else { return Ok(None) };
    let socket = TcpListener::bind(address).await;
    socket.map(Some).map_err(|source| StartError::Listen { address, source })
}

async fn open_store(config: &Config) -> Result<(Lock, Store), StartError> {
    let config = config.clone();
    let open = move || {
        let lock = identity::claim(&config)?;
        let dir = config.dir.join("log");
        let journal = Journal::open(&dir).map_err(disk(&dir))?;
        let writer = Writer::start(journal, &dir).map_err(disk(&dir))?;
        Ok((lock, Store::new(writer)))
    };
    spawn_blocking(open).await.map_err(|error| StartError::Raft(error.to_string()))?
}

/// Starts the owner of `state`, after the snapshot if that is ahead of it. The lock goes with the owner.
async fn open_machine<S: StateMachine>(
    config: &Config,
    state: S,
    progress: watch::Sender<Option<Position>>,
    lock: Lock,
) -> Result<(Machine, JoinHandle<()>), StartError> {
    let dir = config.dir.join("snapshots");
    let images = Arc::new(Images::open(dir.clone()).map_err(disk(&dir))?);
    let (orders, owner) = machine::start(state, progress).await.map_err(|error| StartError::State(error.chain()))?;
    let owner = tokio::spawn(async move {
        owner.run().await;
        drop(lock);
    });
    let machine = Machine::new(orders, Arc::clone(&images));
    let reading = |error: crate::raft::StorageError| StartError::State(error.to_string());
    let applied = machine.applied().await.map_err(reading)?;
    if let Some((image, held)) = images.verified().map_err(disk(&dir))?
        && held.position > applied.position
    {
        machine.install(image, held).await.map_err(reading)?;
    }
    Ok((machine, owner))
}

/// Checks that the state has everything that the log has dropped.
async fn check_no_hole(store: &mut Store, machine: &Machine) -> Result<(), StartError> {
    let failed = |error: crate::raft::StorageError| StartError::Raft(error.to_string());
    let purged = store.get_log_state().await.map_err(failed)?.last_purged_log_id.map(|id| id.index);
    let applied = machine.applied().await.map_err(failed)?.position().map(|position| position.index);
    match purged {
        Some(purged) if applied < Some(purged) => Err(StartError::Hole { applied, purged }),
        _ => Ok(()),
    }
}
