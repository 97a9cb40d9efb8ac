//! A topic that is deleted and made again, in a group that stops copies then: nothing of it is copied before somebody says so,
//! and the region that has nothing of it does not take over.

use crate::cluster::start_with;
use crate::load::{create, fill, tail, unique};
use crate::regions::equal_tails;
use crate::rest::{get, list};
use api::links::Link;
use api::topics::Topic;
use chaos::platform::Platform;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_topic_made_again_is_copied_when_a_person_says_so() {
    let platform = start_with(|options| options.regions = 2);
    platform.command(&["protection", "set", "topic-reset", "stop"]).unwrap();
    let (topic, gateway) = (unique("reset"), platform.endpoints().gateway.clone());
    create(&gateway, &topic, 1);
    fill(&gateway, &topic, 0, 0..50);
    equal_tails(&platform, &topic, 1);
    assert!(!shown(&platform, &topic).is_stopped);
    platform.command(&["topic", "delete", &topic, "--yes"]).unwrap();
    platform.command(&["topic", "create", &topic]).unwrap();
    let made_again = shown(&platform, &topic);
    assert!(made_again.is_stopped);
    fill(&gateway, &topic, 0, 0..20);
    wait(&platform, &topic, "it is no standby", |unusable| {
        unusable.is_some_and(|why| why.starts_with("topic_reset") && why.contains("farshore topic follow"))
    });
    let dry = ["protection", "failover", "--target", "r2", "--dry-run"];
    let is_refused = || platform.command(&dry).is_err_and(|error| error.to_string().contains("topic_reset"));
    platform.wait_for("a plan is refused", PATIENCE, is_refused).unwrap_or_else(|error| panic!("{error}"));
    let target = platform.region("r2").unwrap().bootstrap.clone();
    assert_eq!(tail(&target, &topic, 0), Some(0), "nothing of it is copied");

    platform.command(&["topic", "follow", &topic]).unwrap();
    equal_tails(&platform, &topic, 1);
    assert_eq!(tail(&target, &topic, 0), Some(20));
    wait(&platform, &topic, "it is a standby", |unusable| unusable.is_none());
    assert_eq!((shown(&platform, &topic).id, shown(&platform, &topic).is_stopped), (made_again.id, false));
}

fn shown(platform: &Platform, topic: &str) -> Topic {
    get(&platform.endpoints().api, &format!("/v1/topics/{topic}")).expect("it is there")
}

fn wait(platform: &Platform, topic: &str, what: &str, holds: impl Fn(Option<&str>) -> bool) {
    let mut last = Vec::new();
    let waited = platform.wait_for(what, PATIENCE, || {
        let links = list::<Link>(&platform.endpoints().api, "/v1/links", "").unwrap_or_default();
        last = links.into_iter().flat_map(|link| link.partitions).filter(|known| known.topic == topic).collect();
        last.iter().any(|partition| holds(partition.unusable.as_deref()))
    });
    waited.unwrap_or_else(|error| panic!("{error}\n{last:?}\n{}", platform.logs()));
}
