//! Which broker of a source region leads what.

use crate::ports::CopyKey;
use model::{Leaders, PartitionId};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// `host:port` of a broker's internal listener.
pub(crate) type Address = Arc<str>;

/// Where partitions of a source region are read. What nobody is known to lead is asked of the broker that was asked last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Routes {
    fallback: Address,
    leaders: HashMap<CopyKey, Address>,
    /// By partition of `__consumer_offsets`; empty where one broker is the region.
    coordinators: Vec<Option<Address>>,
    brokers: Vec<Address>,
}

impl Routes {
    /// Everything lies at one broker.
    pub(crate) fn all_at(address: Address) -> Self {
        let brokers = vec![address.clone()];
        Self { fallback: address, leaders: HashMap::new(), coordinators: Vec::new(), brokers }
    }

    /// What the broker at `address` says of its region.
    pub(crate) fn said_by(address: Address, said: &Leaders) -> Self {
        if said.brokers.len() < 2 {
            return Self::all_at(address);
        }
        let known = said.brokers.iter().filter(|broker| !broker.internal.is_empty());
        let by_slot: BTreeMap<u16, Address> =
            known.map(|broker| (broker.slot, Address::from(broker.internal.as_str()))).collect();
        let mut leaders = HashMap::new();
        for topic in &said.topics {
            let led = topic.partitions.iter();
            let at = led.filter_map(|led| Some(((topic.id, led.partition), by_slot.get(&led.leader)?.clone())));
            leaders.extend(at);
        }
        let coordinator = |slot: &Option<u16>| by_slot.get(&(*slot)?).cloned();
        let coordinators = said.coordinators.iter().map(coordinator).collect();
        Self { fallback: address, leaders, coordinators, brokers: by_slot.into_values().collect() }
    }

    /// Where a partition is read.
    pub(crate) fn of(&self, key: &CopyKey) -> &Address {
        self.leaders.get(key).unwrap_or(&self.fallback)
    }

    /// Where the commits in a partition of `__consumer_offsets` are read; `None` while nobody leads it.
    pub(crate) fn coordinator(&self, partition: PartitionId) -> Option<&Address> {
        if self.coordinators.is_empty() {
            return Some(&self.fallback);
        }
        let number = usize::try_from(partition.0).ok()?;
        // One that the region does not have is answered by anybody.
        self.coordinators.get(number).map_or(Some(&self.fallback), Option::as_ref)
    }

    /// The brokers of the region.
    pub(crate) fn brokers(&self) -> &[Address] {
        &self.brokers
    }

    /// Whether anything is read at `address`.
    pub(crate) fn lead_to(&self, address: &str) -> bool {
        let is_it = |known: &Address| **known == *address;
        is_it(&self.fallback) || self.leaders.values().any(is_it) || self.coordinators.iter().flatten().any(is_it)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{
        BrokerAddress, LeaderEpoch, OwnershipEpoch, PartitionLeader, RegionName, TopicId, TopicLeaders, TopicName,
    };

    fn said(brokers: &[(u16, &str)], leaders: &[u16]) -> Leaders {
        let led = |(partition, leader): (usize, &u16)| PartitionLeader {
            partition: PartitionId(partition as i32),
            leader: *leader,
            leader_epoch: LeaderEpoch(4096),
            ownership_epoch: OwnershipEpoch(1),
            isr: vec![],
            writable: true,
        };
        let partitions = leaders.iter().enumerate().map(led).collect();
        let topic = TopicLeaders { id: TopicId::ZERO, name: TopicName::new("t").unwrap(), partitions };
        let address = |(slot, internal): &(u16, &str)| BrokerAddress { slot: *slot, internal: (*internal).to_owned() };
        Leaders {
            region: RegionName::new("r1").unwrap(),
            version: 1,
            topics: vec![topic],
            coordinators: vec![Some(1), None],
            brokers: brokers.iter().map(address).collect(),
            fenced: vec![],
        }
    }

    fn key(partition: i32) -> CopyKey {
        (TopicId::ZERO, PartitionId(partition))
    }

    #[test]
    fn each_partition_is_read_at_its_leader() {
        let routes = Routes::said_by("any".into(), &said(&[(0, "a"), (1, "b"), (2, "c")], &[1, 0, 7]));
        assert_eq!((&**routes.of(&key(0)), &**routes.of(&key(1))), ("b", "a"));
        assert_eq!((&**routes.of(&key(2)), &**routes.of(&key(3))), ("any", "any"), "nobody is known to lead these");
        let coordinator = |partition| routes.coordinator(PartitionId(partition)).map(|address| &**address);
        assert_eq!((coordinator(0), coordinator(1), coordinator(2)), (Some("b"), None, Some("any")));
        assert!(routes.lead_to("a") && routes.lead_to("any") && !routes.lead_to("c"));
        assert_eq!(routes.brokers().len(), 3);
    }

    #[test]
    fn a_region_of_one_broker_is_read_where_the_council_says() {
        let routes = Routes::said_by("told".into(), &said(&[(0, "inside")], &[0]));
        assert_eq!(routes, Routes::all_at("told".into()));
        assert_eq!(routes.coordinator(PartitionId(1)).map(|address| &**address), Some("told"));
    }
}
