//! Groups of the consumer protocol (KIP-848) in a region, heartbeat by heartbeat.

use crate::harness::{Client, eventually};
use crate::two::{client, two};
use crate::world::{World, carry_out, order};
use broker::Broker;
use model::{Action, TopicId};
use std::sync::Arc;
use std::time::Duration;
use wire::ErrorCode;
use wire::api::incremental_alter_configs::{DELETE, SET};
use wire::api::list_config_resources::GROUP;
use wire::api::{
    consumer_group_describe, consumer_group_heartbeat as beat, delete_groups, describe_configs, describe_groups,
    incremental_alter_configs, list_config_resources, list_groups, offset_commit, offset_fetch,
};

/// How long members may be silent where one is to die.
const SHORT: Duration = Duration::from_secs(3);
/// How long they may elsewhere: longer than a test takes.
const LONG: Duration = Duration::from_secs(300);

struct Stage {
    world: Arc<World>,
    broker: Broker,
    dir: tempfile::TempDir,
}

async fn start(world: &Arc<World>, dir: &std::path::Path, session: Duration) -> Broker {
    let broker = world.start_with("r1", dir, |config| config.consumer_session_timeout = session).await;
    let client = Client::at(broker.addresses().unwrap().clients).await;
    let ask = consumer_group_describe::Request { group_ids: vec!["g".into()], ..Default::default() };
    let loaded = async || {
        let listed = client.0.call(&list_groups::Request::default(), 5).await.unwrap();
        let described = client.0.call(&ask, 1).await.unwrap().groups.remove(0);
        listed.error_code.is_ok() && described.error_code != ErrorCode::NOT_COORDINATOR
    };
    eventually("the groups are read", loaded).await;
    broker
}

async fn stage(session: Duration) -> Stage {
    let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
    let broker = start(&world, dir.path(), session).await;
    world.create("t", 4).await;
    Stage { world, broker, dir }
}

impl Stage {
    async fn client(&self) -> Client {
        Client::at(self.broker.addresses().unwrap().clients).await
    }

    async fn restart(self) -> Self {
        let Self { world, broker, dir } = self;
        world.stop(broker).await;
        let broker = start(&world, dir.path(), LONG).await;
        Self { world, broker, dir }
    }
}

type Owned = Vec<(TopicId, Vec<i32>)>;

/// One member; it gives back and takes what it is told to.
struct Member {
    client: Client,
    name: &'static str,
    epoch: i32,
    owned: Owned,
}

impl Member {
    async fn join(stage: &Stage, name: &'static str) -> Self {
        Self::join_by(stage.client().await, name).await
    }

    async fn join_by(client: Client, name: &'static str) -> Self {
        let mut member = Self { client, name, epoch: 0, owned: vec![] };
        eventually("it is in the group", async || member.beat().await.is_ok()).await;
        member
    }

    fn request(&self, epoch: i32) -> beat::Request {
        let owned = self.owned.iter().map(|(topic_id, partitions)| beat::TopicPartitions {
            topic_id: *topic_id,
            partitions: partitions.clone(),
            ..Default::default()
        });
        beat::Request {
            group_id: "g".into(),
            member_id: self.name.into(),
            member_epoch: epoch,
            rebalance_timeout_ms: if epoch == 0 { 10_000 } else { -1 },
            subscribed_topic_names: (epoch == 0).then(|| vec!["t".into()]),
            topic_partitions: Some(if epoch == 0 { vec![] } else { owned.collect() }),
            ..Default::default()
        }
    }

    async fn send(&self, epoch: i32) -> beat::Response {
        self.client.0.call(&self.request(epoch), 1).await.unwrap()
    }

    async fn beat(&mut self) -> ErrorCode {
        let answer = self.send(self.epoch).await;
        if answer.error_code.is_ok() {
            self.epoch = answer.member_epoch;
        }
        if let Some(assignment) = answer.assignment {
            let owned = assignment.topic_partitions.into_iter();
            self.owned = owned.map(|topic| (topic.topic_id, topic.partitions)).collect();
        }
        answer.error_code
    }

    fn count(&self) -> usize {
        self.owned.iter().map(|(_, partitions)| partitions.len()).sum()
    }

