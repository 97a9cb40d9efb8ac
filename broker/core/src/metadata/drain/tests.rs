use super::super::samples::{cluster, create_on, grant, local_on, register};
use super::super::{Addresses, Boot, Choice, Command, Location, Placement};
use super::*;
use model::TopicId;
use proptest::prelude::*;
use std::collections::BTreeSet;

const ZERO: PartitionId = PartitionId(0);
const AT_ONCE: usize = 3;

fn slots(slots: &[u16]) -> Vec<BrokerSlot> {
    slots.iter().copied().map(BrokerSlot).collect()
}

fn start_all(image: &mut Image) {
    for (broker, session) in image.brokers().map(|(slot, known)| (slot, known.session)).collect::<Vec<_>>() {
        let starts = image.starts_due(broker);
        image.apply(Command::StartLeaders { broker, session, starts }).unwrap();
    }
}

/// So many brokers, and a topic placed as given that is led by the first replicas.
fn led(brokers: u16, placement: &[&[u16]]) -> (Image, TopicId) {
    let mut image = cluster(brokers);
    image.apply(Command::Obey { council_index: 1, grant: grant("orders", "r1", 1) }).unwrap();
    let topic = create_on(&mut image, "eu.orders", Some("orders"), placement);
    start_all(&mut image);
    (image, topic)
}

fn drain(image: &mut Image, slot: u16, onto: Option<u16>) -> Result<Answer, Refusal> {
    image.apply(Command::Drain { broker: BrokerSlot(slot), onto: onto.map(BrokerSlot) })
}

fn fence(image: &mut Image, slot: u16) {
    let (broker, reign) = (BrokerSlot(slot), image.reign());
    let session = image.broker(broker).unwrap().session;
    image.apply(Command::Fence { reign, broker, session, choices: vec![] }).unwrap();
}

/// Every leader that has something to hand over does so.
fn hand_over(image: &mut Image) {
    let alive = image.brokers().filter(|(_, known)| !known.is_fenced());
    for (broker, session) in alive.map(|(slot, known)| (slot, known.session)).collect::<Vec<_>>() {
        let moves: Vec<Choice> = image.leads_for_others(broker);
        image.apply(Command::MoveLeaders { broker, session, moves }).unwrap();
    }
}

/// Every leader finds everybody who is alive in sync.
fn catch_up(image: &mut Image) {
    let joined: Vec<_> = image.brokers().map(|(slot, known)| (slot, known.session)).collect();
    let all: Vec<_> = image.all_partitions().map(|(topic, number, known)| (topic.id, number, known.clone())).collect();
    for (topic, partition, known) in all {
        let Some(leader) = known.leader else { continue };
        let isr = known.replicas.iter().copied().filter(|slot| image.is_unfenced(*slot)).collect();
        let (leader, session, partition_epoch) = (leader.broker, leader.session, known.partition_epoch);
        let joined = joined.clone();
        let change = Command::ChangeIsr { topic, partition, leader, session, partition_epoch, isr, joined };
        image.apply(change).unwrap();
    }
}

fn leaving(image: &Image) -> usize {
    image.all_partitions().filter(|(.., known)| known.reassignment.is_some()).count()
}

/// Goes on until nothing is left to move, and gives how many rounds that took.
fn empty(image: &mut Image) -> usize {
    for round in 0..1_000 {
        hand_over(image);
        let moves = image.drain_moves(AT_ONCE);
        let is_over = moves.is_empty() && leaving(image) == 0;
        image.apply(Command::Reassign { moves }).unwrap();
        assert!(leaving(image) <= AT_ONCE);
        catch_up(image);
        hand_over(image);
        if is_over {
            return round;
        }
    }
    panic!("it does not end: {image:?}");
}

fn replicas(image: &Image, topic: TopicId, number: i32) -> Vec<BrokerSlot> {
    image.partition(topic, PartitionId(number)).unwrap().replicas.clone()
}

fn leader(image: &Image, topic: TopicId, number: i32) -> Option<u16> {
    image.partition(topic, PartitionId(number)).unwrap().leader.map(|leader| leader.broker.0)
}

