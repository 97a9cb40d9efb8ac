//! Answers the calls of other nodes and of gateways.

use super::{Call, Council, CouncilError, Reply};
use crate::lease::Ledger;
use crate::ports::{PortError, Ports, Region};
use bytes::Bytes;
use catalog::{Answer, Command, Reader};
use env::PortFuture;
use quorum::{Handler, Member, NodeId};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How long a node that was let in may take to catch up.
const ADMISSION_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the leader may take for a call that another node passes on to it.
const LEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves the calls that belong to other parts of the control plane.
pub trait Extension: Send + Sync + 'static {
    /// Answers [`Call::Observations`], [`Call::Picture`] and [`Call::Work`].
    fn call(&self, call: Call) -> PortFuture<'_, Reply>;
}

/// Where calls arrive.
pub(super) struct Desk {
    reader: Reader,
    ledger: Arc<Ledger>,
    ports: Ports,
    council: OnceLock<Council>,
    extension: OnceLock<Arc<dyn Extension>>,
}

impl Desk {
    pub(super) fn new(reader: Reader, ledger: Arc<Ledger>, ports: Ports) -> Self {
        Self { reader, ledger, ports, council: OnceLock::new(), extension: OnceLock::new() }
    }

    /// Calls are served by `council` from now on.
    pub(super) fn open(&self, council: Council) {
        // Only one node is ever started with a desk.
        let _ = self.council.set(council);
    }

    /// Other parts serve theirs from now on.
    pub(super) fn extend(&self, extension: Arc<dyn Extension>) {
        // The first one stays.
        let _ = self.extension.set(extension);
    }

    async fn serve(&self, call: Call) -> Reply {
        let Some(council) = self.council.get() else { return Reply::not_served("this node is starting") };
        match call {
            call @ (Call::Ping
            | Call::Order(_)
            | Call::Status { .. }
            | Call::Links
            | Call::RebuildCopies(_)
            | Call::ConsumerGroups
            | Call::Brokers
            | Call::OrderBroker(_)
            | Call::Conflicts(_)
            | Call::ReadDiverged { .. }) => match &self.ports.region {
                Some(region) => ask_region(&**region, call).await.unwrap_or_else(Reply::not_served),
                None => Reply::not_served("this node belongs to no region"),
            },
            Call::RenewLease(renewal) => self.ledger.renew(council, &self.reader, &renewal).await,
            Call::FollowRoutes(ask) if council.leads() => self.ledger.routes(council, &self.reader, &ask).await,
            Call::Join(command) if council.leads() => join(council, *command).await,
            Call::Admit { replaces, node_id, name, address } if council.leads() => {
                admit(council, replaces, node_id, Member::new(name, address)).await
            }
            Call::Propose(command) => propose(council, *command).await,
            call @ (Call::FollowRoutes(_) | Call::Join(_) | Call::Admit { .. }) => pass_on(council, &call).await,
            call @ (Call::Observations | Call::Picture | Call::Work(_)) => match self.extension.get() {
                Some(extension) => extension.call(call).await,
                None => Reply::not_served("this node is starting"),
            },
        }
    }
}

impl Handler for Desk {
    fn call(&self, _from: Option<NodeId>, request: Bytes) -> PortFuture<'_, Bytes> {
        Box::pin(async move {
            match Call::decode(&request) {
                Ok(call) => self.serve(call).await.encode(),
                Err(error) => Reply::not_served(format!("the call is not understood: {error}")).encode(),
            }
        })
    }
}

/// Answers a call about the region itself.
async fn ask_region(region: &dyn Region, call: Call) -> Result<Reply, PortError> {
    Ok(match call {
        Call::Order(order) => Reply::Order(region.order(order).await),
        Call::Status { with_hashes } => Reply::Status(Box::new(region.status(with_hashes).await?)),
        Call::Links => Reply::Links(region.links().await),
        Call::RebuildCopies(group) => Reply::Rebuilt(region.rebuild_copies(group).await?),
        Call::ConsumerGroups => Reply::ConsumerGroups(region.consumer_groups().await?),
        Call::Brokers => Reply::Brokers(region.brokers().await?),
        Call::OrderBroker(order) => Reply::BrokerOrdered(region.order_broker(order).await),
        Call::Conflicts(ask) => Reply::Conflicts(Box::new(region.conflicts(ask).await)),
        Call::ReadDiverged { file, at, max } => Reply::Diverged(region.read_diverged(file, at, max).await?),
        _ => {
            region.answers().await?;
            Reply::Pong
        }
    })
}

/// Lets the leader answer. A node that knows no leader but itself says so instead of going in circles.
async fn pass_on(council: &Council, call: &Call) -> Reply {
    let leader = council.leadership().borrow().leader;
    match leader.filter(|leader| *leader != council.id()) {
        Some(leader) => match council.call(leader, call, LEADER_TIMEOUT).await {
            Ok(reply) => reply,
            Err(error) => Reply::Failed { what: error.what, may_have_happened: error.may_have_happened },
        },
        None => Reply::not_served("the council has no leader now"),
    }
}

/// The leader's clock says when: it is compared with when plans were made.
async fn join(council: &Council, command: Command) -> Reply {
    match council.propose(&command.by, command.change).await {
        Ok(Answer::Region(identity)) => Reply::Identity(identity),
        Ok(other) => Reply::not_served(format!("the council answered {other:?}")),
        Err(error) => refused(&error),
    }
}

async fn admit(council: &Council, replaces: Option<u64>, node_id: u64, member: Member) -> Reply {
    let admitted = council.admit(replaces.map(NodeId::from), NodeId::from(node_id), member, ADMISSION_TIMEOUT).await;
    admitted.map_or_else(Reply::not_served, |()| Reply::Admitted)
}

async fn propose(council: &Council, command: Command) -> Reply {
    match council.submit(command).await {
        Ok(answer) => Reply::Proposed(Ok(answer)),
        Err(CouncilError::Refused(refusal)) => Reply::Proposed(Err(refusal)),
        Err(error) => refused(&error),
    }
}

fn refused(error: &CouncilError) -> Reply {
    let may_have_happened = matches!(error, CouncilError::Unknown(_));
    Reply::Failed { what: error.to_string(), may_have_happened }
}
