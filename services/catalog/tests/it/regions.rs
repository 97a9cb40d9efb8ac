use crate::council::{Council, addresses, form, group, region};
use catalog::command::{Addresses, JoinRegion, JoinWitness, NodePort, RegisterGateway, WITNESS_SLOT, council_node_id};
use catalog::{Answer, NodeIdentity, Refusal};
use model::{BrokerSlot, GrantState, Incarnation, OwnershipEpoch};

fn join(name: &str, index: u16, disk: &str) -> JoinRegion {
    JoinRegion { region: region(name), index, disk_id: disk.into(), addresses: addresses(index) }
}

fn identity(answer: Answer) -> NodeIdentity {
    match answer {
        Answer::Region(identity) => identity,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn founders_know_their_node_ids_beforehand() {
    let mut council = Council::empty().await;
    let Ok(Answer::Platform { nodes }) = council.decide(form(2)).await else { panic!("not formed") };
    let expected = [
        ("r1", council_node_id(BrokerSlot(0), Incarnation(1))),
        ("r2", council_node_id(BrokerSlot(1), Incarnation(2))),
        ("witness", council_node_id(WITNESS_SLOT, Incarnation(3))),
    ];
    assert_eq!(nodes.iter().map(|node| (node.name.as_str(), node.node_id)).collect::<Vec<_>>(), expected);
    assert_eq!(council.decide(form(2)).await, Ok(Answer::Platform { nodes }), "forming it again changes nothing");
    let mut other = form(2);
    other.cluster_id = "other".into();
    assert_eq!(council.refusal(other).await, Refusal::OtherPlatform { cluster_id: "farshore".into() });
}

#[tokio::test]
async fn nothing_can_be_had_before_the_platform_is_formed() {
    let mut council = Council::empty().await;
    assert_eq!(council.refusal(join("r1", 0, "d")).await, Refusal::Unformed);
    assert_eq!(council.catalog.view().cluster_id, None);
    assert_eq!(council.catalog.view().route_table(), None);
}

#[tokio::test]
async fn a_fresh_platform_protects_everything_in_its_first_region() {
    let council = Council::formed().await;
    let assignment = council.catalog.view().assignment(&region("r2")).unwrap();
    assert_eq!(assignment.incarnation, Incarnation(2));
    assert_eq!(assignment.regions.len(), 3);
    let grant = &assignment.groups[0];
    assert_eq!((grant.group.as_str(), grant.owner.as_str()), ("default", "r1"));
    assert_eq!((grant.ownership_epoch, grant.state), (OwnershipEpoch(1), GrantState::Held));
    let topics: Vec<_> = assignment.topics.iter().map(|topic| topic.name.as_str()).collect();
    assert_eq!(topics, ["__farshore_canary.default"]);
}

#[tokio::test]
async fn a_region_that_comes_back_with_its_disk_keeps_its_incarnation() {
    let mut council = Council::formed().await;
    let mut back = join("r2", 1, "disk-r2");
    back.addresses = Addresses { clients: "127.0.0.1:5".into(), ..addresses(1) };
    let before = council.catalog.view().council_index;
    let same = identity(council.decide(back.clone()).await.unwrap());
    assert_eq!((same.incarnation, same.replaces), (Incarnation(2), None));
    let view = council.catalog.view();
    assert_eq!(view.region(&region("r2")).unwrap().address.clients, "127.0.0.1:5");
    assert!(view.council_index > before);
    council.decide(back).await.unwrap();
    assert_eq!(council.catalog.view().council_index, view.council_index, "nothing changed, so nothing is published");
}

#[tokio::test]
async fn an_empty_disk_is_a_new_incarnation_and_owns_nothing() {
    let mut council = Council::formed().await;
    let new = identity(council.decide(join("r1", 0, "disk-new")).await.unwrap());
    assert_eq!(new.incarnation, Incarnation(4));
    assert_eq!(new.node_id, council_node_id(BrokerSlot(0), Incarnation(4)));
    assert_eq!(new.replaces, Some(council_node_id(BrokerSlot(0), Incarnation(1))));
    let view = council.catalog.view();
    assert_eq!(view.group(&group("default")).unwrap().grant.state, GrantState::Revoked);
    assert!(!view.confirms_lease(&region("r1"), Incarnation(4), &group("default"), OwnershipEpoch(1)));
    let refusal = council.refusal(join("r1", 0, "disk-r1")).await;
    assert!(matches!(refusal, Refusal::DiskReplaced { incarnation: Incarnation(1), .. }), "{refusal}");
}

#[tokio::test]
async fn indexes_belong_to_regions_for_ever() {
    let mut council = Council::formed().await;
    assert!(matches!(council.refusal(join("r4", 1, "d4")).await, Refusal::IndexTaken { index: 1, .. }));
    assert!(matches!(council.refusal(join("r2", 7, "disk-r2")).await, Refusal::OtherIndex { index: 1, asked: 7, .. }));
    let new = identity(council.decide(join("r4", 3, "d4")).await.unwrap());
    assert_eq!(new.incarnation, Incarnation(4));
}

#[tokio::test]
async fn a_witness_with_an_empty_disk_is_a_new_node() {
    let mut council = Council::empty().await;
    council.decide(form(2)).await.unwrap();
    let witness =
        |name: &str, disk: &str| JoinWitness { name: name.into(), disk_id: disk.into(), council: "127.0.0.1:7".into() };
    let same = identity(council.decide(witness("witness", "disk-witness")).await.unwrap());
    assert_eq!((same.incarnation, same.replaces), (Incarnation(3), None));
    let new = identity(council.decide(witness("witness", "other")).await.unwrap());
    assert_eq!((new.incarnation, new.replaces), (Incarnation(4), Some(same.node_id)));
    assert_eq!(council.catalog.view().voters(), 3);
    assert!(matches!(council.refusal(witness("second", "x")).await, Refusal::Exists { .. }));
}

fn gateway(name: &str, port: u16) -> RegisterGateway {
    let node = |(n, name): (u16, &str)| NodePort { region: region(name), slot: BrokerSlot(0), port: port + 1 + n };
    RegisterGateway {
        gateway: name.into(),
        host: "127.0.0.1".into(),
        port,
        nodes: (0..).zip(["r1", "r2", "r3"]).map(node).collect(),
    }
}

#[tokio::test]
async fn virtual_nodes_keep_their_ids_for_ever() {
    let mut council = Council::formed().await;
    let Ok(Answer::Gateway { nodes }) = council.decide(gateway("g1", 9092)).await else { panic!("refused") };
    assert_eq!(nodes.iter().map(|node| (node.id, node.port)).collect::<Vec<_>>(), [(1, 9093), (2, 9094), (3, 9095)]);
    council.decide(gateway("g2", 9192)).await.unwrap();
    let Ok(Answer::Gateway { nodes }) = council.decide(gateway("g1", 7000)).await else { panic!("refused") };
    assert_eq!(nodes.iter().map(|node| (node.id, node.port)).collect::<Vec<_>>(), [(1, 7001), (2, 7002), (3, 7003)]);
    let view = council.catalog.view();
    let table = view.route_table().unwrap();
    assert_eq!(table.virtual_nodes.iter().map(|node| node.id).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(view.assignment(&region("r1")).unwrap().gateway.as_deref(), Some("127.0.0.1:7000"));
}

#[tokio::test]
async fn two_listeners_cannot_share_a_port() {
    let mut council = Council::formed().await;
    council.decide(gateway("g1", 9092)).await.unwrap();
    assert!(matches!(council.refusal(gateway("g2", 9094)).await, Refusal::PortTaken { port: 9094, .. }));
    assert_eq!(council.catalog.view().gateways.len(), 1);
    let mut unknown = gateway("g3", 7000);
    unknown.nodes[1].region = region("r9");
    assert!(matches!(council.refusal(unknown).await, Refusal::NotFound { .. }));
}
