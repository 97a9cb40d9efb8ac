//! Metadata: nodes from the route table, leaders from what the owner region last said.

use super::cluster::controller;
use crate::state::Routing;
use api::routes::{Route, RoutedTopic};
use model::TopicId;
use wire::ErrorCode;
use wire::api::metadata::{Broker, PartitionResponse, Request, Response, Topic, TopicResponse};

/// A leader epoch that is not told.
const NO_EPOCH: i32 = -1;

pub(super) fn answer(request: &Request, routing: &Routing) -> Response {
    let brokers = routing.nodes().iter().map(|node| Broker {
        node_id: node.id,
        host: node.host.clone(),
        port: node.port.into(),
        ..Default::default()
    });
    Response {
        brokers: brokers.collect(),
        cluster_id: routing.table().map(|table| table.cluster_id.clone()),
        controller_id: controller(routing),
        topics: topics(request, routing),
        ..Default::default()
    }
}

/// The names `request` would have created: asked for by name, unknown, and creation allowed.
pub(crate) fn unknown_topics<'a>(request: &'a Request, routing: &Routing) -> Vec<&'a str> {
    let asked = request.topics.as_deref().unwrap_or_default();
    let by_name = asked.iter().filter(|topic| request.allow_auto_topic_creation && topic.topic_id == TopicId::ZERO);
    let names = by_name.filter_map(|topic| topic.name.as_deref());
    names.filter(|name| routing.topic_named(name).is_none()).collect()
}

fn topics(request: &Request, routing: &Routing) -> Vec<TopicResponse> {
    match &request.topics {
        Some(asked) => asked.iter().map(|asked| one(asked, routing)).collect(),
        None => all(routing),
    }
}

fn all(routing: &Routing) -> Vec<TopicResponse> {
    let topics = routing.table().map(|table| table.topics.as_slice()).unwrap_or_default();
    topics.iter().filter(|topic| !topic.name.is_internal()).map(|topic| known(topic, routing)).collect()
}

fn one(asked: &Topic, routing: &Routing) -> TopicResponse {
    // Java asks by id with an empty name beside it.
    let name = asked.name.as_ref().filter(|_| asked.topic_id == TopicId::ZERO);
    let found = match name {
        Some(name) => routing.topic_named(name),
        None => routing.topic_with_id(asked.topic_id),
    };
    match (found, name) {
        (Some(topic), _) => known(topic, routing),
        (None, Some(name)) => unknown(name),
        (None, None) => TopicResponse {
            error_code: ErrorCode::UNKNOWN_TOPIC_ID,
            name: None,
            topic_id: asked.topic_id,
            ..Default::default()
        },
    }
}

fn unknown(name: &str) -> TopicResponse {
    let is_name = model::TopicName::new(name).is_ok();
    let error_code = if is_name { ErrorCode::UNKNOWN_TOPIC_OR_PARTITION } else { ErrorCode::INVALID_TOPIC_EXCEPTION };
    TopicResponse { error_code, name: Some(name.to_owned()), ..Default::default() }
}

fn known(topic: &RoutedTopic, routing: &Routing) -> TopicResponse {
    let Some(route) = routing.route(&topic.group) else { return unknown(topic.name.as_str()) };
    TopicResponse {
        name: Some(topic.name.to_string()),
        topic_id: topic.id,
        is_internal: topic.name.is_internal(),
        partitions: (0..topic.partitions).map(|index| partition(topic.id, index, route, routing)).collect(),
        ..Default::default()
    }
}

