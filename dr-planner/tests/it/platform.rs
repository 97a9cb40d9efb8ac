//! A platform in a good state: three regions, one group, two partitions, r1 the owner.

use dr_planner::inventory::{CouncilFacts, Inventory, LinkFacts, RegionFacts};
use dr_planner::plan::{Kind, Plan, PlanId, Request, Trigger, build};
use dr_planner::policy::{Group, default_group};
use model::*;
use std::collections::BTreeMap;

pub(crate) const NOW: Timestamp = Timestamp(1_000_000);

pub(crate) fn region(name: &str) -> RegionName {
    RegionName::new(name).unwrap()
}

pub(crate) fn topic() -> TopicId {
    TopicId(uuid::Uuid::from_u128(7))
}

pub(crate) fn regions() -> Vec<RegionName> {
    ["r1", "r2", "r3"].map(region).to_vec()
}

pub(crate) fn policy() -> Group {
    default_group(&regions()).unwrap()
}

fn grant() -> Grant {
    let policy = policy();
    Grant {
        standbys: policy.standbys_of(&policy.home),
        group: policy.name,
        owner: policy.home.clone(),
        ownership_epoch: OwnershipEpoch(1),
        state: GrantState::Held,
        home: policy.home,
        coverage: policy.coverage,
        openings: vec![],
        mode: model::ModeState::default(),
        active: None,
    }
}

fn facts(region: &RegionName) -> RegionFacts {
    let owner = region.as_str() == "r1";
    let copy = |partition| dr_planner::inventory::CopyEnd {
        topic: topic(),
        partition: PartitionId(partition),
        last_epoch: LeaderEpoch(4096),
        tail: Offset(100),
    };
    let holding = Holding {
        group: policy().name,
        obeyed: OwnershipEpoch(1),
        owner,
        leased: owner,
        open: owner,
        stopped: false,
        sealed: false,
        commits: CommitMarks::default(),
    };
    RegionFacts {
        region: region.clone(),
        observed_at: NOW,
        incarnation: Incarnation(1),
        council_index: 9,
        holdings: vec![holding],
        copies: vec![copy(0), copy(1)],
        failed_partitions: 0,
        disk_free: 0.5,
        disk_full: false,
    }
}

fn link(target: &str) -> LinkFacts {
    LinkFacts {
        group: policy().name,
        source: region("r1"),
        target: region(target),
        observed_at: NOW,
        partitions: 2,
        never_heard: 0,
        holding: 2,
        unusable: vec![],
        source_damaged: vec![],
        lag_records: 0,
        lag_bytes: 0,
        lag_seconds: 0.0,
        silent_ms: 10,
        line: None,
    }
}

pub(crate) fn inventory() -> Inventory {
    let topic = TopicSpec {
        id: topic(),
        name: TopicName::new("orders").unwrap(),
        partitions: 2,
        config: BTreeMap::new(),
        group: policy().name,
        state: TopicState::Live,
        epochs_above: None,
    };
    Inventory {
        observed_at: NOW,
        regions: regions().iter().map(facts).collect(),
        links: vec![link("r2"), link("r3")],
        council: CouncilFacts { members: regions(), leader: Some(region("r2")) },
        grants: vec![grant()],
        topics: vec![topic],
        observations: vec![],
        busy: vec![],
    }
}

pub(crate) fn request(kind: Kind) -> Request {
    Request {
        id: PlanId("p-1".to_owned()),
        parent: None,
        generation: 1,
        kind,
        target: None,
        trigger: Trigger::Manual { by: "ann".to_owned() },
        reason: "practice".to_owned(),
        incident_at: None,
        accept_unusable: false,
    }
}

pub(crate) fn plan(kind: Kind) -> Plan {
    let mut inventory = inventory();
    if kind == Kind::Failback {
        inventory.grants[0].owner = region("r2");
        inventory.links[0].source = region("r2");
        inventory.links[0].target = region("r1");
        for facts in &mut inventory.regions {
            let owner = facts.region.as_str() == "r2";
            (facts.holdings[0].owner, facts.holdings[0].open) = (owner, owner);
        }
    }
    build(&inventory, &policy(), request(kind), NOW).unwrap()
}
