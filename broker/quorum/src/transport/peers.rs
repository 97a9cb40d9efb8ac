use super::link::{Link, Route};
use super::{Kind, Lane};
use crate::{CallError, Member, NodeId};
use bytes::Bytes;
use model::BrokerSlot;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The connections of a node to the others, by node and lane.
pub(crate) struct Peers {
    cluster: String,
    me: NodeId,
    /// Addresses that differ from those in the membership.
    addresses: BTreeMap<BrokerSlot, String>,
    links: Mutex<HashMap<(NodeId, Lane), Link>>,
}

impl Peers {
    pub(crate) fn new(cluster: String, me: NodeId, addresses: BTreeMap<BrokerSlot, String>) -> Self {
        Self { cluster, me, addresses, links: Mutex::default() }
    }

    /// Sends a request to a node and waits for its answer.
    pub(crate) async fn ask(
        &self,
        (id, member): (NodeId, &Member),
        lane: Lane,
        kind: Kind,
        payload: Bytes,
        within: Duration,
    ) -> Result<Bytes, CallError> {
        self.link(id, member, lane).ask(kind, payload, within).await
    }

    fn link(&self, id: NodeId, member: &Member, lane: Lane) -> Link {
        let address = self.addresses.get(&id.slot()).unwrap_or(&member.address);
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let link = links.entry((id, lane)).or_insert_with(|| self.start(id, address));
        if link.address() != address {
            *link = self.start(id, address);
        }
        link.clone()
    }

    fn start(&self, id: NodeId, address: &str) -> Link {
        let (cluster, address) = (self.cluster.clone(), address.to_owned());
        Link::start(Route { cluster, from: Some(self.me), to: Some(id), address })
    }
}

/// Calls whatever node of `cluster` listens at `address`, from a node that has no id yet: how a node with an empty disk
/// asks to be let in.
///
/// # Errors
/// [`CallError`] says whether the call may have been served.
pub async fn call_address(cluster: &str, address: &str, request: Bytes, within: Duration) -> Result<Bytes, CallError> {
    let route = Route { cluster: cluster.to_owned(), from: None, to: None, address: address.to_owned() };
    Link::start(route).ask(Kind::Call, request, within).await
}