    async fn commit(&self, epoch: i32, version: i16) -> ErrorCode {
        let partition = offset_commit::Partition { committed_offset: 7, ..Default::default() };
        let topic = offset_commit::Topic { name: "t".into(), partitions: vec![partition], ..Default::default() };
        let request = offset_commit::Request {
            group_id: "g".into(),
            generation_id_or_member_epoch: epoch,
            member_id: self.name.into(),
            topics: vec![topic],
            ..Default::default()
        };
        self.client.0.call(&request, version).await.unwrap().topics[0].partitions[0].error_code
    }

    async fn committed(&self, epoch: i32) -> Result<i64, ErrorCode> {
        let topic = offset_fetch::Topic { name: "t".into(), partition_indexes: vec![0], ..Default::default() };
        let group = offset_fetch::Group {
            group_id: "g".into(),
            member_id: Some(self.name.into()),
            member_epoch: epoch,
            topics: Some(vec![topic]),
            ..Default::default()
        };
        let request = offset_fetch::Request { groups: vec![group], ..Default::default() };
        let answer = self.client.0.call(&request, 9).await.unwrap().groups.remove(0);
        answer.error_code.ok().map(|()| answer.topics[0].partitions[0].committed_offset)
    }
}

async fn described(stage: &Stage) -> consumer_group_describe::Group {
    let request = consumer_group_describe::Request { group_ids: vec!["g".into()], ..Default::default() };
    stage.client().await.0.call(&request, 1).await.unwrap().groups.remove(0)
}

async fn share(one: &mut Member, two: &mut Member) {
    eventually("both own two partitions", async || {
        assert_eq!((one.beat().await, two.beat().await), (ErrorCode::NONE, ErrorCode::NONE));
        (one.count(), two.count()) == (2, 2)
    })
    .await;
    assert_eq!((one.beat().await, two.beat().await), (ErrorCode::NONE, ErrorCode::NONE));
}

