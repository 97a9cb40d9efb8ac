use super::{Command, Image, Placement, Topic, TopicDraft};
use model::{Assignment, Grant, TopicSpec};
use std::collections::{BTreeMap, BTreeSet};

/// How many replicas a partition gets where there are as many brokers, and its topic does not say.
pub const REPLICAS: usize = 3;
/// The entry of a topic's configuration that says how many replicas its partitions have in a region with as many brokers.
pub const REPLICAS_ENTRY: &str = "farshore.replicas";

/// How many replicas the partitions of a topic are to have that is configured so.
pub fn replicas_wanted(config: &BTreeMap<String, String>) -> usize {
    let said = config.get(REPLICAS_ENTRY).and_then(|value| value.parse().ok());
    said.filter(|replicas| *replicas > 0).unwrap_or(REPLICAS)
}

/// What has to be proposed to make `assignment` real in `image`, in order; nothing when it already is or is out of date.
///
/// Topics wait until as many of the region's `brokers` have registered as they are to have replicas. Leaderships come last and are those that are due once the rest is applied. A grant older than the one obeyed is left
/// out. Partitions are never taken away.
pub fn reconcile(image: &Image, assignment: &Assignment, brokers: usize) -> Vec<Command> {
    if assignment.council_index < image.council_seen {
        return vec![];
    }
    let changes = changes(image, assignment, brokers);
    let mut reached = image.clone();
    for change in &changes {
        // A change that is refused is tried again with the next assignment; what is due is judged without it.
        let _ = reached.apply(change.clone());
    }
    let starts = starts(&reached);
    changes.into_iter().chain(starts).collect()
}

fn changes(image: &Image, assignment: &Assignment, brokers: usize) -> Vec<Command> {
    let mut commands = vec![];
    if image.region.is_none() {
        let (region, incarnation) = (assignment.region.clone(), assignment.incarnation);
        commands.push(Command::Found { region, incarnation });
    }
    commands.extend(grants(image, assignment));
    commands.extend(deletions(image, assignment));
    if image.brokers().count() >= brokers.clamp(1, REPLICAS) {
        commands.extend(assignment.topics.iter().flat_map(|spec| topic(image, assignment.council_index, spec)));
    }
    commands.extend(retirements(image, assignment));
    commands.extend(reflection(image, assignment));
    commands
}

fn grants(image: &Image, assignment: &Assignment) -> Vec<Command> {
    let council_index = assignment.council_index;
    let news = assignment.groups.iter().filter(|grant| is_news(image, grant));
    news.map(|grant| Command::Obey { council_index, grant: grant.clone() }).collect()
}

fn is_news(image: &Image, grant: &Grant) -> bool {
    image
        .groups
        .get(&grant.group)
        .is_none_or(|known| grant.ownership_epoch >= known.obeyed() && (known.grant != *grant || known.retired))
}

fn retirements(image: &Image, assignment: &Assignment) -> Vec<Command> {
    let council_index = assignment.council_index;
    let named: BTreeSet<_> = assignment.groups.iter().map(|grant| &grant.group).collect();
    let gone = image.groups().map(|group| &group.grant.group).filter(|group| !named.contains(group));
    gone.map(|group| Command::Retire { council_index, group: group.clone() }).collect()
}

fn deletions(image: &Image, assignment: &Assignment) -> Vec<Command> {
    let council_index = assignment.council_index;
    let named: BTreeSet<_> = assignment.topics.iter().map(|spec| spec.id).collect();
    let gone = image.topics().filter(|topic| topic.group.is_some() && !named.contains(&topic.id));
    gone.map(|topic| Command::DeleteTopic { council_index, topic: topic.id }).collect()
}

fn topic(image: &Image, council_index: u64, spec: &TopicSpec) -> Vec<Command> {
    match image.topic(spec.id) {
        None => vec![Command::CreateTopic { council_index: Some(council_index), topic: drafted(image, spec) }],
        Some(known) => {
            configured(council_index, known, spec).into_iter().chain(grown(image, council_index, known, spec)).collect()
        }
    }
}

