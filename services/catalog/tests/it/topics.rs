use crate::council::{Council, group, new_topic, region, topic_id, topic_name};
use catalog::command::{
    AddPartitions, AlterTopicConfig, CreateTopics, DeleteTopic, DeleteTopics, FollowTopic, NewTopic, PurgeTopics,
    UpdateGroup,
};
use catalog::{Answer, Refusal};
use model::{LeaderEpoch, OwnershipEpoch, ResetPolicy, Timestamp, TopicId, TopicState};

fn delete(name: &str, expected: Option<TopicId>) -> DeleteTopics {
    DeleteTopics { topics: vec![DeleteTopic { name: topic_name(name), expected }] }
}

fn outcomes(answer: Answer) -> Vec<Result<model::TopicSpec, Refusal>> {
    match answer {
        Answer::Topics { outcomes } => outcomes,
        other => panic!("{other:?}"),
    }
}

fn alter(name: &str) -> AlterTopicConfig {
    AlterTopicConfig {
        topic: topic_name(name),
        expected: None,
        revision: None,
        replace: false,
        set: Default::default(),
        remove: Default::default(),
    }
}

#[tokio::test]
async fn a_topic_belongs_to_the_group_that_covers_it() {
    let mut council = Council::formed().await;
    let created = council.create(&["orders"]).await;
    assert_eq!(created[0].as_ref().unwrap().group, group("default"));
    let route = council.catalog.view().route_table().unwrap();
    assert_eq!(
        route.topics.iter().map(|topic| topic.name.as_str()).collect::<Vec<_>>(),
        ["__farshore_canary.default", "orders"]
    );
}

#[tokio::test]
async fn one_refused_topic_does_not_hold_up_the_next() {
    let mut council = Council::formed().await;
    council.create(&["orders"]).await;
    let outcomes = council.create(&["orders", "__secret", "bills"]).await;
    assert!(matches!(outcomes[0], Err(Refusal::TopicExists { .. })));
    assert!(matches!(outcomes[1], Err(Refusal::Uncovered { .. })));
    assert!(outcomes[2].is_ok());
    let mut shapeless = new_topic("shapeless", 7);
    shapeless.partitions = 0;
    let many = NewTopic { partitions: 10_001, ..new_topic("many", 7) };
    let nameless = NewTopic { id: TopicId::ZERO, ..new_topic("nameless", 7) };
    let answer = council.decide(CreateTopics { topics: vec![shapeless, many, nameless] }).await.unwrap();
    let outcomes = self::outcomes(answer);
    assert!(matches!(outcomes[0], Err(Refusal::BadPartitions { partitions: 0, .. })));
    assert!(matches!(outcomes[1], Err(Refusal::BadPartitions { partitions: 10_001, .. })));
    assert!(matches!(outcomes[2], Err(Refusal::Unusable { .. })));
}

#[tokio::test]
async fn a_creation_that_is_proposed_twice_finds_its_own_topic() {
    let mut council = Council::formed().await;
    let create = CreateTopics { topics: vec![new_topic("orders", 1)] };
    let first = council.decide(create.clone()).await;
    let index = council.catalog.view().council_index;
    assert_eq!(council.decide(create).await, first);
    assert_eq!(council.catalog.view().council_index, index);
}

#[tokio::test]
async fn a_topic_made_again_is_another_one() {
    let mut council = Council::formed().await;
    council.create(&["orders"]).await;
    let old = council.topic("orders").id;
    let gone = outcomes(council.decide(delete("orders", Some(old))).await.unwrap());
    assert_eq!(gone[0].as_ref().unwrap().id, old);
    assert!(council.catalog.view().topics.named("orders").is_none());
    assert!(council.catalog.view().topics.of_id(old).is_none());
    let again = CreateTopics { topics: vec![NewTopic { id: old, ..new_topic("orders", 0) }] };
    let refused = outcomes(council.decide(again).await.unwrap());
    assert!(matches!(refused[0], Err(Refusal::Exists { .. })), "an id is never given twice: {refused:?}");
    council.create(&["orders"]).await;
    assert_ne!(council.topic("orders").id, old);
    let late = outcomes(council.decide(delete("orders", Some(old))).await.unwrap());
    assert!(matches!(late[0], Err(Refusal::OtherTopic { .. })));
    let unknown = outcomes(council.decide(delete("nothing", None)).await.unwrap());
    assert!(matches!(unknown[0], Err(Refusal::UnknownTopic { .. })));
}

