//! Groups whose topics every region takes writes for.

use crate::council::{Council, form, group, new_topic, region, topic_id, topic_name};
use catalog::command::{AlterTopicConfig, CreateGroup, CreateTopics, DeleteGroup, UpdateGroup};
use catalog::{Answer, Refusal};
use dr_planner::plan::Kind;
use dr_planner::policy;
use model::{ConflictPolicy, Coverage, Pattern, TopicState};

fn both() -> policy::Group {
    let regions = ["r1", "r2", "r3"].map(region);
    let coverage = Coverage { topics: vec![Pattern::Prefix("both.".into())], consumer_groups: vec![] };
    policy::Group {
        name: group("both"),
        coverage,
        active_active: Some(ConflictPolicy::LastWriterWins),
        automatic_failover: false,
        ..policy::default_group(&regions).unwrap()
    }
}

fn made() -> CreateGroup {
    CreateGroup { policy: both(), canary: topic_id(77) }
}

#[tokio::test]
async fn every_region_is_told_that_it_owns_the_group() {
    let mut council = Council::formed().await;
    council.decide(made()).await.unwrap();
    let view = council.catalog.view();
    for name in ["r1", "r2", "r3"] {
        let assignment = view.assignment(&region(name)).unwrap();
        let told = assignment.groups.iter().find(|grant| grant.group == group("both")).unwrap();
        let active = told.active.as_ref().unwrap();
        assert_eq!((&told.owner, active.regions.len()), (&region(name), 3));
        let address = assignment.regions.iter().find(|known| known.region == region(name)).unwrap();
        assert_eq!(active.incarnation_of(&region(name)), Some(address.incarnation));
        let default = assignment.groups.iter().find(|grant| grant.group == group("default")).unwrap();
        assert_eq!((&default.owner, &default.active), (&region("r1"), &None));
    }
    assert!(view.topics.named("__farshore_canary.both").is_none(), "nothing of it is ever rehearsed");
}

#[tokio::test]
async fn topics_neither_come_nor_leave_and_nothing_is_taken_away_from_them() {
    let mut council = Council::formed().await;
    council.create(&["both.old"]).await;
    assert!(matches!(council.refusal(made()).await, Refusal::NotMovable { .. }));
    let mut narrower = made();
    narrower.policy.coverage.topics = vec![Pattern::Prefix("both.new.".into())];
    council.decide(narrower.clone()).await.unwrap();
    council.create(&["both.new.a"]).await.remove(0).unwrap();
    assert_eq!(council.topic("both.new.a").group, group("both"));
    for (name, value) in [("cleanup.policy", "compact"), ("retention.ms", "1000")] {
        let mut topic = new_topic("both.new.b", 5);
        topic.config = [(name.to_owned(), value.to_owned())].into();
        let Ok(Answer::Topics { outcomes }) = council.decide(CreateTopics { topics: vec![topic] }).await else {
            panic!("refused")
        };
        assert!(
            matches!(&outcomes[0], Err(Refusal::Unusable { value: told, .. }) if told.contains(value)),
            "{outcomes:?}"
        );
    }
    let alter = AlterTopicConfig {
        topic: topic_name("both.new.a"),
        expected: None,
        revision: None,
        replace: false,
        set: [("retention.bytes".to_owned(), "7".to_owned())].into(),
        remove: Default::default(),
    };
    assert!(matches!(council.refusal(alter).await, Refusal::Unusable { .. }));
    let mut restored = new_topic("both.new.c", 6);
    restored.state = TopicState::Restoring;
    let Ok(Answer::Topics { outcomes }) = council.decide(CreateTopics { topics: vec![restored] }).await else {
        panic!("refused")
    };
    assert!(outcomes[0].is_err(), "{outcomes:?}");
    let deleted = council.refusal(DeleteGroup { group: group("both"), expected: None }).await;
    assert!(matches!(deleted, Refusal::NotMovable { .. }), "{deleted}");
    let mut other = narrower.policy.clone();
    other.active_active = None;
    let changed = council.refusal(UpdateGroup { policy: other, expected: None }).await;
    assert!(matches!(changed, Refusal::BadPolicy { .. }), "{changed}");
}

#[tokio::test]
async fn nothing_of_it_is_moved_and_regions_of_several_brokers_do_not_take_part() {
    let mut council = Council::formed().await;
    council.decide(made()).await.unwrap();
    let plan = council.plan("run-1", Kind::Failover, "both", "r2");
    let start = catalog::command::StartRun { run: crate::council::run_id("run-1"), plan, plan_digest: "digest".into() };
    let refused = council.refusal(start).await;
    assert!(
        matches!(&refused, Refusal::BadPolicy { reason } if reason.contains("nothing of it is moved")),
        "{refused}"
    );
    let mut clustered = Council::empty().await;
    let mut platform = form(3);
    platform.regions[1].addresses.clients = "127.0.0.1:1,127.0.0.1:2".into();
    clustered.decide(platform).await.unwrap();
    let refused = clustered.refusal(made()).await;
    assert!(matches!(&refused, Refusal::BadPolicy { reason } if reason.contains("r2 has 2 brokers")), "{refused}");
}
