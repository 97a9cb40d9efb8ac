//! Topics of a region, as clients and admin tools see them.

use crate::harness::{Client, batch};
use crate::world::World;
use broker::Broker;
use std::sync::Arc;
use wire::ErrorCode;
use wire::api::{
    create_partitions, create_topics, delete_topics, describe_cluster, describe_configs, describe_topic_partitions,
    incremental_alter_configs, metadata,
};

struct Stage {
    world: Arc<World>,
    broker: Broker,
    client: Client,
    _dir: tempfile::TempDir,
}

async fn stage() -> Stage {
    let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
    let broker = world.start("r1", dir.path()).await;
    let client = Client::at(broker.addresses().unwrap().clients).await;
    Stage { world, broker, client, _dir: dir }
}

fn asked(name: &str) -> metadata::Topic {
    metadata::Topic { name: Some(name.to_owned()), ..Default::default() }
}

async fn metadata_of(client: &Client, topics: Option<Vec<metadata::Topic>>, create: bool) -> metadata::Response {
    let request = metadata::Request { topics, allow_auto_topic_creation: create, ..Default::default() };
    client.0.call(&request, 12).await.unwrap()
}

async fn metadata_of_one(client: &Client, topic: metadata::Topic, create: bool) -> metadata::TopicResponse {
    metadata_of(client, Some(vec![topic]), create).await.topics.into_iter().next().unwrap()
}

fn wanted(name: &str, partitions: i32, factor: i16) -> create_topics::Topic {
    create_topics::Topic {
        name: name.to_owned(),
        num_partitions: partitions,
        replication_factor: factor,
        ..Default::default()
    }
}

async fn create(client: &Client, topic: create_topics::Topic) -> create_topics::TopicResponse {
    let request = create_topics::Request { topics: vec![topic], ..Default::default() };
    client.0.call(&request, 7).await.unwrap().topics.into_iter().next().unwrap()
}

#[tokio::test]
async fn metadata_names_the_listener_the_client_came_by() {
    let stage = stage().await;
    let listeners = stage.broker.addresses().unwrap();
    for address in [listeners.clients, listeners.gateways] {
        let client = Client::at(address).await;
        let found = metadata_of(&client, Some(vec![]), false).await;
        assert!(found.topics.is_empty());
        assert_eq!((found.cluster_id.as_deref(), found.controller_id), (Some("farshore-r1"), 1));
        let broker = &found.brokers[0];
        assert_eq!((broker.node_id, broker.host.as_str(), broker.port), (1, "127.0.0.1", i32::from(address.port())));
        let request = describe_cluster::Request::default();
        let cluster = client.0.call(&request, 1).await.unwrap();
        assert_eq!((cluster.brokers.len(), cluster.brokers[0].port), (1, i32::from(address.port())));
    }
}