#[tokio::test]
async fn a_topic_made_again_is_copied_at_once_or_when_a_person_says_so_as_its_group_has_it() {
    let mut council = Council::formed().await;
    let remake = async |council: &mut Council| {
        council.decide(delete("orders", None)).await.unwrap();
        council.create(&["orders"]).await[0].as_ref().unwrap().id
    };
    let stopped = |council: &Council| council.catalog.view().assignment(&region("r2")).unwrap().stopped;
    council.create(&["orders"]).await;
    remake(&mut council).await;
    assert_eq!(stopped(&council), [], "so it is where nothing is said");
    let mut policy = council.catalog.view().group(&group("default")).unwrap().policy.clone();
    policy.topic_reset = ResetPolicy::Stop;
    council.decide(UpdateGroup { policy, expected: None }).await.unwrap();
    council.create(&["bills"]).await;
    let first = remake(&mut council).await;
    assert_eq!(stopped(&council), [first], "there was none of the other's name");
    let second = remake(&mut council).await;
    assert_eq!(stopped(&council), [second]);
    let follow = |expected| FollowTopic { topic: topic_name("orders"), expected: Some(expected) };
    assert!(matches!(council.refusal(follow(first)).await, Refusal::OtherTopic { .. }));
    let before = council.catalog.view().council_index;
    council.decide(follow(second)).await.unwrap();
    assert_eq!(stopped(&council), []);
    assert!(council.catalog.view().council_index > before, "the regions hear of it");
}

#[tokio::test]
async fn a_deleted_topic_is_kept_until_it_is_purged() {
    let mut council = Council::formed().await;
    council.create(&["orders"]).await;
    council.decide(delete("orders", None)).await.unwrap();
    let topics = |dump: Vec<String>| dump.iter().filter(|row| row.starts_with("topics: ")).count();
    assert_eq!(topics(council.dump().await), 2, "the canary and the deleted one");
    council.decide(PurgeTopics { deleted_before: Timestamp(1) }).await.unwrap();
    assert_eq!(topics(council.dump().await), 2, "it was deleted later than that");
    council.decide(PurgeTopics { deleted_before: Timestamp(i64::MAX) }).await.unwrap();
    assert_eq!(topics(council.dump().await), 1, "the canary");
}

#[tokio::test]
async fn the_canary_goes_with_its_group_only() {
    let mut council = Council::formed().await;
    let refused = outcomes(council.decide(delete("__farshore_canary.default", None)).await.unwrap());
    assert!(matches!(refused[0], Err(Refusal::Canary { .. })));
}

#[tokio::test]
async fn a_configuration_changes_only_at_the_revision_it_was_read_at() {
    let mut council = Council::formed().await;
    council.create(&["orders"]).await;
    let mut change = alter("orders");
    change.set.insert("retention.ms".into(), "1000".into());
    change.revision = Some(1);
    let Ok(Answer::Topic { topic, revision: 2 }) = council.decide(change.clone()).await else { panic!("refused") };
    assert_eq!(topic.config["retention.ms"], "1000");
    change.set.insert("retention.ms".into(), "2000".into());
    assert!(matches!(council.refusal(change).await, Refusal::Changed { expected: 1, revision: 2, .. }));
    let mut remove = alter("orders");
    remove.remove.insert("retention.ms".into());
    council.decide(remove).await.unwrap();
    assert!(council.topic("orders").config.is_empty());
    let mut oversized = alter("orders");
    oversized.set.insert("x".into(), "y".repeat(5000));
    assert!(matches!(council.refusal(oversized).await, Refusal::Unusable { .. }));
    let mut replace = alter("orders");
    replace.set.insert("cleanup.policy".into(), "compact".into());
    replace.replace = true;
    council.decide(replace).await.unwrap();
    assert_eq!(council.topic("orders").config.len(), 1);
}

#[tokio::test]
async fn partitions_are_only_added() {
    let mut council = Council::formed().await;
    council.create(&["orders"]).await;
    let add = |partitions| AddPartitions { topic: topic_name("orders"), expected: None, partitions };
    council.decide(add(5)).await.unwrap();
    assert_eq!(council.topic("orders").partitions, 5);
    assert!(matches!(council.refusal(add(5)).await, Refusal::BadPartitions { .. }));
    assert!(matches!(council.refusal(add(4)).await, Refusal::BadPartitions { .. }));
    let other = AddPartitions { expected: Some(topic_id(99)), ..add(6) };
    assert!(matches!(council.refusal(other).await, Refusal::OtherTopic { .. }));
}

#[tokio::test]
async fn a_restored_topic_raises_the_epoch_above_its_batches() {
    let mut council = Council::formed().await;
    let epochs = LeaderEpoch::of(OwnershipEpoch(7), 3).unwrap();
    let restored = NewTopic { state: TopicState::Restoring, epochs_above: Some(epochs), ..new_topic("restored", 1) };
    council.decide(CreateTopics { topics: vec![restored] }).await.unwrap();
    assert_eq!(council.epoch("default"), OwnershipEpoch(8));
    let view = council.catalog.view();
    assert!(view.route_table().unwrap().topics.iter().all(|topic| topic.name.as_str() != "restored"));
    assert!(view.assignment(&region("r1")).unwrap().topics.iter().any(|topic| topic.name.as_str() == "restored"));
    let route = &view.group(&group("default")).unwrap().route;
    assert!(view.confirms_route(&group("default"), route.epoch), "clients go on with the raised grant");
}
