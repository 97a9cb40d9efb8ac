//! Every version of every API that is advertised is answered.

use crate::harness::Client;
use crate::world::World;
use std::collections::HashMap;
use wire::api::*;
use wire::{ApiKey, Request, Versions};

struct Asker {
    client: Client,
    advertised: HashMap<i16, Versions>,
    asked: Vec<i16>,
}

impl Asker {
    /// Sends `request` in every version; an answer that cannot be read, or none, fails.
    async fn ask<R: Request>(&mut self, request: R) {
        let versions = self.advertised[&R::KEY];
        for version in R::VERSIONS.min..=versions.max {
            let answered = self.client.0.call(&request, version).await;
            assert!(answered.is_ok(), "{} v{version}: {}", R::NAME, answered.err().unwrap());
        }
        self.asked.push(R::KEY);
    }
}

#[tokio::test]
async fn every_advertised_version_is_answered() {
    let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
    let broker = world.start("r1", dir.path()).await;
    world.create("t", 2).await;
    let client = Client::at(broker.addresses().unwrap().clients).await;
    let advertised = client.0.api_versions().await.unwrap();
    let mut asker = Asker { client, advertised: advertised.clone(), asked: vec![] };
    let (t, g) = ("t".to_owned(), "g".to_owned());
    for topics in [None, Some(vec![]), Some(vec![named(&t), named("u/v"), named("nobody")])] {
        let (include_cluster_authorized_operations, include_topic_authorized_operations) = (false, true);
        let asked = metadata::Request {
            topics,
            include_cluster_authorized_operations,
            include_topic_authorized_operations,
            allow_auto_topic_creation: false,
            ..Default::default()
        };
        asker.ask(asked).await;
    }
    asker
        .ask(find_coordinator::Request { key: g.clone(), coordinator_keys: vec![g.clone()], ..Default::default() })
        .await;
    asker.ask(find_coordinator::Request { key_type: 1, coordinator_keys: vec![g.clone()], ..Default::default() }).await;
    asker.ask(join_group::Request { group_id: g.clone(), ..Default::default() }).await;
    asker.ask(sync_group::Request { group_id: g.clone(), ..Default::default() }).await;
    asker.ask(heartbeat::Request { group_id: g.clone(), ..Default::default() }).await;
    let member = leave_group::Member { member_id: "m".into(), ..Default::default() };
    asker.ask(leave_group::Request { group_id: g.clone(), members: vec![member], ..Default::default() }).await;
    let topic = offset_commit::Topic { name: t.clone(), partitions: vec![Default::default()], ..Default::default() };
    asker.ask(offset_commit::Request { group_id: g.clone(), topics: vec![topic], ..Default::default() }).await;
    let topic = offset_fetch::Topic { name: t.clone(), partition_indexes: vec![0, 1], ..Default::default() };
    let group = offset_fetch::Group { group_id: g.clone(), topics: None, ..Default::default() };
    let request = offset_fetch::Request {
        group_id: g.clone(),
        topics: Some(vec![topic]),
        groups: vec![group],
        ..Default::default()
    };
    asker.ask(request).await;
    asker.ask(create_topics::Request { topics: vec![Default::default()], ..Default::default() }).await;
    let missing = delete_topics::Topic { name: None, topic_id: id_of_nobody(), ..Default::default() };
    let request = delete_topics::Request { topics: vec![missing], topic_names: vec!["u".into()], ..Default::default() };
    asker.ask(request).await;
    asker.ask(create_partitions::Request { topics: vec![Default::default()], ..Default::default() }).await;
    asker.ask(describe_cluster::Request::default()).await;
    asker.ask(describe_cluster::Request { endpoint_type: 2, ..Default::default() }).await;
    for (resource_type, name) in [(describe_configs::TOPIC, "t"), (describe_configs::BROKER, "1"), (9, "x")] {
        let resource = describe_configs::Resource {
            resource_type,
            resource_name: name.to_owned(),
            configuration_keys: None,
            ..Default::default()
        };
        let request =
            describe_configs::Request { resources: vec![resource], include_synonyms: true, ..Default::default() };
        asker.ask(request).await;
    }
    asker.ask(incremental_alter_configs::Request { resources: vec![Default::default()], ..Default::default() }).await;
    asker.ask(describe_groups::Request { groups: vec![g.clone(), "h".into()], ..Default::default() }).await;
    asker.ask(list_groups::Request::default()).await;
    asker.ask(delete_groups::Request { groups_names: vec![g.clone()], ..Default::default() }).await;
    asker.ask(delete_records::Request::default()).await;
    asker.ask(offset_delete::Request { group_id: g, ..Default::default() }).await;
    asker.ask(describe_topic_partitions::Request::default()).await;
    ask_for_administration(&mut asker).await;
    asker.ask(consumer_group_heartbeat::Request { group_id: "k".into(), ..Default::default() }).await;
    asker.ask(consumer_group_describe::Request { group_ids: vec!["k".into()], ..Default::default() }).await;
    // The data plane's own are tried where it is.
    let elsewhere = [
        ApiKey::Produce,
        ApiKey::Fetch,
        ApiKey::ListOffsets,
        ApiKey::SaslHandshake,
        ApiKey::ApiVersions,
        ApiKey::InitProducerId,
        ApiKey::OffsetForLeaderEpoch,
        ApiKey::SaslAuthenticate,
    ];
    let is_asked = |key: &i16| asker.asked.contains(key) || elsewhere.iter().any(|known| known.number() == *key);
    let forgotten: Vec<_> = advertised.keys().filter(|key| !is_asked(key)).collect();
    assert!(forgotten.is_empty(), "not asked: {forgotten:?}");
}

async fn ask_for_administration(asker: &mut Asker) {
    asker.ask(alter_configs::Request { resources: vec![Default::default()], ..Default::default() }).await;
    asker.ask(list_config_resources::Request::default()).await;
    let topic = describe_producers::Topic { name: "t".into(), partition_indexes: vec![0, 9], ..Default::default() };
    asker.ask(describe_producers::Request { topics: vec![topic], ..Default::default() }).await;
    asker.ask(describe_log_dirs::Request { topics: None, ..Default::default() }).await;
    asker.ask(describe_quorum::Request { topics: vec![Default::default()], ..Default::default() }).await;
    asker.ask(unregister_broker::Request { broker_id: 77, ..Default::default() }).await;
    asker.ask(update_features::Request { feature_updates: vec![Default::default()], ..Default::default() }).await;
    asker.ask(describe_acls::Request::default()).await;
    asker.ask(create_acls::Request { creations: vec![Default::default()], ..Default::default() }).await;
    asker.ask(delete_acls::Request { filters: vec![Default::default()], ..Default::default() }).await;
    asker.ask(elect_leaders::Request { topic_partitions: None, ..Default::default() }).await;
    let topics = vec![Default::default()];
    asker.ask(alter_partition_reassignments::Request { topics, ..Default::default() }).await;
    asker.ask(list_partition_reassignments::Request::default()).await;
    asker.ask(describe_client_quotas::Request::default()).await;
    asker.ask(alter_client_quotas::Request { entries: vec![Default::default()], ..Default::default() }).await;
    asker.ask(describe_user_scram_credentials::Request::default()).await;
    let upsertions = vec![Default::default()];
    asker.ask(alter_user_scram_credentials::Request { upsertions, ..Default::default() }).await;
}

fn named(name: &str) -> metadata::Topic {
    metadata::Topic { name: Some(name.to_owned()), ..Default::default() }
}

fn id_of_nobody() -> model::TopicId {
    model::TopicId(uuid::Uuid::from_u128(1))
}
