//! One node of the council: the quorum, the catalog it agrees on, and the calls between nodes.

mod call;
mod desk;
mod machine;
mod membership;

pub use call::{Call, LeaseRenewal, Reply};
pub use desk::Extension;
pub use membership::{Founding, Identity};

use crate::lease::Ledger;
use crate::ports::Ports;
use bytes::Bytes;
use catalog::{Answer, Change, Command, Reader, Refusal, View};
use desk::Desk;
use env::Clock;
use machine::Machine;
use model::RegionName;
use quorum::{CallError, Leadership, NodeId, Outcome, ProposeError, Quorum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// How long a change that is decided may be held back until this node has applied it.
const CATCH_UP_PATIENCE: Duration = Duration::from_secs(1);

/// How a node of the council is started.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who it is.
    pub identity: Identity,
    /// How the council began.
    pub founding: Founding,
    /// Where it keeps its log and the catalog.
    pub dir: PathBuf,
    /// Where it listens for other nodes and for gateways.
    pub listen: SocketAddr,
}

/// Why a node of the council cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The quorum cannot.
    #[error(transparent)]
    Quorum(#[from] quorum::StartError),
    /// The catalog cannot be opened.
    #[error(transparent)]
    Catalog(#[from] catalog::CatalogError),
    /// Its directory cannot be made.
    #[error("cannot make {}: {source}", dir.display())]
    Disk {
        /// The directory.
        dir: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The council was not reached by a node that lost its disk.
    #[error("this node's disk is empty and no council node lets it in: {0}")]
    NotAdmitted(String),
    /// The council cannot be founded with these members.
    #[error(transparent)]
    Members(#[from] quorum::MemberError),
}

/// Why a change was not made, or nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CouncilError {
    /// The council decided against it. Nothing happened.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nothing happened; the same change may be asked for again.
    #[error("the council did not take the change: {0}")]
    NotDone(String),
    /// It may have happened.
    #[error("the council did not answer: {0}")]
    Unknown(String),
}

/// A call to another node that was not served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct CallFailed {
    /// What was seen instead.
    pub what: String,
    /// Whether the call may have been served all the same.
    pub may_have_happened: bool,
}

/// One node of the council. Clones are the same node.
#[derive(Clone)]
pub struct Council {
    quorum: Quorum<Machine>,
    reader: Reader,
    clock: Arc<dyn Clock>,
    ledger: Arc<Ledger>,
    desk: Arc<Desk>,
}

impl Council {
    /// Starts this node: founds the council, goes on with it, or, with an empty disk, asks to be let in anew.
    ///
    /// # Errors
    /// [`StartError`] says what is in the way.
    pub async fn start(config: Config, ports: Ports) -> Result<Self, StartError> {
        std::fs::create_dir_all(&config.dir).map_err(|source| StartError::Disk { dir: config.dir.clone(), source })?;
        let membership = membership::find(&config).await?;
        let (machine, reader) = Machine::open(config.dir.join("catalog.sqlite")).await?;
        let mut node = quorum::Config::new(membership.id, &config.founding.cluster_id, config.dir.join("council"));
        node.is_new = membership.is_new;
        node.listen = Some(config.listen);
        node.addresses = config.founding.addresses();
        let quorum = Quorum::start(node, machine).await?;
        let ledger = Arc::new(Ledger::new(quorum.leadership(), ports.clock.clone()));
        let desk = Arc::new(Desk::new(reader.clone(), ledger.clone(), ports.clone()));
        let council = Self { quorum, reader, clock: ports.clock, ledger, desk };
        council.desk.open(council.clone());
        council.quorum.serve(council.desk.clone());
        membership::settle(&council, &config, &membership).await?;
        Ok(council)
    }

    /// Answers the calls this crate's other parts are there for.
    pub fn extend(&self, extension: Arc<dyn Extension>) {
        self.desk.extend(extension);
    }

    /// Has the council decide on `change`, asked for by `by`.
    ///
    /// # Errors
    /// [`CouncilError`] says whether anything happened.
    pub async fn propose(&self, by: &str, change: impl Into<Change>) -> Result<Answer, CouncilError> {
        self.submit(Command::new(self.clock.now(), by, change)).await
    }

    /// Has the council decide on `command`. What was decided can be read here afterwards, also where the leader is another
    /// node; only a node that does not catch up in time reads it later.
    ///
    /// # Errors
    /// [`CouncilError`] says whether anything happened.
    pub async fn submit(&self, command: Command) -> Result<Answer, CouncilError> {
        let answer = match self.quorum.propose(&command).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(refusal)) => return Err(refusal.into()),
            Err(error) => return Err(not_proposed(&error)),
        };
        if !self.leads() {
            // It is decided whether or not this node has heard of it.
            let _ = timeout(CATCH_UP_PATIENCE, self.ensure_linearizable()).await;
        }
        Ok(answer)
    }

    /// The council's decisions, as far as this node has applied them.
    pub fn view(&self) -> Arc<View> {
        self.reader.view()
    }

    /// Follows them.
    pub fn watch_view(&self) -> watch::Receiver<Arc<View>> {
        self.reader.watch_view()
    }

    /// Queries for everything that is not in the view.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Who this node is.
    pub fn id(&self) -> NodeId {
        self.quorum.id()
    }

    /// Who leads, and since when this node does.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.quorum.leadership()
    }

    /// Whether this node leads, as far as it knows.
    pub fn leads(&self) -> bool {
        self.quorum.leadership().borrow().tenure.is_some()
    }

    /// The nodes of the council.
    pub fn membership(&self) -> quorum::Membership {
        self.quorum.membership()
    }

    /// Renewals this node answered while it led.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Waits until this node has applied everything that was decided before the call.
    ///
    /// # Errors
    /// When no leader with a majority answers in time.
    pub async fn ensure_linearizable(&self) -> Result<(), quorum::ConfirmError> {
        self.quorum.ensure_linearizable().await
    }

    /// Makes sure that this node leads now.
    ///
    /// # Errors
    /// When it does not, or cannot know.
    pub async fn confirm_leadership(&self) -> Result<quorum::Confirmed, quorum::ConfirmError> {
        self.quorum.confirm_leadership().await
    }

    /// Calls the node of a region.
    ///
    /// # Errors
    /// [`CallFailed`] says whether it may have been served.
    pub async fn call_region(&self, region: &RegionName, call: &Call, within: Duration) -> Result<Reply, CallFailed> {
        let view = self.view();
        let node = view.region(region).map(|region| NodeId::from(region.node_id));
        let node = node.ok_or_else(|| CallFailed { what: format!("no region {region}"), may_have_happened: false })?;
        self.call(node, call, within).await
    }

    /// Calls a node, which may be this one.
    ///
    /// # Errors
    /// [`CallFailed`] says whether it may have been served.
    pub async fn call(&self, node: NodeId, call: &Call, within: Duration) -> Result<Reply, CallFailed> {
        decoded(self.quorum.call(node, call.encode(), within).await)
    }

    /// Calls the leader, which may be this node.
    ///
    /// # Errors
    /// [`CallFailed`] says whether it may have been served.
    pub async fn call_leader(&self, call: &Call, within: Duration) -> Result<Reply, CallFailed> {
        decoded(self.quorum.call_leader(call.encode(), within).await)
    }

    /// Brings a node that lost its disk into the council, in place of the one it was. Only the leader can.
    ///
    /// # Errors
    /// What is in the way.
    pub(crate) async fn admit(
        &self,
        replaced: Option<NodeId>,
        node: NodeId,
        member: quorum::Member,
        within: Duration,
    ) -> Result<(), quorum::MemberError> {
        self.quorum.replace_member(replaced, node, member, within).await
    }

    pub(crate) async fn found(
        &self,
        members: std::collections::BTreeMap<NodeId, quorum::Member>,
    ) -> Result<(), quorum::MemberError> {
        self.quorum.initialize(members).await
    }

    /// Waits until this node has failed for good, and says why. The process should end then.
    pub async fn failed(&self) -> String {
        self.quorum.stopped().await
    }

    /// Stops this node.
    pub async fn shutdown(&self) {
        self.quorum.shutdown().await;
    }
}

/// Calls any node of the council from a process that is none, for example a gateway; that node asks the leader.
///
/// # Errors
/// [`CallFailed`] says whether it may have been served.
pub async fn call_from_outside(
    cluster_id: &str,
    address: &str,
    call: &Call,
    within: Duration,
) -> Result<Reply, CallFailed> {
    decoded(quorum::call_address(cluster_id, address, call.encode(), within).await)
}

fn decoded(answer: Result<Bytes, CallError>) -> Result<Reply, CallFailed> {
    let answer = answer.map_err(|error| CallFailed {
        may_have_happened: error.outcome() != Outcome::Nothing,
        what: error.to_string(),
    })?;
    match Reply::decode(&answer) {
        Ok(Reply::Failed { what, may_have_happened }) => Err(CallFailed { what, may_have_happened }),
        Ok(reply) => Ok(reply),
        Err(error) => {
            Err(CallFailed { what: format!("the answer is not understood: {error}"), may_have_happened: true })
        }
    }
}

fn not_proposed(error: &ProposeError) -> CouncilError {
    match error.outcome() {
        Outcome::Nothing => CouncilError::NotDone(error.to_string()),
        Outcome::Done | Outcome::Unknown => CouncilError::Unknown(error.to_string()),
    }
}