#[tokio::test]
async fn a_topic_that_is_asked_for_is_made_if_the_client_lets_us() {
    let stage = stage().await;
    let unknown = metadata_of_one(&stage.client, asked("orders"), false).await;
    assert_eq!(unknown.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let made = metadata_of_one(&stage.client, asked("orders"), true).await;
    assert_eq!((made.error_code, made.partitions.len(), made.is_internal), (ErrorCode::NONE, 1, false));
    let led = &made.partitions[0];
    assert_eq!((led.error_code, led.leader_id, led.leader_epoch), (ErrorCode::NONE, 1, 4096));
    assert_eq!((&led.replica_nodes[..], &led.isr_nodes[..]), (&[1][..], &[1][..]));
    let by_id = metadata::Topic { topic_id: made.topic_id, name: None, ..Default::default() };
    assert_eq!(metadata_of_one(&stage.client, by_id, false).await.name.as_deref(), Some("orders"));
    for (name, code) in [("a/b", ErrorCode::INVALID_TOPIC_EXCEPTION), ("__own", ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)]
    {
        assert_eq!(metadata_of_one(&stage.client, asked(name), true).await.error_code, code, "{name}");
    }
    let nobody =
        metadata::Topic { topic_id: model::TopicId(uuid::Uuid::from_u128(1)), name: None, ..Default::default() };
    assert_eq!(metadata_of_one(&stage.client, nobody, true).await.error_code, ErrorCode::UNKNOWN_TOPIC_ID);
    let all = metadata_of(&stage.client, None, true).await.topics;
    let names: Vec<_> = all.iter().map(|topic| (topic.name.as_deref().unwrap(), topic.is_internal)).collect();
    assert!(names.contains(&("orders", false)) && names.contains(&("__consumer_offsets", true)) && names.len() == 2);
}

#[tokio::test]
async fn many_clients_that_ask_for_one_topic_get_one() {
    let stage = stage().await;
    let address = stage.broker.addresses().unwrap().clients;
    let asking = (0..8).map(|_| async move {
        let client = Client::at(address).await;
        loop {
            let found = metadata_of_one(&client, asked("t"), true).await;
            match found.error_code {
                ErrorCode::NONE => return found.topic_id,
                ErrorCode::LEADER_NOT_AVAILABLE | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => {}
                other => panic!("{other}"),
            }
        }
    });
    let asking: Vec<_> = asking.map(tokio::spawn).collect();
    for task in asking {
        assert_eq!(task.await.unwrap(), stage.world.topic("t").id);
    }
}

#[tokio::test]
async fn a_topic_is_made_as_it_was_asked_for_or_refused_with_the_reason() {
    let stage = stage().await;
    let config =
        create_topics::Config { name: "retention.ms".into(), value: Some("5000".into()), ..Default::default() };
    let topic = create_topics::Topic { configs: vec![config], ..wanted("t", 3, -1) };
    let made = create(&stage.client, topic).await;
    assert_eq!((made.error_code, made.num_partitions, made.replication_factor), (ErrorCode::NONE, 3, 1));
    assert_eq!(made.topic_id, stage.world.topic("t").id);
    let configs = made.configs.unwrap();
    let retention = configs.iter().find(|config| config.name == "retention.ms").unwrap();
    assert_eq!((retention.value.as_deref(), retention.config_source), (Some("5000"), 1));
    assert_eq!(metadata_of_one(&stage.client, asked("t"), false).await.partitions.len(), 3);

    let assigned = create_topics::Assignment { broker_ids: vec![1], ..Default::default() };
    let odd = create_topics::Config { name: "no.such".into(), value: Some("1".into()), ..Default::default() };
    let refusals = [
        (wanted("t", 3, 1), ErrorCode::TOPIC_ALREADY_EXISTS, "t exists"),
        (
            wanted("u", 1, 3),
            ErrorCode::INVALID_REPLICATION_FACTOR,
            "replication factor 3 is larger than the number of brokers, 1",
        ),
        (wanted("u", 0, 1), ErrorCode::INVALID_PARTITIONS, "0 partitions"),
        (wanted("u", 10_001, 1), ErrorCode::INVALID_PARTITIONS, "10001 partitions"),
        (wanted("u/v", 1, 1), ErrorCode::INVALID_TOPIC_EXCEPTION, "'/'"),
        (wanted("__u", 1, 1), ErrorCode::INVALID_TOPIC_EXCEPTION, "keeps for itself"),
        (
            create_topics::Topic { assignments: vec![assigned], ..wanted("u", -1, -1) },
            ErrorCode::INVALID_REPLICA_ASSIGNMENT,
            "placed by the broker",
        ),
        (create_topics::Topic { configs: vec![odd], ..wanted("u", 1, 1) }, ErrorCode::INVALID_CONFIG, "no.such"),
    ];
    for (topic, code, reason) in refusals {
        let refused = create(&stage.client, topic).await;
        let message = refused.error_message.unwrap();
        assert!(refused.error_code == code && message.contains(reason), "{} {message}", refused.error_code);
    }
    let twice = vec![wanted("w", 1, 1), wanted("w", 1, 1)];
    let request = create_topics::Request { topics: twice, ..Default::default() };
    let answered = stage.client.0.call(&request, 7).await.unwrap().topics;
    assert!(answered.iter().all(|topic| topic.error_code == ErrorCode::INVALID_REQUEST));
    let request = create_topics::Request { topics: vec![wanted("v", 1, 1)], validate_only: true, ..Default::default() };
    assert_eq!(stage.client.0.call(&request, 7).await.unwrap().topics[0].error_code, ErrorCode::NONE);
    assert!(stage.broker.image().topic_named("v").is_none());
}

#[tokio::test]
async fn a_topic_that_is_deleted_and_made_again_is_another_one() {
    let stage = stage().await;
    let first = stage.world.create("t", 1).await;
    stage.client.produce("t", 0, batch(&["old"])).await;
    let delete = async |topic: delete_topics::Topic| {
        let request = delete_topics::Request { topics: vec![topic], timeout_ms: 20_000, ..Default::default() };
        stage.client.0.call(&request, 6).await.unwrap().responses.into_iter().next().unwrap()
    };
    let by_id = |id| delete_topics::Topic { name: None, topic_id: id, ..Default::default() };
    let by_name = |name: &str| delete_topics::Topic { name: Some(name.to_owned()), ..Default::default() };
    let gone = delete(by_id(first)).await;
    assert_eq!((gone.error_code, gone.name.as_deref(), gone.topic_id), (ErrorCode::NONE, Some("t"), first));
    assert_eq!(delete(by_id(first)).await.error_code, ErrorCode::UNKNOWN_TOPIC_ID);
    assert_eq!(delete(by_name("t")).await.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(delete(by_name("__consumer_offsets")).await.error_code, ErrorCode::INVALID_TOPIC_EXCEPTION);
    let lost = stage.client.produce("t", 0, batch(&["nowhere"])).await;
    assert_eq!(lost.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let second = stage.world.create("t", 1).await;
    assert_ne!(first, second);
    stage.client.produce("t", 0, batch(&["new"])).await;
    assert_eq!(stage.client.values("t", 0, 0).await, ["new"]);
}

#[tokio::test]
async fn a_topic_grows_and_never_shrinks() {
    let stage = stage().await;
    stage.world.create("t", 2).await;
    let grow = async |count, validate_only| {
        let topic = create_partitions::Topic { name: "t".into(), count, assignments: None, ..Default::default() };
        let request =
            create_partitions::Request { topics: vec![topic], timeout_ms: 20_000, validate_only, ..Default::default() };
        let response = stage.client.0.call(&request, 3).await.unwrap();
        response.results.into_iter().next().unwrap()
    };
    assert_eq!(grow(4, true).await.error_code, ErrorCode::NONE);
    assert_eq!(metadata_of_one(&stage.client, asked("t"), false).await.partitions.len(), 2);
    assert_eq!(grow(4, false).await.error_code, ErrorCode::NONE);
    assert_eq!(metadata_of_one(&stage.client, asked("t"), false).await.partitions.len(), 4);
    assert_eq!(stage.client.produce("t", 3, batch(&["a"])).await.error_code, ErrorCode::NONE);
    let refused = grow(3, false).await;
    assert_eq!(refused.error_code, ErrorCode::INVALID_PARTITIONS);
    assert!(refused.error_message.unwrap().contains("has 4 partitions"));
}

#[tokio::test]
async fn settings_are_described_changed_and_take_effect() {
    let stage = stage().await;
    stage.world.create("t", 1).await;
    let describe = async |resource_type, name: &str, keys: Option<Vec<String>>| {
        let resource = describe_configs::Resource {
            resource_type,
            resource_name: name.to_owned(),
            configuration_keys: keys,
            ..Default::default()
        };
        let request = describe_configs::Request {
            resources: vec![resource],
            include_synonyms: true,
            include_documentation: true,
            ..Default::default()
        };
        stage.client.0.call(&request, 4).await.unwrap().results.into_iter().next().unwrap()
    };
    let alter = async |operation, name: &str, value: Option<&str>| {
        let config = incremental_alter_configs::Config {
            name: name.to_owned(),
            config_operation: operation,
            value: value.map(str::to_owned),
            ..Default::default()
        };
        let resource = incremental_alter_configs::Resource {
            resource_type: describe_configs::TOPIC,
            resource_name: "t".into(),
            configs: vec![config],
            ..Default::default()
        };
        let request = incremental_alter_configs::Request { resources: vec![resource], ..Default::default() };
        stage.client.0.call(&request, 1).await.unwrap().responses.into_iter().next().unwrap().error_code
    };
    let value = async |name: &str| {
        let found = describe(describe_configs::TOPIC, "t", Some(vec![name.to_owned()])).await.configs;
        assert_eq!(found.len(), 1);
        (found[0].value.clone().unwrap(), found[0].config_source, found[0].synonyms.len())
    };
    assert_eq!(describe(describe_configs::TOPIC, "t", None).await.configs.len(), broker_core::config::KEYS.len());
    assert_eq!(value("max.message.bytes").await, ("1048588".into(), 5, 1));
    assert_eq!(alter(incremental_alter_configs::SET, "max.message.bytes", Some("200")).await, ErrorCode::NONE);
    assert_eq!(value("max.message.bytes").await, ("200".into(), 1, 2));
    let large = stage.client.produce("t", 0, batch(&["x".repeat(500).as_str()])).await;
    assert_eq!(large.error_code, ErrorCode::MESSAGE_TOO_LARGE);
    assert_eq!(
        alter(incremental_alter_configs::SET, "max.message.bytes", Some("much")).await,
        ErrorCode::INVALID_CONFIG
    );
    assert_eq!(alter(incremental_alter_configs::APPEND, "cleanup.policy", Some("compact")).await, ErrorCode::NONE);
    assert_eq!(value("cleanup.policy").await.0, "delete,compact");
    assert_eq!(alter(incremental_alter_configs::DELETE, "max.message.bytes", None).await, ErrorCode::NONE);
    assert_eq!(value("max.message.bytes").await, ("1048588".into(), 5, 1));
    assert_eq!(describe(describe_configs::TOPIC, "u", None).await.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);

    let broker = describe(describe_configs::BROKER, "1", None).await;
    let named = |name: &str| broker.configs.iter().find(|config| config.name == name).unwrap();
    assert_eq!(named("auto.create.topics.enable").value.as_deref(), Some("true"));
    assert!(named("num.partitions").read_only);
    assert_eq!(describe(describe_configs::BROKER, "7", None).await.error_code, ErrorCode::INVALID_REQUEST);
}

#[tokio::test]
async fn topics_are_described_page_by_page() {
    let stage = stage().await;
    for (name, partitions) in [("a", 3), ("b", 2), ("c", 1)] {
        stage.world.create(name, partitions).await;
    }
    let (mut cursor, mut pages) = (None, Vec::new());
    loop {
        let topics = ["c", "a", "missing", "b"];
        let topics = topics.map(|name| describe_topic_partitions::Topic { name: name.into(), ..Default::default() });
        let request = describe_topic_partitions::Request {
            topics: topics.into(),
            response_partition_limit: 2,
            cursor,
            ..Default::default()
        };
        let page = stage.client.0.call(&request, 0).await.unwrap();
        let shown = page.topics.into_iter().flat_map(|topic| {
            let name = topic.name.unwrap();
            topic.partitions.into_iter().map(move |partition| format!("{name}{}", partition.partition_index))
        });
        pages.push(shown.collect::<Vec<_>>());
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(pages, [vec!["a0", "a1"], vec!["a2", "b0"], vec!["b1", "c0"]]);
}

#[tokio::test]
async fn a_region_opens_many_partitions_at_once() {
    let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
    let broker = world.start("r1", dir.path()).await;
    for topic in 0..4 {
        world.create(&format!("t{topic}"), 50).await;
    }
    world.stop(broker).await;
    let began = std::time::Instant::now();
    let broker = world.start("r1", dir.path()).await;
    println!("200 partitions after {:?}", began.elapsed());
    let status = broker.status(false).await.unwrap();
    let led = status.partitions.iter().filter(|partition| partition.group.is_some() && partition.writable);
    assert_eq!(led.count(), 200);
    assert!(status.partitions.iter().all(|partition| partition.group.is_none() || partition.leader_epoch.0 == 4097));
}

#[tokio::test]
async fn a_topic_deleted_while_the_region_was_down_leaves_nothing() {
    let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
    let broker = world.start("r1", dir.path()).await;
    for topic in ["gone", "again", "stays"] {
        world.create(topic, 2).await;
    }
    world.stop(broker).await;
    world.decide(|_, topics| topics.retain(|topic| topic.name.as_str() == "stays")).await;
    world.create("again", 1).await;
    world.start("r1", dir.path()).await;
    let entries = std::fs::read_dir(dir.path().join("topics")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with("__") && name != "high-watermarks");
    names.sort();
    assert_eq!(names, ["again-0", "stays-0", "stays-1"]);
}