#[test]
fn a_broker_gives_its_leaderships_away_first_and_is_empty_in_the_end() {
    let (mut image, topic) = led(4, &[&[0, 1, 2], &[1, 2, 0], &[1, 2, 3], &[0, 3, 2]]);
    assert_eq!(drain(&mut image, 0, None), Ok(Answer::Applied));
    assert_eq!(drain(&mut image, 0, None), Ok(Answer::Unchanged));
    assert_eq!(image.load(BrokerSlot(0)), Load { replicas: 3, in_sync: 3, leaders: 2, leaving: 0 });
    hand_over(&mut image);
    assert_eq!(image.load(BrokerSlot(0)).leaders, 0, "before anything has moved");
    assert_eq!(leader(&image, topic, 0), Some(1));
    empty(&mut image);
    assert_eq!(image.load(BrokerSlot(0)), Load::default());
    assert_eq!(replicas(&image, topic, 0), slots(&[3, 1, 2]), "in the place of the one that went");
    assert_eq!((replicas(&image, topic, 1), replicas(&image, topic, 2)), (slots(&[1, 2, 3]), slots(&[1, 2, 3])));
    assert!(image.is_draining(BrokerSlot(0)), "nothing new comes");
}

#[test]
fn a_preferred_leader_that_is_drained_gets_no_leadership_back() {
    let (mut image, topic) = led(4, &[&[0, 1, 2]]);
    drain(&mut image, 0, None).unwrap();
    hand_over(&mut image);
    assert_eq!(leader(&image, topic, 0), Some(1));
    assert_eq!(image.leads_for_others(BrokerSlot(1)), vec![]);
    image.apply(Command::CancelDrain { broker: BrokerSlot(0) }).unwrap();
    hand_over(&mut image);
    assert_eq!(leader(&image, topic, 0), Some(0), "it is the preferred one again");
}

#[test]
fn a_broker_that_others_cannot_do_without_is_refused_by_name() {
    let (mut image, _) = led(3, &[&[0, 1, 2]]);
    let refused = drain(&mut image, 1, None).unwrap_err();
    let Refusal::TooFewBrokers { ref topic, replicas: 3, ref left, .. } = refused else { panic!("{refused:?}") };
    assert_eq!((topic.as_str(), left), ("eu.orders", &slots(&[0, 2])));
    let said = refused.to_string();
    assert!(said.contains("eu.orders has 3 replicas") && said.contains("brokers 0, 2 are alive"), "{said}");
    // A broker that is dead takes nothing.
    register(&mut image, BrokerSlot(3));
    fence(&mut image, 3);
    assert!(matches!(drain(&mut image, 1, None), Err(Refusal::TooFewBrokers { .. })));
    assert_eq!(drain(&mut image, 9, None), Err(Refusal::UnknownBroker(BrokerSlot(9))));
    let mut alone = cluster(1);
    assert_eq!(drain(&mut alone, 0, None), Err(Refusal::NobodyLeft(BrokerSlot(0))));
}

#[test]
fn two_brokers_are_emptied_at_once_only_where_enough_are_left() {
    let (mut image, _) = led(5, &[&[0, 1, 2], &[2, 3, 4]]);
    drain(&mut image, 0, None).unwrap();
    drain(&mut image, 1, None).unwrap();
    let third = drain(&mut image, 2, None);
    assert!(matches!(third, Err(Refusal::TooFewBrokers { replicas: 3, .. })), "{third:?}");
    empty(&mut image);
    assert_eq!(image.load(BrokerSlot(0)).replicas + image.load(BrokerSlot(1)).replicas, 0);
}

#[test]
fn a_broker_is_replaced_by_exactly_another_one() {
    let (mut image, topic) = led(5, &[&[0, 1, 2], &[1, 0, 2], &[2, 1, 0], &[2, 1, 3]]);
    assert_eq!(drain(&mut image, 2, Some(2)), Err(Refusal::Draining(BrokerSlot(2))));
    assert_eq!(drain(&mut image, 2, Some(7)), Err(Refusal::UnknownBroker(BrokerSlot(7))));
    let both = drain(&mut image, 2, Some(3)).unwrap_err();
    assert!(both.to_string().contains("both hold eu.orders-3"), "{both}");
    drain(&mut image, 2, Some(4)).unwrap();
    fence(&mut image, 4);
    assert_eq!(image.drain_moves(AT_ONCE), vec![], "it is waited for");
    register(&mut image, BrokerSlot(4));
    empty(&mut image);
    assert_eq!(image.load(BrokerSlot(4)).replicas, 4);
    assert_eq!(replicas(&image, topic, 3), slots(&[4, 1, 3]));
}

