use super::{Group, View};
use crate::answer::VirtualNode;
use model::{Coverage, GrantState, OwnershipEpoch, ProtectionGroup, RegionName, TopicId, TopicName, TopicState};
use std::collections::BTreeMap;

/// Everything a gateway has to know.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteTable {
    /// The council log entry it reflects; a table with a smaller one is out of date.
    pub version: u64,
    /// The cluster id Kafka clients see.
    pub cluster_id: String,
    /// The virtual nodes of all gateways, by id.
    pub virtual_nodes: Vec<VirtualNode>,
    /// The protection groups, by name.
    pub groups: Vec<GroupRoute>,
    /// The topics clients may use, by name.
    pub topics: Vec<TopicRoute>,
    /// The regions, by index.
    pub regions: Vec<RegionRoute>,
}

/// Where the clients of a protection group go.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupRoute {
    /// The group.
    pub name: ProtectionGroup,
    /// The region its clients are sent to.
    pub owner: RegionName,
    /// The grant the route was made for.
    pub ownership_epoch: OwnershipEpoch,
    /// The number of the route.
    pub route_epoch: u64,
    /// Whether that grant stands.
    pub state: GrantState,
    /// What belongs to the group.
    pub coverage: Coverage,
    /// The regions that all take its writes, the group's home first; empty where the owner alone does.
    pub active: Vec<RegionName>,
}

/// A topic clients may use.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicRoute {
    /// Its id.
    pub id: TopicId,
    /// Its name.
    pub name: TopicName,
    /// How many partitions it has.
    pub partitions: i32,
    /// The group it belongs to.
    pub group: ProtectionGroup,
    /// Its configuration.
    pub config: BTreeMap<String, String>,
}

/// Where a gateway reaches a region.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionRoute {
    /// The region.
    pub name: RegionName,
    /// `host:port` of the gateways' listener.
    pub gateways: String,
    /// `host:port` of the internal listener.
    pub internal: String,
}

impl View {
    /// Everything a gateway has to know; `None` before the platform is formed.
    pub fn route_table(&self) -> Option<RouteTable> {
        let mut virtual_nodes: Vec<_> = self.gateways.iter().flat_map(|gateway| gateway.nodes.clone()).collect();
        virtual_nodes.sort_by_key(|node| node.id);
        Some(RouteTable {
            version: self.council_index,
            cluster_id: self.cluster_id.clone()?,
            virtual_nodes,
            groups: self.groups.iter().map(GroupRoute::of).collect(),
            topics: self.topic_routes(),
            regions: self.region_routes(),
        })
    }

    fn topic_routes(&self) -> Vec<TopicRoute> {
        let usable = self.topics.iter().filter(|topic| topic.state == TopicState::Live);
        let route = |topic: &model::TopicSpec| TopicRoute {
            id: topic.id,
            name: topic.name.clone(),
            partitions: topic.partitions,
            group: topic.group.clone(),
            config: topic.config.clone(),
        };
        usable.map(|topic| route(topic)).collect()
    }

    fn region_routes(&self) -> Vec<RegionRoute> {
        let addresses = self.regions.iter().map(|region| &region.address);
        let route = |address: &model::RegionAddress| RegionRoute {
            name: address.region.clone(),
            gateways: address.gateways.clone(),
            internal: address.internal.clone(),
        };
        addresses.map(route).collect()
    }
}

impl GroupRoute {
    fn of(group: &Group) -> Self {
        Self {
            name: group.grant.group.clone(),
            owner: group.route.owner.clone(),
            ownership_epoch: group.route.grant,
            route_epoch: group.route.epoch,
            state: if group.route_stands() { GrantState::Held } else { GrantState::Revoked },
            coverage: group.grant.coverage.clone(),
            active: if group.policy.active_active.is_some() {
                group.policy.members().cloned().collect()
            } else {
                vec![]
            },
        }
    }
}
