//! What admin tools ask a region beside its topics.

use crate::harness::{Client, batch, builder};
use crate::world::World;
use broker::Broker;
use model::ProducerId;
use std::sync::Arc;
use wire::ErrorCode;
use wire::api::{
    alter_configs, alter_user_scram_credentials, create_acls, delete_acls, describe_acls, describe_configs,
    describe_producers, describe_quorum, describe_user_scram_credentials, list_config_resources, update_features,
};

struct Stage {
    world: Arc<World>,
    _broker: Broker,
    client: Client,
    _dir: tempfile::TempDir,
}

async fn stage() -> Stage {
    let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
    let broker = world.start("r1", dir.path()).await;
    let client = Client::at(broker.addresses().unwrap().clients).await;
    Stage { world, _broker: broker, client, _dir: dir }
}

impl Stage {
    async fn alter(&self, resource_type: i8, name: &str, entries: &[(&str, &str)], dry: bool) -> (ErrorCode, String) {
        let configs = entries.iter().map(|(name, value)| alter_configs::Config {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
            ..Default::default()
        });
        let resource = alter_configs::Resource {
            resource_type,
            resource_name: name.to_owned(),
            configs: configs.collect(),
            ..Default::default()
        };
        let request = alter_configs::Request { resources: vec![resource], validate_only: dry, ..Default::default() };
        let answer = self.client.0.call(&request, 2).await.unwrap().responses.into_iter().next().unwrap();
        assert_eq!((answer.resource_type, answer.resource_name.as_str()), (resource_type, name));
        (answer.error_code, answer.error_message.unwrap_or_default())
    }

    /// The topic's own entries.
    fn config(&self, topic: &str) -> Vec<(String, String)> {
        self.world.topic(topic).config.into_iter().collect()
    }
}