fn partition(topic: TopicId, index: i32, route: &Route, routing: &Routing) -> PartitionResponse {
    let node = |slot: u16| routing.node(routing.server(route), slot, index).map(|node| node.id);
    let led = routing.leader(route, topic, index).and_then(|leader| Some((leader, node(leader.leader)?)));
    let Some((leader, leader_id)) = led else {
        return PartitionResponse {
            error_code: ErrorCode::LEADER_NOT_AVAILABLE,
            partition_index: index,
            leader_id: -1,
            ..Default::default()
        };
    };
    let isr_nodes: Vec<i32> = leader.isr.iter().filter_map(|slot| node(*slot)).collect();
    PartitionResponse {
        partition_index: index,
        leader_id,
        // Where every region takes writes each has epochs of its own: one that went back would be taken for old news.
        leader_epoch: if route.active.is_empty() { leader.leader_epoch.0 } else { NO_EPOCH },
        replica_nodes: isr_nodes.clone(),
        isr_nodes,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reach::RETURN_AFTER;
    use crate::state::State;
    use api::routes::{RouteTable, RoutedRegion, VirtualNode};
    use env::sim::ManualClock;
    use model::*;
    use std::sync::Arc;

    fn region(name: &str) -> RegionName {
        RegionName::new(name).unwrap()
    }

    fn table(owner: &str, epoch: u32) -> RouteTable {
        let node = |id: i32, name: &str| VirtualNode {
            id,
            host: "127.0.0.1".into(),
            port: 9092 + id as u16,
            region: region(name),
            slot: 0,
            gateway: "g1".into(),
        };
        let group = ProtectionGroup::new("default").unwrap();
        RouteTable {
            version: u64::from(epoch),
            cluster_id: "c".into(),
            virtual_nodes: vec![node(1, "r1"), node(4, "r2")],
            groups: vec![Route {
                group: group.clone(),
                owner: region(owner),
                ownership_epoch: OwnershipEpoch(epoch),
                state: GrantState::Held,
                coverage: Coverage { topics: vec![Pattern::Any], consumer_groups: vec![Pattern::Any] },
                active: vec![],
            }],
            topics: vec![RoutedTopic {
                id: TopicId(uuid::Uuid::from_u128(7)),
                name: TopicName::new("orders").unwrap(),
                partitions: 1,
                group,
                config: Default::default(),
            }],
            regions: vec![RoutedRegion { region: region("r1"), gateways: "a:1".into(), internal: "a:2".into() }],
        }
    }

    fn leaders(name: &str, ownership_epoch: u32) -> Leaders {
        let partition = PartitionLeader {
            partition: PartitionId(0),
            leader: 0,
            leader_epoch: LeaderEpoch::of(OwnershipEpoch(ownership_epoch), 1).unwrap(),
            ownership_epoch: OwnershipEpoch(ownership_epoch),
            isr: vec![0],
            writable: true,
        };
        let id = TopicId(uuid::Uuid::from_u128(7));
        let topic = TopicLeaders { id, name: TopicName::new("orders").unwrap(), partitions: vec![partition] };
        Leaders {
            region: region(name),
            version: u64::from(ownership_epoch),
            topics: vec![topic],
            coordinators: vec![],
            brokers: vec![],
            fenced: vec![],
        }
    }

    fn orders(state: &State) -> TopicResponse {
        let response = answer(&Request { topics: None, ..Default::default() }, &state.routing());
        assert_eq!(response.brokers.len(), 2);
        response.topics.into_iter().next().unwrap()
    }

    #[test]
    fn a_failover_looks_like_a_change_of_leaders() {
        let state = State::new(Arc::new(ManualClock::default()), None);
        state.adopt_table(table("r1", 1));
        state.adopt_leaders(leaders("r1", 1));
        let before = orders(&state);
        assert_eq!((before.partitions[0].leader_id, before.partitions[0].leader_epoch), (1, 4097));
        state.adopt_table(table("r2", 2));
        assert_eq!(orders(&state).partitions[0].error_code, ErrorCode::LEADER_NOT_AVAILABLE);
        state.adopt_leaders(leaders("r2", 2));
        let after = orders(&state);
        assert_eq!((after.partitions[0].leader_id, after.partitions[0].leader_epoch), (4, 8193));
        assert_eq!(after.topic_id, before.topic_id);
    }

    #[test]
    fn where_every_region_takes_writes_clients_go_to_the_gateway_s_own_and_elsewhere_while_that_is_lost() {
        let clock = Arc::new(ManualClock::default());
        let state = State::new(clock.clone(), Some(region("r2")));
        let mut both = table("r1", 1);
        both.groups[0].active = vec![region("r1"), region("r2")];
        state.adopt_table(both);
        state.adopt_leaders(leaders("r1", 1));
        state.adopt_leaders(leaders("r2", 1));
        let led_by = || {
            let partition = orders(&state).partitions.remove(0);
            assert_eq!(partition.leader_epoch, -1, "epochs of regions cannot be compared");
            partition.leader_id
        };
        assert_eq!((led_by(), state.routing().default_owner()), (4, Some(&region("r2"))));
        assert!(state.may_serve(&region("r2")), "no lease is needed");
        state.lose(&region("r2"));
        assert_eq!((led_by(), state.routing().owns(&region("r2"))), (1, false));
        state.hear(&region("r2"));
        assert_eq!(led_by(), 1, "it may go again");
        clock.pass(RETURN_AFTER);
        state.hear(&region("r2"));
        assert_eq!(led_by(), 4);
        let departures = ["r1", "r2"].map(|name| state.routing().departures(&region(name)));
        assert_eq!(departures, [1, 1], "clients have left each of them once");
        state.lose(&region("r1"));
        state.lose(&region("r2"));
        assert_eq!(led_by(), 4, "with nobody left they wait where they are at home");
    }

    #[test]
    fn an_older_table_is_refused() {
        let state = State::new(Arc::new(ManualClock::default()), None);
        state.adopt_table(table("r2", 2));
        state.adopt_table(table("r1", 1));
        assert_eq!(state.routing().default_owner(), Some(&region("r2")));
    }
}
