use crate::council::{Council, group, region, topic_id, topic_name};
use catalog::command::{CreateGroup, DeleteGroup, UpdateGroup};
use catalog::{Answer, Refusal};
use dr_planner::plan::Kind;
use dr_planner::policy::{self, Mode};
use model::{Coverage, OwnershipEpoch, Pattern};

fn covering(name: &str, pattern: Pattern) -> CreateGroup {
    let regions = ["r1", "r2", "r3"].map(region);
    let coverage = Coverage { topics: vec![pattern.clone()], consumer_groups: vec![pattern] };
    let policy = policy::Group { name: group(name), coverage, ..policy::default_group(&regions).unwrap() };
    CreateGroup { policy, canary: topic_id(1000 + name.len() as u128) }
}

fn prefix(text: &str) -> Pattern {
    Pattern::Prefix(text.into())
}

fn update(policy: policy::Group) -> UpdateGroup {
    UpdateGroup { policy, expected: None }
}

fn delete(name: &str) -> DeleteGroup {
    DeleteGroup { group: group(name), expected: None }
}

#[tokio::test]
async fn topics_move_to_a_group_that_covers_them_more_closely() {
    let mut council = Council::formed().await;
    council.create(&["eu.orders", "us.orders"]).await;
    let Ok(Answer::Group { grant, .. }) = council.decide(covering("eu", prefix("eu."))).await else {
        panic!("refused");
    };
    assert_eq!((grant.owner, grant.ownership_epoch), (region("r1"), OwnershipEpoch(2)), "above the giver's");
    assert_eq!(council.topic("eu.orders").group, group("eu"));
    assert_eq!(council.topic("us.orders").group, group("default"));
    assert_eq!(council.topic("__farshore_canary.eu").group, group("eu"));
    council.decide(delete("eu")).await.unwrap();
    assert_eq!(council.topic("eu.orders").group, group("default"));
    assert_eq!(council.epoch("default"), OwnershipEpoch(3), "above both");
    assert!(council.catalog.view().topics.named("__farshore_canary.eu").is_none());
}

#[tokio::test]
async fn epochs_of_a_group_made_again_go_on() {
    let mut council = Council::formed().await;
    council.decide(covering("eu", prefix("eu."))).await.unwrap();
    assert_eq!(council.epoch("eu"), OwnershipEpoch(1));
    council.decide(delete("eu")).await.unwrap();
    let mut again = covering("eu", prefix("eu."));
    again.canary = topic_id(77);
    council.decide(again).await.unwrap();
    assert_eq!(council.epoch("eu"), OwnershipEpoch(2));
}

#[tokio::test]
async fn a_group_takes_its_topics_owner_along() {
    let mut council = Council::formed().await;
    council.create(&["eu.orders"]).await;
    let mut elsewhere = covering("eu", prefix("eu."));
    elsewhere.policy.home = region("r2");
    elsewhere.policy.standbys = vec![region("r1")];
    let Ok(Answer::Group { grant, .. }) = council.decide(elsewhere).await else { panic!("refused") };
    assert_eq!((grant.home, grant.owner), (region("r2"), region("r1")));
    let mut without = covering("eu2", Pattern::Exact("eu.orders".into()));
    without.policy.home = region("r2");
    without.policy.standbys = vec![region("r3")];
    assert!(matches!(council.refusal(without).await, Refusal::NotEligible { .. }));
}

#[tokio::test]
async fn topics_do_not_move_between_owners() {
    let mut council = Council::formed().await;
    let mut eu = covering("eu", prefix("eu."));
    eu.policy.home = region("r2");
    eu.policy.standbys = vec![region("r1")];
    council.decide(eu.clone()).await.unwrap();
    council.create(&["eu.orders", "us.orders"]).await;
    eu.policy.coverage.topics.push(prefix("us."));
    let refusal = council.refusal(update(eu.policy)).await;
    assert!(matches!(refusal, Refusal::NotMovable { .. }), "{refusal}");
    assert_eq!(council.topic("us.orders").group, group("default"));
}

#[tokio::test]
async fn a_policy_that_cannot_be_kept_is_refused() {
    let mut council = Council::formed().await;
    let mut auto = covering("eu", prefix("eu."));
    (auto.policy.mode, auto.policy.auto.round_trip_max_ms) = (Mode::Auto, 0);
    assert!(matches!(council.refusal(auto).await, Refusal::BadPolicy { .. }));
    let mut unknown = covering("eu", prefix("eu."));
    unknown.policy.standbys.push(region("r9"));
    assert!(matches!(council.refusal(unknown).await, Refusal::BadPolicy { .. }));
    assert!(matches!(council.refusal(covering("eu", prefix("__"))).await, Refusal::Unusable { .. }));
    let mut dependent = covering("eu", prefix("eu."));
    dependent.policy.depends_on.push(group("nobody"));
    assert!(matches!(council.refusal(dependent).await, Refusal::BadPolicy { .. }));
}

#[tokio::test]
async fn a_group_is_replaced_only_at_the_revision_it_was_read_at() {
    let mut council = Council::formed().await;
    let Ok(Answer::Group { revision, .. }) = council.decide(covering("eu", prefix("eu."))).await else {
        panic!("refused");
    };
    let mut policy = covering("eu", prefix("eu.")).policy;
    policy.automatic_failover = false;
    let change = UpdateGroup { policy: policy.clone(), expected: Some(revision) };
    let Ok(Answer::Group { revision: next, grant }) = council.decide(change).await else { panic!("refused") };
    assert!(next > revision);
    assert_eq!(grant.ownership_epoch, OwnershipEpoch(1), "the policy is not ownership");
    policy.priority = 3;
    let late = UpdateGroup { policy, expected: Some(revision) };
    assert!(matches!(council.refusal(late).await, Refusal::Changed { .. }));
}

#[tokio::test]
async fn no_topic_is_left_without_a_group() {
    let mut council = Council::formed().await;
    council.create(&["orders"]).await;
    assert_eq!(council.refusal(delete("default")).await, Refusal::Uncovered { topic: topic_name("orders") });
    assert!(council.catalog.view().topics.named("__farshore_canary.default").is_some(), "nothing was half done");
}

#[tokio::test]
async fn a_needed_or_busy_group_stays() {
    let mut council = Council::formed().await;
    let mut eu = covering("eu", prefix("eu."));
    eu.policy.depends_on.push(group("default"));
    council.decide(eu).await.unwrap();
    assert!(matches!(council.refusal(delete("default")).await, Refusal::GroupNeeded { .. }));
    council.create(&["us.orders"]).await;
    council.start("run-1", Kind::Switchover, "r2").await.unwrap();
    let refusal = council.refusal(covering("us", prefix("us."))).await;
    assert!(matches!(refusal, Refusal::RunInProgress { .. }), "{refusal}");
    assert!(matches!(council.refusal(delete("nobody")).await, Refusal::NotFound { .. }));
}

#[tokio::test]
async fn a_group_that_is_there_is_not_made_again() {
    let mut council = Council::formed().await;
    let first = council.decide(covering("eu", prefix("eu."))).await;
    assert_eq!(council.decide(covering("eu", prefix("eu."))).await, first);
    assert!(matches!(council.refusal(covering("eu", prefix("xx."))).await, Refusal::Exists { .. }));
}
