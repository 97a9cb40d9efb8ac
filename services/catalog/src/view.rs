//! What regions, gateways and the control plane have to know, held in memory.

mod assignment;
mod load;
mod route;

pub use route::{GroupRoute, RegionRoute, RouteTable, TopicRoute};

pub(crate) use load::Touched;

use crate::answer::VirtualNode;
use dr_planner::policy;
use model::{
    Exposure, Grant, GrantState, Incarnation, OwnershipEpoch, ProtectionGroup, RegionAddress, RegionName, RunId,
    Timestamp, TopicId, TopicName, TopicSpec, covering_grant,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The council's decisions as of one entry of its log. Never changes; a later one replaces it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// The newest entry it reflects that changed anything in it.
    pub council_index: u64,
    /// The cluster id Kafka clients see; `None` before the platform is formed.
    pub cluster_id: Option<String>,
    /// The regions, by index.
    pub regions: Arc<[Region]>,
    /// The council node in no region.
    pub witness: Option<Witness>,
    /// The gateways, by name.
    pub gateways: Arc<[Gateway]>,
    /// The protection groups, by name.
    pub groups: Arc<[Group]>,
    /// The topics that are not deleted.
    pub topics: Topics,
    /// Those of them that are not copied before a person says so.
    pub stopped: Arc<BTreeSet<TopicId>>,
    /// The settings.
    pub settings: Arc<BTreeMap<String, Setting>>,
}

/// A region.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// Where it is reached, with its index and incarnation.
    pub address: RegionAddress,
    /// Its council node.
    pub node_id: u64,
    /// What its disk calls itself.
    pub disk_id: String,
}

/// A council node in no region.
#[derive(Clone, Debug, PartialEq)]
pub struct Witness {
    /// Its name.
    pub name: String,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// Its name in the council.
    pub node_id: u64,
    /// `host:port` of its council node.
    pub council: String,
}

/// A gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    /// Its name.
    pub name: String,
    /// The host its clients reach it at.
    pub host: String,
    /// The port of its bootstrap listener.
    pub port: u16,
    /// Its virtual nodes, by id.
    pub nodes: Vec<VirtualNode>,
}

/// A protection group.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Who owns it. The openings of topics deleted since are still listed.
    pub grant: Grant,
    /// The incarnation of the owner the grant was given to. Another one of that region is not the owner.
    pub owner_incarnation: Incarnation,
    /// What is asked of it.
    pub policy: policy::Group,
    /// Which version of the policy this is.
    pub revision: u64,
    /// Where gateways send its clients.
    pub route: Route,
    /// The run in progress.
    pub run: Option<RunId>,
    /// Whether automatic action is forbidden.
    pub block: Option<Block>,
    /// The open entry of the RPO ledger; none in SYNC.
    pub exposure: Option<Exposure>,
}

/// Where gateways send the clients of a protection group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The region.
    pub owner: RegionName,
    /// The grant it was made for.
    pub grant: OwnershipEpoch,
    /// Its number; rises with every redirect.
    pub epoch: u64,
}

/// Why nothing is done automatically to a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Until when; `None` until it is taken away.
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// Who said so.
    pub by: String,
}

/// A setting of the platform.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Its value.
    pub value: serde_json::Value,
    /// Which version of it this is.
    pub revision: u64,
}

/// The topics that are not deleted. Cloning it copies no topic.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Topics {
    by_name: Arc<BTreeMap<TopicName, Arc<TopicSpec>>>,
    names: Arc<BTreeMap<TopicId, TopicName>>,
}

impl Topics {
    /// The topic called `name`.
    pub fn named(&self, name: &str) -> Option<&Arc<TopicSpec>> {
        self.by_name.get(name)
    }

    /// The topic with `id`.
    pub fn of_id(&self, id: TopicId) -> Option<&Arc<TopicSpec>> {
        self.names.get(&id).and_then(|name| self.by_name.get(name))
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<TopicSpec>> {
        self.by_name.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

impl Group {
    /// Whether gateways may use the group's route: the grant it was made for is the newest and stands.
    pub fn route_stands(&self) -> bool {
        let (grant, route) = (&self.grant, &self.route);
        grant.state == GrantState::Held && route.grant == grant.ownership_epoch && route.owner == grant.owner
    }
}

impl View {
    /// The region called `name`.
    pub fn region(&self, name: &RegionName) -> Option<&Region> {
        self.regions.iter().find(|region| region.address.region == *name)
    }

    /// The protection group called `name`.
    pub fn group(&self, name: &ProtectionGroup) -> Option<&Group> {
        self.groups.iter().find(|group| group.grant.group == *name)
    }

    /// The group a topic called `name` belongs to, or would if it were created.
    pub fn group_of_topic(&self, name: &TopicName) -> Option<&Group> {
        let grants: Vec<_> = self.groups.iter().map(|group| group.grant.clone()).collect();
        let covering = covering_grant(&grants, name)?.group.clone();
        self.group(&covering)
    }

    /// Whether `region`, as this incarnation, may renew its lease of the grant.
    pub fn confirms_lease(
        &self,
        region: &RegionName,
        incarnation: Incarnation,
        group: &ProtectionGroup,
        epoch: OwnershipEpoch,
    ) -> bool {
        self.group(group).is_some_and(|group| {
            let grant = &group.grant;
            grant.state == GrantState::Held
                && (&grant.owner, grant.ownership_epoch) == (region, epoch)
                && group.owner_incarnation == incarnation
        })
    }

    /// Whether a gateway may go on using the route: it is the newest one and the grant it was made for stands.
    pub fn confirms_route(&self, group: &ProtectionGroup, route_epoch: u64) -> bool {
        self.group(group).is_some_and(|group| group.route_stands() && group.route.epoch == route_epoch)
    }

    /// The routes that may be used, each with the grant it was made for.
    pub fn standing_routes(&self) -> Vec<(ProtectionGroup, OwnershipEpoch)> {
        let standing = self.groups.iter().filter(|group| group.route_stands());
        standing.map(|group| (group.grant.group.clone(), group.route.grant)).collect()
    }

    /// The grants that `region`, as this incarnation, may renew its lease of.
    pub fn leases_of(&self, region: &RegionName, incarnation: Incarnation) -> Vec<(ProtectionGroup, OwnershipEpoch)> {
        let grants = self.groups.iter().map(|group| &group.grant);
        let held = grants.filter(|grant| self.confirms_lease(region, incarnation, &grant.group, grant.ownership_epoch));
        held.map(|grant| (grant.group.clone(), grant.ownership_epoch)).collect()
    }

    /// How many votes the council has.
    pub fn voters(&self) -> usize {
        self.regions.len() + usize::from(self.witness.is_some())
    }
}
