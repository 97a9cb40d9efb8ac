//! What nodes of the council, and gateways, ask each other.

use crate::observe::Picture;
use crate::ports::{ConflictAnswer, ConflictAsk, ConflictRefusal, ConsumerGroup};
use crate::work::{WorkCall, WorkReply};
use api::routes::{FollowRoutes, RouteLease};
use bytes::Bytes;
use catalog::{Command, NodeIdentity, Outcome};
use model::{
    BrokerOrder, BrokerOrderError, BrokerStatus, Done, Incarnation, LinkPartitionStatus, Order, OrderError,
    OwnershipEpoch, ProtectionGroup, RegionName, RegionStatus,
};
use serde::{Deserialize, Serialize};

/// A call to a node of the council.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// Is the region behind this node there? Answered with [`Reply::Pong`] only when its data plane answers too.
    Ping,
    /// What this node has seen of all regions; answered with [`Reply::Observations`].
    Observations,
    /// The leader: what it knows of the platform; answered with [`Reply::Picture`].
    Picture,
    /// Carry out an order in the node's region.
    Order(Order),
    /// The region as it sees itself.
    Status {
        /// Whether partitions are hashed for it.
        with_hashes: bool,
    },
    /// How far the region's copies are.
    Links,
    /// Have the region's copies of a group copied anew that have to be; answered with [`Reply::Rebuilt`].
    RebuildCopies(ProtectionGroup),
    /// The region's consumer groups.
    ConsumerGroups,
    /// The region's brokers.
    Brokers,
    /// Have the region agree on an order about one of its brokers.
    OrderBroker(BrokerOrder),
    /// Bytes of the file of a diverged tail; answered with [`Reply::Diverged`].
    ReadDiverged {
        /// The file, as the tail names it.
        file: String,
        /// From this byte on.
        at: u64,
        /// At most so many.
        max: u32,
    },
    /// About topics of active-active groups; answered with [`Reply::Conflicts`].
    Conflicts(ConflictAsk),
    /// The leader: let a region's leases stand.
    RenewLease(LeaseRenewal),
    /// The leader: let a gateway's route leases stand, and tell it of newer routes. Other nodes pass it on.
    FollowRoutes(FollowRoutes),
    /// The leader: let a node with an empty disk in. Other nodes pass it on. Answered with [`Reply::Identity`].
    Join(Box<Command>),
    /// The leader: give a node that was let in, and now listens, its vote.
    Admit {
        /// The node it replaces.
        replaces: Option<u64>,
        /// The node.
        node_id: u64,
        /// Its name.
        name: String,
        /// Where it listens.
        address: String,
    },
    /// Any node: have the council decide. For processes that are no nodes.
    Propose(Box<Command>),
    /// Backups and restores in the node's region.
    Work(WorkCall),
}

/// A region asks that its leases stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRenewal {
    /// The region.
    pub region: RegionName,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// The grants it holds.
    pub grants: Vec<(ProtectionGroup, OwnershipEpoch)>,
}

/// The answer to a [`Call`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is there.
    Pong,
    /// See [`Call::Observations`].
    Observations(Vec<dr_planner::health::Observation>),
    /// See [`Call::Picture`].
    Picture(Box<Picture>),
    /// What came of an order.
    Order(Result<Done, OrderError>),
    /// See [`Call::Status`].
    Status(Box<RegionStatus>),
    /// See [`Call::Links`].
    Links(Vec<LinkPartitionStatus>),
    /// So many copies are copied anew.
    Rebuilt(u64),
    /// See [`Call::ConsumerGroups`].
    ConsumerGroups(Vec<ConsumerGroup>),
    /// See [`Call::Brokers`].
    Brokers(Vec<BrokerStatus>),
    /// See [`Call::OrderBroker`].
    BrokerOrdered(Result<(), BrokerOrderError>),
    /// Bytes of a diverged tail.
    Diverged(Vec<u8>),
    /// See [`Call::Conflicts`].
    Conflicts(Box<Result<ConflictAnswer, ConflictRefusal>>),
    /// The grants that stand.
    Leases {
        /// Which.
        confirmed: Vec<(ProtectionGroup, OwnershipEpoch)>,
        /// For how long, from before the call was sent.
        ttl_ms: u32,
    },
    /// See [`Call::FollowRoutes`].
    Routes(Box<RouteLease>),
    /// Who a node is from now on.
    Identity(NodeIdentity),
    /// It has its vote.
    Admitted,
    /// What the council decided.
    Proposed(Outcome),
    /// See [`Call::Work`].
    Work(WorkReply),
    /// The call was not served.
    Failed {
        /// Why.
        what: String,
        /// Whether it may have had an effect.
        may_have_happened: bool,
    },
}

impl Call {
    pub(super) fn encode(&self) -> Bytes {
        serde_json::to_vec(self).expect("a call has a JSON form").into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

impl Reply {
    pub(super) fn encode(&self) -> Bytes {
        serde_json::to_vec(self).expect("a reply has a JSON form").into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// A call that was not served and had no effect.
    pub fn not_served(what: impl ToString) -> Self {
        Self::Failed { what: what.to_string(), may_have_happened: false }
    }
}