#[test]
fn a_dead_broker_is_emptied_from_those_that_are_left() {
    let (mut image, topic) = led(4, &[&[0, 1, 2], &[0]]);
    fence(&mut image, 0);
    drain(&mut image, 0, None).unwrap();
    let moves = image.drain_moves(AT_ONCE);
    assert_eq!(moves.len(), 1, "what it alone holds nobody can give away");
    image.apply(Command::Reassign { moves }).unwrap();
    catch_up(&mut image);
    assert_eq!(replicas(&image, topic, 0), slots(&[3, 1, 2]));
    assert_eq!(image.load(BrokerSlot(0)), Load { replicas: 1, in_sync: 1, leaders: 0, leaving: 0 });
    register(&mut image, BrokerSlot(0));
    empty(&mut image);
    assert_eq!(image.load(BrokerSlot(0)).replicas, 0);
}

#[test]
fn where_the_newcomer_dies_on_the_way_another_one_comes() {
    let (mut image, topic) = led(5, &[&[0, 1, 2]]);
    drain(&mut image, 0, None).unwrap();
    image.apply(Command::Reassign { moves: image.drain_moves(AT_ONCE) }).unwrap();
    assert_eq!(image.partition(topic, ZERO).unwrap().adding(), slots(&[3]));
    assert_eq!(image.drain_moves(AT_ONCE), vec![]);
    fence(&mut image, 3);
    empty(&mut image);
    assert_eq!(replicas(&image, topic, 0), slots(&[4, 1, 2]));
}

#[test]
fn a_cancelled_drain_takes_back_what_is_on_its_way() {
    let (mut image, topic) = led(4, &[&[0, 1, 2], &[0, 2, 1]]);
    drain(&mut image, 0, None).unwrap();
    image.apply(Command::Reassign { moves: image.drain_moves(1) }).unwrap();
    catch_up(&mut image);
    hand_over(&mut image);
    assert_eq!(replicas(&image, topic, 0), slots(&[3, 1, 2]));
    image.apply(Command::Reassign { moves: image.drain_moves(1) }).unwrap();
    assert_eq!(leaving(&image), 1);
    image.apply(Command::CancelDrain { broker: BrokerSlot(0) }).unwrap();
    assert_eq!((leaving(&image), replicas(&image, topic, 1)), (0, slots(&[0, 2, 1])));
    assert_eq!(replicas(&image, topic, 0), slots(&[3, 1, 2]), "what has left stays where it is");
    let again = image.apply(Command::CancelDrain { broker: BrokerSlot(0) });
    assert_eq!(again, Err(Refusal::NotDraining(BrokerSlot(0))));
    assert_eq!(image.drain_moves(AT_ONCE), vec![]);
}

#[test]
fn nothing_new_comes_to_a_broker_that_is_emptied() {
    let (mut image, topic) = led(4, &[&[1, 2, 3]]);
    drain(&mut image, 0, None).unwrap();
    for replicas in Placement::of(&image, TopicId::ZERO, 3, |_| true).partitions(0, 8) {
        assert!(!replicas.contains(&BrokerSlot(0)) && replicas.len() == 3);
    }
    let onto = vec![Move { topic, partition: ZERO, replicas: Some(slots(&[0, 1, 2])) }];
    assert_eq!(image.apply(Command::Reassign { moves: onto }), Err(Refusal::Draining(BrokerSlot(0))));
}

#[test]
fn a_broker_is_forgotten_only_when_it_is_empty_and_stopped_and_its_disk_never_comes_back() {
    let (mut image, _) = led(4, &[&[0, 1, 2]]);
    let unregister = |image: &mut Image| image.apply(Command::UnregisterBroker { broker: BrokerSlot(0) });
    let refused = unregister(&mut image).unwrap_err();
    assert!(refused.to_string().contains("still holds 1 replicas, of eu.orders"), "{refused}");
    drain(&mut image, 0, None).unwrap();
    empty(&mut image);
    assert_eq!(unregister(&mut image), Err(Refusal::StillRuns(BrokerSlot(0))));
    fence(&mut image, 0);
    assert_eq!(unregister(&mut image), Ok(Answer::Applied));
    assert_eq!(unregister(&mut image), Err(Refusal::UnknownBroker(BrokerSlot(0))));
    assert_eq!((image.unregistered(BrokerSlot(0)), image.drain_of(BrokerSlot(0))), (Some(Incarnation(1)), None));
    let back = |incarnation| Command::RegisterBroker {
        slot: BrokerSlot(0),
        incarnation: Incarnation(incarnation),
        addresses: Addresses::default(),
        location: Location::default(),
        desk: false,
        boot: Boot::default(),
    };
    assert!(matches!(image.apply(back(1)), Err(Refusal::Unregistered { .. })));
    let next = image.apply(Command::AllotIncarnation { slot: BrokerSlot(0) });
    assert_eq!(next, Ok(Answer::Allotted { incarnation: Incarnation(2) }));
    assert!(image.apply(back(2)).is_ok());
    let written = serde_json::to_vec(&image).unwrap();
    assert_eq!(serde_json::from_slice::<Image>(&written).unwrap(), image);
}