#[tokio::test]
async fn two_members_share_and_the_rest_takes_over_from_the_one_that_dies() {
    let stage = stage(SHORT).await;
    let (mut one, mut two) = (Member::join(&stage, "one").await, Member::join(&stage, "two").await);
    share(&mut one, &mut two).await;
    eventually("one owns everything", async || {
        assert_eq!(one.beat().await, ErrorCode::NONE);
        one.count() == 4
    })
    .await;
    assert_eq!(two.beat().await, ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(one.send(one.epoch + 5).await.error_code, ErrorCode::FENCED_MEMBER_EPOCH);
}

const SESSION: &str = "consumer.session.timeout.ms";
const HEARTBEAT: &str = "consumer.heartbeat.interval.ms";

/// Sets settings of group `g`, or takes them away.
async fn configure(stage: &Stage, entries: &[(&str, Option<&str>)], dry: bool) -> (ErrorCode, String) {
    configure_by(&stage.client().await, entries, dry).await
}

async fn configure_by(client: &Client, entries: &[(&str, Option<&str>)], dry: bool) -> (ErrorCode, String) {
    let config = |(name, value): &(&str, Option<&str>)| incremental_alter_configs::Config {
        name: (*name).to_owned(),
        config_operation: if value.is_some() { SET } else { DELETE },
        value: value.map(str::to_owned),
        ..Default::default()
    };
    let resource = incremental_alter_configs::Resource {
        resource_type: GROUP,
        resource_name: "g".into(),
        configs: entries.iter().map(config).collect(),
        ..Default::default()
    };
    let resources = vec![resource];
    let request = incremental_alter_configs::Request { resources, validate_only: dry, ..Default::default() };
    let answer = client.0.call(&request, 1).await.unwrap().responses.remove(0);
    (answer.error_code, answer.error_message.unwrap_or_default())
}

/// The value and the source of each setting of group `g`.
async fn settings(stage: &Stage) -> Vec<(String, String, i8)> {
    let resource = describe_configs::Resource { resource_type: GROUP, resource_name: "g".into(), ..Default::default() };
    let request = describe_configs::Request { resources: vec![resource], ..Default::default() };
    let answer = stage.client().await.0.call(&request, 4).await.unwrap().results.remove(0);
    let shown = |entry: describe_configs::ConfigResponse| (entry.name, entry.value.unwrap(), entry.config_source);
    answer.configs.into_iter().map(shown).collect()
}

fn shown(heartbeat: (&str, i8), session: (&str, i8)) -> Vec<(String, String, i8)> {
    [(HEARTBEAT, heartbeat), (SESSION, session)].map(|(name, (v, source))| (name.into(), v.into(), source)).into()
}

#[tokio::test]
async fn a_group_with_a_session_of_its_own_soon_goes_on_without_the_member_that_dies() {
    let stage = stage(LONG).await;
    let short = [(SESSION, Some("6000")), (HEARTBEAT, Some("300"))];
    assert_eq!(configure(&stage, &short, false).await.0, ErrorCode::NONE);
    let (mut one, mut two) = (Member::join(&stage, "one").await, Member::join(&stage, "two").await);
    share(&mut one, &mut two).await;
    let told = async || one.send(one.epoch).await.heartbeat_interval_ms == 300;
    eventually("the members hear how often they are expected", told).await;
    eventually("one owns everything", async || {
        assert_eq!(one.beat().await, ErrorCode::NONE);
        one.count() == 4
    })
    .await;
    assert_eq!(two.beat().await, ErrorCode::UNKNOWN_MEMBER_ID);
}

#[tokio::test]
async fn the_settings_of_a_group_are_described_refused_and_survive_a_restart() {
    let stage = stage(LONG).await;
    let default = shown(("5000", 5), ("300000", 5));
    assert_eq!(settings(&stage).await, default);
    let own = [(SESSION, Some("9000"))];
    assert_eq!(configure(&stage, &own, true).await.0, ErrorCode::NONE);
    assert_eq!(settings(&stage).await, default, "it was only asked whether it could");
    assert_eq!(configure(&stage, &own, false).await.0, ErrorCode::NONE);
    for (entry, reason) in [
        ((SESSION, Some("5000")), "has to be less than"),
        ((HEARTBEAT, Some("9000")), "has to be less than"),
        ((SESSION, Some("soon")), "an integer from 1000"),
        (("retention.ms", Some("1")), "no group configuration retention.ms"),
    ] {
        let (code, message) = configure(&stage, &[entry], false).await;
        assert!(code == ErrorCode::INVALID_CONFIG && message.contains(reason), "{code} {message}");
    }
    let stage = stage.restart().await;
    assert_eq!(settings(&stage).await, shown(("5000", 5), ("9000", 8)));
    let request = list_config_resources::Request { resource_types: vec![GROUP], ..Default::default() };
    let listed = stage.client().await.0.call(&request, 1).await.unwrap().config_resources;
    assert_eq!(listed.iter().map(|found| found.resource_name.as_str()).collect::<Vec<_>>(), ["g"]);
    assert_eq!(configure(&stage, &[(SESSION, None)], false).await.0, ErrorCode::NONE);
    assert_eq!(settings(&stage).await, default);
}

#[tokio::test]
async fn a_region_that_does_not_coordinate_a_group_refuses_its_settings() {
    let stage = two().await;
    let other = client(&stage.two).await;
    eventually("it names the region that does", async || {
        let (code, message) = configure_by(&other, &[(SESSION, Some("9000"))], false).await;
        assert_eq!(code, ErrorCode::NOT_COORDINATOR, "{message}");
        message.contains("region r1")
    })
    .await;
}

#[tokio::test]
async fn commits_and_what_was_committed_need_the_members_epoch() {
    let stage = stage(LONG).await;
    let one = Member::join(&stage, "one").await;
    assert_eq!(one.commit(one.epoch, 9).await, ErrorCode::NONE);
    assert_eq!(one.commit(one.epoch, 8).await, ErrorCode::UNSUPPORTED_VERSION);
    assert_eq!(one.commit(one.epoch + 1, 9).await, ErrorCode::STALE_MEMBER_EPOCH);
    assert_eq!(one.committed(one.epoch).await, Ok(7));
    assert_eq!(one.committed(one.epoch + 1).await, Err(ErrorCode::STALE_MEMBER_EPOCH));
}

#[tokio::test]
async fn a_restart_keeps_the_group_and_its_members_go_on() {
    let stage = stage(LONG).await;
    let (mut one, mut two) = (Member::join(&stage, "one").await, Member::join(&stage, "two").await);
    share(&mut one, &mut two).await;
    let before = described(&stage).await;
    let stage = stage.restart().await;
    let after = described(&stage).await;
    assert_eq!((after.group_epoch, after.assignment_epoch), (before.group_epoch, before.assignment_epoch));
    assert_eq!(after.members, before.members);
    (one.client, two.client) = (stage.client().await, stage.client().await);
    assert_eq!((one.beat().await, two.beat().await), (ErrorCode::NONE, ErrorCode::NONE));
    assert_eq!(described(&stage).await.group_epoch, before.group_epoch, "nobody was disturbed");
}

#[tokio::test]
async fn more_partitions_reach_the_members() {
    let stage = stage(LONG).await;
    let mut one = Member::join(&stage, "one").await;
    assert_eq!(one.count(), 4);
    stage.world.decide(|_, topics| topics[0].partitions = 6).await;
    eventually("one owns the new ones", async || {
        assert_eq!(one.beat().await, ErrorCode::NONE);
        one.count() == 6
    })
    .await;
}

#[tokio::test]
async fn groups_of_both_protocols_are_told_apart() {
    let stage = stage(LONG).await;
    let one = Member::join(&stage, "one").await;
    let client = stage.client().await;
    let shown = described(&stage).await;
    assert_eq!((shown.error_code, shown.group_state.as_str()), (ErrorCode::NONE, "Stable"));
    assert_eq!((shown.assignor_name.as_str(), shown.members.len()), ("uniform", 1));
    let classic = describe_groups::Request { groups: vec!["g".into()], ..Default::default() };
    let shown = client.0.call(&classic, 6).await.unwrap().groups.remove(0);
    assert_eq!((shown.error_code, shown.group_state.as_str()), (ErrorCode::GROUP_ID_NOT_FOUND, "Dead"));
    for (wanted, found) in [("consumer", 1), ("classic", 0)] {
        let request = list_groups::Request { types_filter: vec![wanted.into()], ..Default::default() };
        assert_eq!(client.0.call(&request, 5).await.unwrap().groups.len(), found, "{wanted}");
    }
    let request = delete_groups::Request { groups_names: vec!["g".into()], ..Default::default() };
    let delete = async || client.0.call(&request, 2).await.unwrap().results[0].error_code;
    assert_eq!(delete().await, ErrorCode::NON_EMPTY_GROUP);
    assert_eq!(one.send(-1).await.error_code, ErrorCode::NONE);
    assert_eq!(delete().await, ErrorCode::NONE);
    assert_eq!(described(&stage).await.error_code, ErrorCode::GROUP_ID_NOT_FOUND);
}

#[tokio::test]
async fn after_a_failover_members_join_again_and_go_on_from_their_commits() {
    let stage = two().await;
    let mut one = Member::join_by(client(&stage.one).await, "one").await;
    assert_eq!((one.count(), one.commit(one.epoch, 9).await), (1, ErrorCode::NONE));
    stage.mirror().await;
    stage.mirror_commits().await;
    stage.world.give("r2", 2, vec![]).await;
    carry_out(&stage.two, order("run", "open", 2, Action::Open { openings: vec![], jumps: true })).await;
    eventually("the old region lets go", async || one.beat().await == ErrorCode::NOT_COORDINATOR).await;
    one.client = client(&stage.two).await;
    eventually("the new region coordinates", async || one.beat().await == ErrorCode::UNKNOWN_MEMBER_ID).await;
    assert_eq!(one.commit(one.epoch, 9).await, ErrorCode::UNKNOWN_MEMBER_ID, "nothing a client dies of");
    (one.epoch, one.owned) = (0, vec![]);
    assert_eq!((one.beat().await, one.count()), (ErrorCode::NONE, 1));
    assert_eq!(one.committed(one.epoch).await, Ok(7));
}