fn entries(entries: &[(&str, &str)]) -> Vec<(String, String)> {
    entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn all_settings_of_a_topic_are_replaced_at_once() {
    let stage = stage().await;
    stage.world.create("t", 1).await;
    let topic = describe_configs::TOPIC;
    let first = [("retention.ms", "5000"), ("segment.bytes", "4096")];
    assert_eq!(stage.alter(topic, "t", &first, false).await.0, ErrorCode::NONE);
    assert_eq!(stage.config("t"), entries(&first));
    let second = [("cleanup.policy", "compact"), ("retention.ms", "7000")];
    assert_eq!(stage.alter(topic, "t", &second, true).await.0, ErrorCode::NONE);
    assert_eq!(stage.config("t"), entries(&first), "it was only asked whether it could");
    assert_eq!(stage.alter(topic, "t", &second, false).await.0, ErrorCode::NONE);
    assert_eq!(stage.config("t"), entries(&second), "segment.bytes is back at its default");
    for (resource_type, name, entry, code, reason) in [
        (topic, "t", ("no.such", "1"), ErrorCode::INVALID_CONFIG, "no.such"),
        (topic, "t", ("retention.ms", "soon"), ErrorCode::INVALID_CONFIG, "an integer"),
        (topic, "u", ("retention.ms", "1"), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "no topic u"),
        (describe_configs::BROKER, "1", ("num.partitions", "3"), ErrorCode::INVALID_REQUEST, "when it is started"),
        (16, "c", ("interval.ms", "3"), ErrorCode::INVALID_REQUEST, "type 16"),
    ] {
        let (refused, message) = stage.alter(resource_type, name, &[entry], false).await;
        assert!(refused == code && message.contains(reason), "{refused} {message}");
    }
    assert_eq!(stage.config("t"), entries(&second));
}

#[tokio::test]
async fn topics_and_brokers_are_listed_as_resources_with_settings() {
    let stage = stage().await;
    stage.world.create("t", 1).await;
    let list = async |types: &[i8], version| {
        let request = list_config_resources::Request { resource_types: types.to_vec(), ..Default::default() };
        let answer = stage.client.0.call(&request, version).await.unwrap();
        let found = answer.config_resources.into_iter().map(|found| (found.resource_type, found.resource_name));
        (answer.error_code, found.collect::<Vec<_>>())
    };
    let broker = (describe_configs::BROKER, "1".to_owned());
    let topics = ["__consumer_offsets", "t"].map(|name| (describe_configs::TOPIC, name.to_owned()));
    let (_, mut all) = list(&[], 1).await;
    all.sort();
    assert_eq!(all, [topics[0].clone(), topics[1].clone(), broker.clone()]);
    assert_eq!(list(&[describe_configs::BROKER], 1).await, (ErrorCode::NONE, vec![broker]));
    assert_eq!(list(&[3], 1).await, (ErrorCode::UNSUPPORTED_VERSION, vec![]));
    assert_eq!(list(&[], 0).await, (ErrorCode::NONE, vec![]), "the first version means client metrics");
}

#[tokio::test]
async fn the_producers_of_a_partition_are_told() {
    let stage = stage().await;
    stage.world.create("t", 1).await;
    for sequence in 0..2 {
        let batch = builder(&["v"]).producer(ProducerId(7), 3, sequence).build();
        stage.client.produce("t", 0, batch.into()).await;
    }
    stage.client.produce("t", 0, batch(&["not idempotent"])).await;
    let topic = |name: &str, partition_indexes| describe_producers::Topic {
        name: name.to_owned(),
        partition_indexes,
        ..Default::default()
    };
    let request =
        describe_producers::Request { topics: vec![topic("t", vec![0, 1]), topic("u", vec![0])], ..Default::default() };
    let answer = stage.client.0.call(&request, 0).await.unwrap();
    let [known, missing] = &answer.topics[0].partitions[..] else { panic!("two partitions were asked for") };
    let [producer] = &known.active_producers[..] else { panic!("one producer wrote") };
    assert_eq!((producer.producer_id, producer.producer_epoch, producer.last_sequence), (7, 3, 1));
    assert_eq!((producer.coordinator_epoch, producer.current_txn_start_offset), (-1, -1));
    assert!(producer.last_timestamp > 0);
    assert_eq!(missing.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(answer.topics[1].partitions[0].error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
}

#[tokio::test]
async fn the_quorum_of_the_metadata_is_described() {
    let stage = stage().await;
    let describe = async |name: &str| {
        let partition = describe_quorum::Partition::default();
        let topic =
            describe_quorum::Topic { topic_name: name.to_owned(), partitions: vec![partition], ..Default::default() };
        let request = describe_quorum::Request { topics: vec![topic], ..Default::default() };
        stage.client.0.call(&request, 2).await.unwrap()
    };
    let answer = describe("__cluster_metadata").await;
    assert_eq!(answer.nodes.iter().map(|node| node.node_id).collect::<Vec<_>>(), [1]);
    let quorum = &answer.topics[0].partitions[0];
    assert_eq!((quorum.error_code, quorum.leader_id), (ErrorCode::NONE, 1));
    assert!(quorum.leader_epoch > 0 && quorum.high_watermark > 0);
    let [voter] = &quorum.current_voters[..] else { panic!("a region of one broker has one voter") };
    assert_eq!((voter.replica_id, voter.log_end_offset >= quorum.high_watermark), (1, true));
    assert!(!voter.replica_directory_id.is_nil() && voter.last_caught_up_timestamp > 0);
    assert!(quorum.observers.is_empty());
    let other = describe("orders").await;
    assert_eq!(other.topics[0].partitions[0].error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
}

#[tokio::test]
async fn what_needs_an_authorizer_or_authentication_is_refused_as_kafka_does() {
    let stage = stage().await;
    let client = &stage.client.0;
    let disabled = ErrorCode::SECURITY_DISABLED;
    assert_eq!(client.call(&describe_acls::Request::default(), 3).await.unwrap().error_code, disabled);
    let creations = vec![create_acls::Creation::default(); 2];
    let created = client.call(&create_acls::Request { creations, ..Default::default() }, 3).await.unwrap();
    assert_eq!(created.results.iter().map(|result| result.error_code).collect::<Vec<_>>(), [disabled, disabled]);
    let filters = vec![delete_acls::Filter::default()];
    let deleted = client.call(&delete_acls::Request { filters, ..Default::default() }, 3).await.unwrap();
    assert_eq!(deleted.filter_results[0].error_code, disabled);

    let all = client.call(&describe_user_scram_credentials::Request::default(), 0).await.unwrap();
    assert_eq!((all.error_code, all.results.len()), (ErrorCode::NONE, 0));
    let user = describe_user_scram_credentials::User { name: "ann".into(), ..Default::default() };
    let request = describe_user_scram_credentials::Request { users: Some(vec![user]), ..Default::default() };
    let one = client.call(&request, 0).await.unwrap();
    assert_eq!(one.results[0].error_code, ErrorCode::RESOURCE_NOT_FOUND);
    let upsertion = alter_user_scram_credentials::Upsertion { name: "ann".into(), ..Default::default() };
    let request = alter_user_scram_credentials::Request { upsertions: vec![upsertion], ..Default::default() };
    let refused = client.call(&request, 0).await.unwrap().results;
    assert_eq!((refused[0].user.as_str(), refused[0].error_code), ("ann", disabled));

    let update = update_features::FeatureUpdate {
        feature: "metadata.version".into(),
        max_version_level: 25,
        ..Default::default()
    };
    let request = update_features::Request { feature_updates: vec![update], ..Default::default() };
    assert_eq!(client.call(&request, 2).await.unwrap().error_code, ErrorCode::INVALID_UPDATE_VERSION);
    assert_eq!(client.call(&request, 1).await.unwrap().results[0].error_code, ErrorCode::INVALID_UPDATE_VERSION);
}
