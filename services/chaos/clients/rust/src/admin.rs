//! What admin tools ask.

use crate::stage::{Failure, Outcome, Plain, Stage, fail, parts, refused, same, take, until};
use confluent_kafka::admin::{Admin, AlterConfigOp, ConfigEntry, NewPartitions, OpType, RecordsToDelete};
use confluent_kafka::common::config::ConfigResource;
use confluent_kafka::common::config::config_resource::Type;
use confluent_kafka::common::{Error, TopicPartition};
use confluent_kafka::consumer::Consumer as _;
use std::collections::HashMap;

async fn alter(admin: &dyn Admin, resource: &ConfigResource, entries: &[(&str, Option<&str>)]) -> Result<(), Error> {
    let op = |(name, value): &(&str, Option<&str>)| {
        let kind = if value.is_some() { OpType::Set } else { OpType::Delete };
        AlterConfigOp::new(ConfigEntry::new((*name).to_owned(), value.map(str::to_owned)), kind)
    };
    let changes = HashMap::from([(resource.clone(), entries.iter().map(op).collect())]);
    admin.incremental_alter_configs(&changes).all().get().await
}

/// Sets settings of a group.
pub async fn set_group(admin: &dyn Admin, group: &str, entries: &[(&str, &str)]) -> Outcome {
    let resource = ConfigResource::new(Type::Group, group.to_owned());
    let entries: Vec<_> = entries.iter().map(|(name, value)| (*name, Some(*value))).collect();
    Ok(alter(admin, &resource, &entries).await?)
}

/// A group as the cluster sees it.
pub async fn described(admin: &dyn Admin, group: &str) -> String {
    let resource = ConfigResource::new(Type::Group, group.to_owned());
    let session = value(admin, &resource, "consumer.session.timeout.ms").await;
    let groups = admin.describe_consumer_groups(&[group.to_owned()]).all().get().await;
    format!("{groups:?} with a session of {session:?}")
}

/// The value of one setting.
async fn value(admin: &dyn Admin, resource: &ConfigResource, name: &str) -> Outcome<Option<String>> {
    let all = admin.describe_configs(std::slice::from_ref(resource)).all().get().await?;
    let Some(config) = all.get(resource) else { return fail(format!("{resource:?} is not described")) };
    Ok(config.get(name).and_then(|entry| entry.value().map(str::to_owned)))
}

async fn partition_count(admin: &dyn Admin, topic: &str) -> Outcome<usize> {
    let described = admin.describe_topics_with_topic_names(&[topic.to_owned()]).all_topic_names();
    let Some(described) = described else { return fail("topics are described by name") };
    let found = described.get().await?;
    Ok(found.get(topic).map_or(0, |topic| topic.partitions().len()))
}

pub async fn topics(stage: Stage) -> Outcome {
    let topic = stage.create_with("admin", 2, &[("retention.ms", "86400000")]).await?;
    let (admin, resource) = (stage.admin()?, ConfigResource::new(Type::Topic, topic.clone()));
    same(value(&*admin, &resource, "retention.ms").await?.as_deref(), Some("86400000"), "what it was made with")?;
    alter(&*admin, &resource, &[("retention.ms", Some("7200000"))]).await?;
    until("the topic's setting is known", async || {
        Ok(value(&*admin, &resource, "retention.ms").await?.as_deref() == Some("7200000"))
    })
    .await?;
    refused(alter(&*admin, &resource, &[("no.such", Some("1"))]).await, "no.such", "a setting there is not")?;
    let more = HashMap::from([(topic.clone(), NewPartitions::increase_to(3))]);
    admin.create_partitions(&more).all().get().await?;
    until("there are three partitions", async || Ok(partition_count(&*admin, &topic).await? == 3)).await?;
    let numbers: Vec<_> = (0..10).map(Plain::number).collect();
    stage.send(&topic, 0, &numbers, &[]).await?;
    let one = TopicPartition::new(topic.as_str(), 0);
    let trim = HashMap::from([(one.clone(), RecordsToDelete::with_offset(4))]);
    admin.delete_records(&trim).all().get().await?;
    let mut consumer = stage.consumer(&stage.name("alone"), &[])?;
    let beginning = consumer.beginning_offsets(std::slice::from_ref(&one)).await?;
    same(beginning.get(&one).copied(), Some(4), "the first offset that is left")?;
    consumer.close().await?;
    admin.delete_topics_with_string_slice(&[topic.clone()]).all().get().await?;
    until("the topic is gone", async || {
        let listed = admin.list_topics().names().get().await?;
        Ok(!listed.contains(&topic))
    })
    .await?;
    admin.close().await;
    Ok(())
}

pub async fn groups(stage: Stage) -> Outcome {
    let (topic, group) = (stage.create("groups", 1).await?, stage.name("groups-group"));
    stage.send(&topic, 0, &[Plain::number(1)], &[]).await?;
    let mut consumer = stage.consumer(&group, &[])?;
    consumer.subscribe_with_topics(vec![topic.clone()]).await?;
    take(&mut consumer, 1).await?;
    consumer.commit_sync().await?;
    let admin = stage.admin()?;
    let listed = admin.list_groups().all().get().await?;
    same(listed.iter().filter(|found| found.group_id() == group).count(), 1, "how often the group is listed")?;
    let described = admin.describe_consumer_groups(std::slice::from_ref(&group)).all().get().await?;
    same(described.get(&group).map(|found| found.members().len()), Some(1), "its members")?;
    let alone = std::slice::from_ref(&group);
    refused(admin.delete_consumer_groups(alone).all().get().await, "empty", "deleting a group with a member")?;
    let offsets = admin.list_consumer_group_offsets_with_group_id(&group).partitions_to_offset_and_metadata()?;
    let offsets = offsets.get().await?;
    let one = &parts(&topic, 0..1)[0];
    let committed = offsets.get(one).and_then(Option::as_ref).map(|found| found.offset());
    same(committed, Some(1), "what the group has committed")?;
    consumer.close().await?;
    until("nobody is in the group", async || {
        let described = admin.describe_consumer_groups(alone).all().get().await?;
        Ok(described.get(&group).is_some_and(|found| found.members().is_empty()))
    })
    .await?;
    admin.delete_consumer_groups(alone).all().get().await?;
    let left = admin.list_groups().all().get().await?;
    same(left.iter().any(|found| found.group_id() == group), false, "whether it is listed still")?;
    admin.close().await;
    Ok(())
}

pub async fn group_settings(stage: Stage) -> Outcome {
    const SESSION: &str = "consumer.session.timeout.ms";
    let (admin, group) = (stage.admin()?, stage.name("settings-group"));
    let resource = ConfigResource::new(Type::Group, group.clone());
    let shows = async |wanted: &str| {
        let what = format!("the group's session is {wanted}");
        until(&what, async || Ok(value(&*admin, &resource, SESSION).await?.as_deref() == Some(wanted))).await
    };
    let Some(default) = value(&*admin, &resource, SESSION).await? else { return fail("a group has no session") };
    alter(&*admin, &resource, &[(SESSION, Some("8000"))]).await?;
    shows("8000").await?;
    for (value, reason) in [("soon", "integer"), ("10", "from"), ("2000", "less than")] {
        let altered = alter(&*admin, &resource, &[(SESSION, Some(value))]).await;
        refused(altered, reason, &format!("a session of {value}"))?;
    }
    alter(&*admin, &resource, &[(SESSION, None)]).await?;
    shows(&default).await?;
    admin.close().await;
    Ok::<(), Failure>(())
}