fn drafted(image: &Image, spec: &TopicSpec) -> TopicDraft {
    TopicDraft {
        id: spec.id,
        name: spec.name.clone(),
        group: Some(spec.group.clone()),
        config: spec.config.clone(),
        state: spec.state,
        epochs_above: spec.epochs_above,
        placement: placement(image, spec).partitions(0, spec.partitions),
    }
}

fn configured(council_index: u64, known: &Topic, spec: &TopicSpec) -> Option<Command> {
    let same = known.group.as_ref() == Some(&spec.group) && known.config == spec.config && known.state == spec.state;
    (!same).then(|| Command::ConfigureTopic {
        council_index,
        topic: spec.id,
        group: spec.group.clone(),
        config: spec.config.clone(),
        state: spec.state,
    })
}

fn grown(image: &Image, council_index: u64, known: &Topic, spec: &TopicSpec) -> Option<Command> {
    let from = known.partition_count();
    (spec.partitions > from).then(|| Command::AddPartitions {
        council_index,
        topic: spec.id,
        from,
        placement: placement(image, spec).partitions(from, spec.partitions),
    })
}

/// On all brokers, even those that are away: they follow when they are back.
fn placement(image: &Image, spec: &TopicSpec) -> Placement {
    Placement::of(image, spec.id, replicas_wanted(&spec.config), |_| true)
}

fn reflection(image: &Image, assignment: &Assignment) -> Option<Command> {
    let Assignment { council_index, regions, gateway, .. } = assignment;
    let same = (&image.council_index, &image.regions, &image.gateway) == (council_index, regions, gateway);
    (!same).then(|| Command::Reflect {
        council_index: *council_index,
        regions: regions.clone(),
        gateway: gateway.clone(),
    })
}

