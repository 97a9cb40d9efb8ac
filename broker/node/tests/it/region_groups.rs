//! Consumer groups of a region, request by request.

use crate::harness::{Client, batch, eventually};
use crate::world::{World, commits};
use broker::Broker;
use bytes::Bytes;
use std::sync::Arc;
use wire::ErrorCode;
use wire::api::{
    delete_groups, describe_groups, find_coordinator, heartbeat, join_group, leave_group, list_groups, offset_commit,
    offset_delete, offset_fetch, sync_group,
};

struct Stage {
    world: Arc<World>,
    broker: Broker,
    dir: tempfile::TempDir,
}

async fn stage() -> Stage {
    let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
    let broker = world.start("r1", dir.path()).await;
    world.create("t", 4).await;
    let stage = Stage { world, broker, dir };
    stage.until_loaded().await;
    stage
}

impl Stage {
    async fn client(&self) -> Client {
        Client::at(self.broker.addresses().unwrap().clients).await
    }

    async fn until_loaded(&self) {
        let client = self.client().await;
        let loaded = async || {
            let listed = client.0.call(&list_groups::Request::default(), 5).await.unwrap();
            let any = fetch(&client, "any", None).await;
            listed.error_code.is_ok() && any.error_code.is_ok()
        };
        eventually("the groups are read", loaded).await;
    }

    async fn restart(self) -> Self {
        let Self { world, broker, dir } = self;
        world.stop(broker).await;
        let broker = world.start("r1", dir.path()).await;
        let stage = Self { world, broker, dir };
        stage.until_loaded().await;
        stage
    }
}

fn join_request(member: &str, topics: &[&str]) -> join_group::Request {
    let mut metadata = vec![0, 1];
    metadata.extend((topics.len() as i32).to_be_bytes());
    for topic in topics {
        metadata.extend((topic.len() as i16).to_be_bytes());
        metadata.extend(topic.as_bytes());
    }
    metadata.extend((-1_i32).to_be_bytes());
    join_group::Request {
        group_id: "g".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        member_id: member.into(),
        protocol_type: "consumer".into(),
        protocols: vec![join_group::Protocol { name: "range".into(), metadata: metadata.into(), ..Default::default() }],
        ..Default::default()
    }
}

/// One member with a connection of its own.
struct Member {
    client: Client,
    id: String,
    generation: i32,
}

impl Member {
    async fn new(stage: &Stage) -> Self {
        let client = stage.client().await;
        let named = client.0.call(&join_request("", &["t"]), 9).await.unwrap();
        assert_eq!(named.error_code, ErrorCode::MEMBER_ID_REQUIRED);
        assert!(named.member_id.starts_with("test-"), "{}", named.member_id);
        Self { client, id: named.member_id, generation: -1 }
    }

    async fn join(&mut self) -> join_group::Response {
        let joined = self.client.0.call(&join_request(&self.id, &["t"]), 9).await.unwrap();
        assert_eq!(joined.error_code, ErrorCode::NONE);
        assert_eq!(
            (joined.protocol_type.as_deref(), joined.protocol_name.as_deref()),
            (Some("consumer"), Some("range"))
        );
        self.generation = joined.generation_id;
        joined
    }