/// A region whose brokers stand in the given racks, with topics of so many replicas and partitions.
fn region(racks: &[u8], topics: &[(usize, i32)]) -> Image {
    let mut image = cluster(0);
    for (slot, rack) in (0..).map(BrokerSlot).zip(racks) {
        let location = Location { data_centre: String::new(), rack: rack.to_string() };
        let (incarnation, addresses) = (Incarnation(1), Addresses::default());
        let boot = Boot::default();
        let register = Command::RegisterBroker { slot, incarnation, addresses, location, desk: false, boot };
        let Ok(Answer::Registered { session }) = image.apply(register) else { panic!("a broker registers") };
        image.apply(Command::Unfence { reign: image.reign(), broker: slot, session }).unwrap();
    }
    for (number, (replicas, partitions)) in topics.iter().enumerate() {
        let id = TopicId(uuid::Uuid::from_u128(number as u128));
        let placed = Placement::of(&image, id, *replicas, |_| true).partitions(0, *partitions);
        let placed: Vec<Vec<u16>> = placed.iter().map(|of| of.iter().map(|slot| slot.0).collect()).collect();
        let placed: Vec<&[u16]> = placed.iter().map(Vec::as_slice).collect();
        local_on(&mut image, &format!("t{number}"), &placed);
    }
    start_all(&mut image);
    image
}

/// How many racks the replicas of a partition stand in.
fn spread(image: &Image, partition: &Partition) -> usize {
    let racks: BTreeSet<_> =
        partition.replicas.iter().map(|slot| image.broker(*slot).unwrap().location.clone()).collect();
    racks.len()
}

proptest! {
    #[test]
    fn a_drain_ends_with_nothing_left_and_costs_no_replica(
        racks in prop::collection::vec(0_u8..3, 2..7),
        topics in prop::collection::vec((1_usize..4, 1_i32..12), 1..4),
        (drained, dead) in (any::<prop::sample::Index>(), any::<Option<prop::sample::Index>>()),
    ) {
        let mut image = region(&racks, &topics);
        let drained = drained.index(racks.len()) as u16;
        let before = image.clone();
        if drain(&mut image, drained, None).is_err() {
            prop_assert_eq!(&image, &before);
            let widest = before.all_partitions().map(|(.., known)| known.replicas.len()).max().unwrap();
            prop_assert!(widest > racks.len() - 1, "it is refused only for want of brokers");
            return Ok(());
        }
        // Another one dies on the way, and comes back.
        let dead = dead.map(|dead| dead.index(racks.len()) as u16).filter(|dead| *dead != drained);
        hand_over(&mut image);
        image.apply(Command::Reassign { moves: image.drain_moves(AT_ONCE) }).unwrap();
        if let Some(dead) = dead {
            fence(&mut image, dead);
            image.apply(Command::Reassign { moves: image.drain_moves(AT_ONCE) }).unwrap();
            register(&mut image, BrokerSlot(dead));
            let location = before.broker(BrokerSlot(dead)).unwrap().location.clone();
            image.brokers.get_mut(&BrokerSlot(dead)).unwrap().location = location;
        }
        empty(&mut image);
        prop_assert_eq!(image.load(BrokerSlot(drained)), Load::default());
        let left: BTreeSet<_> = image.takers().map(|slot| image.broker(slot).unwrap().location.clone()).collect();
        for ((.., was), (.., is)) in before.all_partitions().zip(image.all_partitions()) {
            let different: BTreeSet<_> = is.replicas.iter().collect();
            prop_assert_eq!(different.len(), was.replicas.len());
            prop_assert!(is.reassignment.is_none() && is.leader.is_some());
            prop_assert_eq!(is.isr.len(), is.replicas.len());
            let stays = was.replicas.contains(&BrokerSlot(drained));
            if !stays {
                prop_assert_eq!(&is.replicas, &was.replicas, "what it did not hold does not move");
            }
            // Where somebody died, whoever was alive had to do.
            prop_assert!(dead.is_some() || spread(&image, is) >= spread(&before, was).min(left.len()));
        }
    }
}