fn starts(image: &Image) -> Vec<Command> {
    let due = image.brokers().map(|(slot, broker)| (slot, broker.session, image.starts_due(slot)));
    let due = due.filter(|(_, _, starts)| !starts.is_empty());
    due.map(|(broker, session, starts)| Command::StartLeaders { broker, session, starts }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::samples::{SLOT, founded, grant, name, region, registered};
    use super::super::{Answer, Refusal, Role};
    use super::*;
    use model::{Incarnation, LeaderEpoch, PartitionId, TopicId, TopicName, TopicState};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn spec(number: u8, group: &str, partitions: i32) -> TopicSpec {
        TopicSpec {
            id: TopicId(uuid::Uuid::from_u128(u128::from(number) + 1)),
            name: TopicName::new(format!("topic-{number}")).unwrap(),
            partitions,
            config: BTreeMap::new(),
            group: name(group),
            state: TopicState::Live,
            epochs_above: None,
        }
    }

    fn assignment(council_index: u64, groups: Vec<Grant>, topics: Vec<TopicSpec>) -> Assignment {
        Assignment {
            council_index,
            region: region("r1"),
            incarnation: Incarnation(7),
            groups,
            topics,
            stopped: vec![],
            regions: vec![],
            gateway: Some("127.0.0.1:9092".into()),
        }
    }

    fn make_real(image: &mut Image, assignment: &Assignment) -> Vec<Answer> {
        reconcile(image, assignment, 1)
            .into_iter()
            .map(|command| image.apply(command).expect("is not refused"))
            .collect()
    }

    #[test]
    fn an_assignment_becomes_topics_with_started_leaders() {
        let (mut image, _) = registered();
        make_real(&mut image, &assignment(1, vec![grant("default", "r1", 1)], vec![spec(0, "default", 2)]));
        let topic = image.topic_named("topic-0").unwrap();
        let roles: Vec<_> = topic.partitions().map(|(_, partition)| partition.leader.unwrap().role).collect();
        assert_eq!(roles, vec![Role::Owner { leader_epoch: LeaderEpoch(4096) }; 2]);
        assert_eq!(image.council_index(), 1);
    }

    #[test]
    fn a_copy_becomes_an_owner_only_after_the_order() {
        let (mut image, session) = registered();
        let topics = vec![spec(0, "default", 1)];
        make_real(&mut image, &assignment(1, vec![grant("default", "r2", 1)], topics.clone()));
        make_real(&mut image, &assignment(2, vec![grant("default", "r1", 2)], topics.clone()));
        let role = |image: &Image| image.partition(topics[0].id, PartitionId(0)).unwrap().leader.unwrap().role;
        assert!(matches!(role(&image), Role::Copy { .. }));
        let starts = image.opening_starts(SLOT, &name("default"));
        image.apply(Command::StartLeaders { broker: SLOT, session, starts }).unwrap();
        assert_eq!(role(&image), Role::Owner { leader_epoch: LeaderEpoch(8192) });
    }

    #[test]
    fn a_topic_made_again_under_its_name_replaces_the_old_one() {
        let (mut image, _) = registered();
        let grants = vec![grant("default", "r1", 1)];
        make_real(&mut image, &assignment(1, grants.clone(), vec![spec(0, "default", 1)]));
        let mut again = spec(0, "default", 1);
        again.id = TopicId(uuid::Uuid::from_u128(77));
        make_real(&mut image, &assignment(2, grants, vec![again.clone()]));
        assert_eq!(image.topic_named("topic-0").unwrap().id, again.id);
        assert_eq!(image.topics().count(), 1);
    }

    #[test]
    fn a_topic_moved_between_groups_starts_again_under_the_receiver() {
        let (mut image, _) = registered();
        let grants = vec![grant("default", "r1", 1), grant("orders", "r1", 1)];
        make_real(&mut image, &assignment(1, grants, vec![spec(0, "default", 1)]));
        let grants = vec![grant("default", "r1", 1), grant("orders", "r1", 2)];
        make_real(&mut image, &assignment(2, grants, vec![spec(0, "orders", 1)]));
        let leader = image.topic_named("topic-0").unwrap().partition(PartitionId(0)).unwrap().leader.unwrap();
        assert_eq!(leader.role, Role::Owner { leader_epoch: LeaderEpoch(8192) });
    }

    #[test]
    fn a_restoring_topic_is_written_as_a_copy_until_it_is_live() {
        let (mut image, _) = registered();
        let grants = vec![grant("default", "r1", 1)];
        let mut restored = spec(0, "default", 1);
        restored.state = TopicState::Restoring;
        restored.epochs_above = Some(LeaderEpoch(4096 + 5));
        make_real(&mut image, &assignment(1, grants.clone(), vec![restored.clone()]));
        let role = |image: &Image| image.partition(restored.id, PartitionId(0)).unwrap().leader.unwrap().role;
        assert!(matches!(role(&image), Role::Copy { .. }));
        assert_eq!(image.view().topics.len(), 0);
        let mut live = restored.clone();
        live.state = TopicState::Live;
        make_real(&mut image, &assignment(2, grants, vec![live]));
        assert_eq!(role(&image), Role::Owner { leader_epoch: LeaderEpoch(4096 + 6) });
    }

    #[test]
    fn without_a_broker_only_what_the_council_says_is_noted() {
        let mut image = founded();
        make_real(&mut image, &assignment(1, vec![grant("default", "r1", 1)], vec![spec(0, "default", 1)]));
        assert_eq!((image.topics().count(), image.groups().count()), (0, 1));
    }

    /// A new session of the only broker, begun and let in.
    fn session_of(image: &Image) -> Vec<Command> {
        let (incarnation, addresses, location) = (Incarnation(1), Default::default(), Default::default());
        let register = Command::RegisterBroker {
            slot: SLOT,
            incarnation,
            addresses,
            location,
            desk: false,
            boot: Default::default(),
        };
        let Ok(Answer::Registered { session }) = image.clone().apply(register.clone()) else { panic!() };
        vec![register, Command::Unfence { reign: Default::default(), broker: SLOT, session }]
    }

    fn any_spec() -> impl Strategy<Value = TopicSpec> {
        let (number, group, partitions) = (0_u8..4, prop::sample::select(vec!["a", "b"]), 1_i32..4);
        (number, group, partitions, any::<bool>(), any::<bool>()).prop_map(
            |(number, group, partitions, again, live)| {
                let mut spec = spec(number, group, partitions);
                if again {
                    spec.id = TopicId(uuid::Uuid::from_u128(u128::from(number) + 100));
                }
                if !live {
                    spec.config.insert("retention.ms".into(), partitions.to_string());
                }
                spec
            },
        )
    }

    fn any_assignment() -> impl Strategy<Value = Assignment> {
        let specs = prop::collection::vec(any_spec(), 0..5);
        (1_u32..20, any::<bool>(), specs).prop_map(|(index, both, specs)| {
            // Epochs rise with the council's index and one epoch has one owner, as the council guarantees.
            let (a, b) = (1 + index / 3, 1 + index / 4);
            let owner = |epoch: u32| if epoch % 2 == 1 { "r1" } else { "r2" };
            let mut groups = vec![grant("a", owner(a), a), grant("b", owner(b), b)];
            groups.truncate(if both { 2 } else { 1 });
            let mut names = BTreeSet::new();
            let named = |spec: &TopicSpec| groups.iter().any(|grant| grant.group == spec.group);
            let topics = specs.into_iter().filter(|s| named(s) && names.insert(s.name.clone())).collect();
            assignment(u64::from(index), groups.clone(), topics)
        })
    }

    /// Assignments of one council: it moves a topic only to a group whose epoch is not below, here from `b` to `a`.
    fn any_assignments() -> impl Strategy<Value = Vec<Assignment>> {
        prop::collection::vec(any_assignment(), 1..12).prop_map(|mut assignments| {
            let mut of_a = BTreeSet::new();
            for spec in assignments.iter_mut().flat_map(|assignment| &mut assignment.topics) {
                if spec.group == name("a") {
                    of_a.insert(spec.id);
                } else if of_a.contains(&spec.id) {
                    spec.id = TopicId(uuid::Uuid::from_u128(spec.id.0.as_u128() + 1000));
                }
            }
            assignments
        })
    }

    proptest! {
        #[test]
        fn reconciling_twice_changes_nothing(assignments in any_assignments()) {
            let (mut image, _) = registered();
            for assignment in assignments {
                for command in reconcile(&image, &assignment, 1) {
                    image.apply(command).unwrap();
                }
                let settled = image.clone();
                let again = reconcile(&image, &assignment, 1);
                for command in again {
                    image.apply(command).unwrap();
                }
                prop_assert_eq!(&image, &settled);
                let current = assignment.council_index >= image.council_seen;
                prop_assert!(!current || reconcile(&image, &assignment, 1).is_empty());
            }
        }

        #[test]
        fn epochs_never_go_back_and_replicas_of_the_log_agree(
            assignments in any_assignments(),
            restarts in prop::collection::vec(any::<bool>(), 12),
        ) {
            let (mut image, _) = registered();
            let mut replica = image.clone();
            for (assignment, restart) in assignments.iter().zip(restarts) {
                let before = image.clone();
                let begun = if restart { session_of(&image) } else { vec![] };
                let mut begun_image = image.clone();
                begun.iter().for_each(|command| drop(begun_image.apply(command.clone()).unwrap()));
                for command in begun.into_iter().chain(reconcile(&begun_image, assignment, 1)) {
                    let written = serde_json::to_vec(&command).unwrap();
                    let answer = image.apply(command);
                    prop_assert_eq!(&answer, &replica.apply(serde_json::from_slice(&written).unwrap()));
                    let written = serde_json::to_vec(&answer).unwrap();
                    prop_assert_eq!(serde_json::from_slice::<Result<Answer, Refusal>>(&written).unwrap(), answer);
                }
                prop_assert!(image.version() >= before.version());
                for group in before.groups.values() {
                    prop_assert!(image.groups[&group.grant.group].obeyed() >= group.obeyed());
                }
                for topic in before.topics() {
                    let Some(now) = image.topic(topic.id) else { continue };
                    for ((_, was), (_, is)) in topic.partitions().zip(now.partitions()) {
                        prop_assert!(is.leader_epoch >= was.leader_epoch && is.copy_term >= was.copy_term);
                        prop_assert!(is.partition_epoch >= was.partition_epoch);
                    }
                }
            }
            let snapshot = serde_json::to_vec(&image).unwrap();
            prop_assert_eq!(serde_json::from_slice::<Image>(&snapshot).unwrap(), replica);
        }
    }
}
