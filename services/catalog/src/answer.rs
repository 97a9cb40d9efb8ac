use crate::Refusal;
use model::{Grant, Incarnation, RegionName, TopicSpec};
use serde::{Deserialize, Serialize};

/// What a command came to: its answer, or why nothing happened.
pub type Outcome = Result<Answer, Refusal>;

/// The answer to a command that took effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is as was asked.
    Done,
    /// The entry was applied before; its answer went to whoever asked then.
    AppliedBefore,
    /// The platform's regions and witness, in the order they were listed in.
    Platform {
        /// What each of them is.
        nodes: Vec<NodeIdentity>,
    },
    /// What a region or witness is.
    Region(NodeIdentity),
    /// The virtual nodes of a gateway.
    Gateway {
        /// All it ever had.
        nodes: Vec<VirtualNode>,
    },
    /// One outcome for each topic that was named, in that order.
    Topics {
        /// The outcomes.
        outcomes: Vec<Result<TopicSpec, Refusal>>,
    },
    /// A topic as it is now.
    Topic {
        /// The topic.
        topic: TopicSpec,
        /// Which version of it this is.
        revision: u64,
    },
    /// A protection group as it is now.
    Group {
        /// Its grant.
        grant: Grant,
        /// Which version of its policy this is.
        revision: u64,
    },
    /// A grant as it is now.
    Grant {
        /// The grant.
        grant: Grant,
    },
    /// Where gateways send clients now.
    Route {
        /// The number of the route.
        route_epoch: u64,
    },
    /// An event of a run is kept.
    Event {
        /// Its number.
        seq: u64,
        /// Whether it was there before.
        repeated: bool,
    },
    /// Which version of a thing there is now.
    Revision {
        /// The version; 0 when it is gone.
        revision: u64,
    },
}

/// What a council node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeIdentity {
    /// The region's name, or the witness's.
    pub name: String,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// Its name in the council.
    pub node_id: u64,
    /// The council node it replaces and that has to leave the council.
    pub replaces: Option<u64>,
}

/// A Kafka node id that stands for one broker slot of one region on one gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualNode {
    /// The id clients see.
    pub id: i32,
    /// The gateway.
    pub gateway: String,
    /// The gateway's host.
    pub host: String,
    /// The node's own port there.
    pub port: u16,
    /// The region it stands for.
    pub region: RegionName,
    /// The broker slot in that region.
    pub slot: model::BrokerSlot,
}