    async fn sync(&self, assignments: &[(&str, &'static str)]) -> sync_group::Response {
        let assignments = assignments.iter().map(|(member, assignment)| sync_group::Assignment {
            member_id: (*member).to_owned(),
            assignment: Bytes::from_static(assignment.as_bytes()),
            ..Default::default()
        });
        let request = sync_group::Request {
            group_id: "g".into(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            protocol_type: Some("consumer".into()),
            protocol_name: Some("range".into()),
            assignments: assignments.collect(),
            ..Default::default()
        };
        self.client.0.call(&request, 5).await.unwrap()
    }

    async fn heartbeat(&self) -> ErrorCode {
        let request = heartbeat::Request {
            group_id: "g".into(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            ..Default::default()
        };
        self.client.0.call(&request, 4).await.unwrap().error_code
    }

    async fn leave(&self) -> ErrorCode {
        let member = leave_group::Member { member_id: self.id.clone(), ..Default::default() };
        let request = leave_group::Request { group_id: "g".into(), members: vec![member], ..Default::default() };
        let left = self.client.0.call(&request, 5).await.unwrap();
        assert_eq!(left.error_code, ErrorCode::NONE);
        left.members[0].error_code
    }

    async fn commit(&self, topic: &str, partition: i32, offset: i64, metadata: &str) -> ErrorCode {
        let request = commit_request("g", &self.id, self.generation, topic, partition, offset, metadata);
        only_code(self.client.0.call(&request, 9).await.unwrap())
    }
}

fn commit_request(
    group: &str,
    member: &str,
    generation: i32,
    topic: &str,
    partition: i32,
    offset: i64,
    metadata: &str,
) -> offset_commit::Request {
    let partition = offset_commit::Partition {
        partition_index: partition,
        committed_offset: offset,
        committed_leader_epoch: 4096,
        committed_metadata: Some(metadata.to_owned()),
        ..Default::default()
    };
    let topic = offset_commit::Topic { name: topic.into(), partitions: vec![partition], ..Default::default() };
    offset_commit::Request {
        group_id: group.into(),
        generation_id_or_member_epoch: generation,
        member_id: member.into(),
        topics: vec![topic],
        ..Default::default()
    }
}

fn only_code(response: offset_commit::Response) -> ErrorCode {
    response.topics[0].partitions[0].error_code
}

async fn commit_alone(client: &Client, group: &str, topic: &str, partition: i32, offset: i64) -> ErrorCode {
    let request = commit_request(group, "", -1, topic, partition, offset, "alone");
    only_code(client.0.call(&request, 9).await.unwrap())
}

async fn fetch(client: &Client, group: &str, topics: Option<Vec<(&str, Vec<i32>)>>) -> offset_fetch::GroupResponse {
    let topic = |(name, partition_indexes): (&str, Vec<i32>)| offset_fetch::Topic {
        name: name.into(),
        partition_indexes,
        ..Default::default()
    };
    let topics = topics.map(|topics| topics.into_iter().map(topic).collect());
    let group = offset_fetch::Group { group_id: group.into(), topics, ..Default::default() };
    let request = offset_fetch::Request { groups: vec![group], ..Default::default() };
    client.0.call(&request, 8).await.unwrap().groups.into_iter().next().unwrap()
}

/// (offset, epoch, metadata) of each partition asked for.
fn found(response: offset_fetch::GroupResponse) -> Vec<(i64, i32, String)> {
    assert_eq!(response.error_code, ErrorCode::NONE);
    let partitions = response.topics.into_iter().flat_map(|topic| topic.partitions);
    partitions.map(|found| (found.committed_offset, found.committed_leader_epoch, found.metadata.unwrap())).collect()
}

#[tokio::test]
async fn two_members_share_a_group_until_one_leaves() {
    let stage = stage().await;
    let (mut one, mut two) = (Member::new(&stage).await, Member::new(&stage).await);
    let (first, second) = tokio::join!(one.join(), two.join());
    assert_eq!((first.generation_id, second.generation_id), (1, 1));
    assert_eq!(first.leader, second.leader);
    let (leader, follower) = if first.leader == one.id { (&one, &two) } else { (&two, &one) };
    let (told, untold) = if first.leader == one.id { (&first, &second) } else { (&second, &first) };
    assert_eq!((told.members.len(), untold.members.len()), (2, 0));
    let shares = [(leader.id.as_str(), "for the leader"), (follower.id.as_str(), "for the follower")];
    let (led, followed) = tokio::join!(leader.sync(&shares), follower.sync(&[]));
    assert_eq!((led.error_code, &led.assignment[..]), (ErrorCode::NONE, &b"for the leader"[..]));
    assert_eq!((followed.error_code, &followed.assignment[..]), (ErrorCode::NONE, &b"for the follower"[..]));
    assert_eq!((one.heartbeat().await, two.heartbeat().await), (ErrorCode::NONE, ErrorCode::NONE));

    let request = describe_groups::Request { groups: vec!["g".into(), "none".into()], ..Default::default() };
    let described = one.client.0.call(&request, 6).await.unwrap().groups;
    let group = &described[0];
    assert_eq!((group.group_state.as_str(), group.protocol_data.as_str(), group.members.len()), ("Stable", "range", 2));
    assert_eq!((group.members[0].client_id.as_str(), group.members[0].client_host.as_str()), ("test", "/127.0.0.1"));
    assert_eq!(described[1].error_code, ErrorCode::GROUP_ID_NOT_FOUND);
    let request = delete_groups::Request { groups_names: vec!["g".into()], ..Default::default() };
    let refused = one.client.0.call(&request, 2).await.unwrap();
    assert_eq!(refused.results[0].error_code, ErrorCode::NON_EMPTY_GROUP);

    assert_eq!(two.leave().await, ErrorCode::NONE);
    assert_eq!(one.heartbeat().await, ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(two.heartbeat().await, ErrorCode::UNKNOWN_MEMBER_ID);
    let alone = one.join().await;
    assert_eq!((alone.generation_id, alone.members.len()), (2, 1));
    let id = one.id.clone();
    assert_eq!(one.sync(&[(&id, "everything")]).await.assignment, "everything");
}

#[tokio::test]
async fn commits_are_checked_kept_and_read_back() {
    let stage = stage().await;
    let mut member = Member::new(&stage).await;
    member.join().await;
    assert_eq!(member.commit("t", 0, 5, "early").await, ErrorCode::REBALANCE_IN_PROGRESS);
    let id = member.id.clone();
    member.sync(&[(&id, "all")]).await;
    assert_eq!(member.commit("t", 0, 5, "fünf").await, ErrorCode::NONE);
    assert_eq!(member.commit("t", 9, 5, "").await, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(member.commit("u", 0, 5, "").await, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(member.commit("t", 0, 5, &"x".repeat(4097)).await, ErrorCode::OFFSET_METADATA_TOO_LARGE);
    assert_eq!(commit_alone(&member.client, "g", "t", 0, 9).await, ErrorCode::UNKNOWN_MEMBER_ID);
    member.generation += 1;
    assert_eq!(member.commit("t", 0, 6, "").await, ErrorCode::ILLEGAL_GENERATION);
    let client = &member.client;
    let asked = Some(vec![("t", vec![0, 1]), ("u", vec![0])]);
    let none = (-1, -1, String::new());
    let five = (5, 4096, "fünf".to_owned());
    assert_eq!(found(fetch(client, "g", asked).await), [five.clone(), none.clone(), none]);
    assert_eq!(found(fetch(client, "g", None).await), [five]);
    // The first version knows no error for the whole, and no epoch.
    let topic = offset_fetch::Topic { name: "t".into(), partition_indexes: vec![0], ..Default::default() };
    let request = offset_fetch::Request { group_id: "g".into(), topics: Some(vec![topic]), ..Default::default() };
    let old = client.0.call(&request, 1).await.unwrap();
    assert_eq!(old.topics[0].partitions[0].committed_offset, 5);
}

#[tokio::test]
async fn a_restart_keeps_commits_and_records_and_raises_epochs() {
    let stage = stage().await;
    let client = stage.client().await;
    client.produce("t", 2, batch(&["a", "b"])).await;
    assert_eq!(commit_alone(&client, "alone", "t", 2, 1).await, ErrorCode::NONE);
    let stage = stage.restart().await;
    let client = stage.client().await;
    assert_eq!(found(fetch(&client, "alone", None).await), [(1, 4096, "alone".to_owned())]);
    assert_eq!(client.values("t", 2, 0).await, ["a", "b"]);
    client.produce("t", 2, batch(&["c"])).await;
    let status = stage.broker.status(true).await.unwrap();
    let partition =
        status.partitions.iter().find(|known| known.topic.as_str() == "t" && known.partition.0 == 2).unwrap();
    assert_eq!((partition.leader_epoch.0, partition.high_watermark.0, partition.writable), (4097, 3, true));
    assert!(partition.hash.is_some());
    assert_eq!(commits(&stage.broker, "alone").await, [("t".to_owned(), 2, 1, "alone".to_owned())]);
}

#[tokio::test]
async fn members_find_their_group_again_after_a_restart() {
    let stage = stage().await;
    let mut member = Member::new(&stage).await;
    member.join().await;
    let id = member.id.clone();
    member.sync(&[(&id, "all")]).await;
    let stage = stage.restart().await;
    member.client = stage.client().await;
    assert_eq!(member.heartbeat().await, ErrorCode::NONE, "its session goes on");
    assert_eq!(member.commit("t", 0, 3, "").await, ErrorCode::NONE);
    assert_eq!(member.leave().await, ErrorCode::NONE);
}

#[tokio::test]
async fn a_topic_made_again_has_none_of_the_old_commits() {
    let stage = stage().await;
    let client = stage.client().await;
    commit_alone(&client, "alone", "t", 0, 7).await;
    stage.world.decide(|_, topics| topics.clear()).await;
    stage.world.create("t", 4).await;
    assert_eq!(found(fetch(&client, "alone", Some(vec![("t", vec![0])])).await), [(-1, -1, String::new())]);
    assert!(found(fetch(&client, "alone", None).await).is_empty());
}

#[tokio::test]
async fn groups_are_listed_and_deleted_with_their_offsets() {
    let stage = stage().await;
    let client = stage.client().await;
    for partition in 0..3 {
        commit_alone(&client, "alone", "t", partition, 7).await;
    }
    let mut member = Member::new(&stage).await;
    member.join().await;
    let list = async |states: &[&str]| {
        let states_filter = states.iter().map(|state| (*state).to_owned()).collect();
        let request = list_groups::Request { states_filter, ..Default::default() };
        let listed = client.0.call(&request, 5).await.unwrap();
        assert_eq!(listed.error_code, ErrorCode::NONE);
        listed.groups.into_iter().map(|group| (group.group_id, group.group_state)).collect::<Vec<_>>()
    };
    let group = |name: &str, state: &str| (name.to_owned(), state.to_owned());
    assert_eq!(list(&[]).await, [group("alone", "Empty"), group("g", "CompletingRebalance")]);
    assert_eq!(list(&["empty"]).await, [group("alone", "Empty")]);

    let forget = async |partition: i32, group: &str| {
        let partition = offset_delete::Partition { partition_index: partition, ..Default::default() };
        let topic = offset_delete::Topic { name: "t".into(), partitions: vec![partition], ..Default::default() };
        let request = offset_delete::Request { group_id: group.into(), topics: vec![topic], ..Default::default() };
        client.0.call(&request, 0).await.unwrap()
    };
    assert_eq!(forget(1, "alone").await.topics[0].partitions[0].error_code, ErrorCode::NONE);
    assert_eq!(forget(1, "g").await.topics[0].partitions[0].error_code, ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC);
    assert_eq!(forget(1, "none").await.error_code, ErrorCode::GROUP_ID_NOT_FOUND);
    assert_eq!(found(fetch(&client, "alone", None).await).len(), 2);

    let request = delete_groups::Request { groups_names: vec!["alone".into(), "none".into()], ..Default::default() };
    let deleted = client.0.call(&request, 2).await.unwrap().results;
    assert_eq!((deleted[0].error_code, deleted[1].error_code), (ErrorCode::NONE, ErrorCode::GROUP_ID_NOT_FOUND));
    assert!(found(fetch(&client, "alone", None).await).is_empty());
    let stage = stage.restart().await;
    assert!(found(fetch(&stage.client().await, "alone", None).await).is_empty(), "deleted for good");
}

#[tokio::test]
async fn a_transactional_coordinator_is_refused_for_good() {
    let stage = stage().await;
    let client = stage.client().await;
    let request = find_coordinator::Request {
        key_type: find_coordinator::TRANSACTION,
        coordinator_keys: vec!["tx".into()],
        ..Default::default()
    };
    let found = client.0.call(&request, 4).await.unwrap().coordinators;
    assert_eq!(found[0].error_code, ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    let request = find_coordinator::Request { key: "g".into(), ..Default::default() };
    let found = client.0.call(&request, 2).await.unwrap();
    assert_eq!((found.error_code, found.node_id), (ErrorCode::NONE, 1));
}

#[tokio::test]
async fn a_commit_is_read_by_what_the_client_sends_next() {
    let stage = stage().await;
    let client = stage.client().await;
    for offset in 0..20 {
        let request = commit_request("alone", "", -1, "t", 0, offset, "");
        // Both are on their way before the first is answered.
        let (committed, read) = tokio::join!(client.0.call(&request, 9), fetch(&client, "alone", None));
        assert_eq!(only_code(committed.unwrap()), ErrorCode::NONE);
        assert_eq!(found(read)[0].0, offset);
    }
}
