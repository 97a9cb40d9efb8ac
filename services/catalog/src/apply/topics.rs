use super::{Applied, Applying};
use crate::column::{signed, to_json, to_word};
use crate::command::{
    AddPartitions, AlterTopicConfig, CreateTopics, DeleteTopic, DeleteTopics, FollowTopic, NewTopic, PurgeTopics,
};
use crate::row::{GroupRow, TopicRow};
use crate::{Answer, Refusal, limits};
use model::{
    Grant, ProtectionGroup, ResetPolicy, TopicId, TopicName, TopicSpec, TopicState, covering_grant,
    limits::PARTITIONS_PER_TOPIC_MAX,
};
use std::collections::BTreeMap;

/// The canary topic of a group.
pub(super) fn canary(group: &ProtectionGroup) -> TopicName {
    TopicName::new(format!("__farshore_canary.{group}")).expect("a group's name is short and has a topic's characters")
}

impl Applying<'_> {
    pub(super) async fn create_topics(&mut self, args: &CreateTopics) -> Applied<Answer> {
        self.check_formed().await?;
        check_batch(args.topics.len())?;
        let mut outcomes = Vec::with_capacity(args.topics.len());
        for topic in &args.topics {
            outcomes.push(apart(self.create_named(topic).await)?);
        }
        Ok(Answer::Topics { outcomes })
    }

    /// Creates one topic for a user, or has no effect.
    pub(super) async fn create_named(&mut self, new: &NewTopic) -> Applied<TopicSpec> {
        if new.name.is_internal() {
            return Err(Refusal::Uncovered { topic: new.name.clone() }.into());
        }
        self.create_topic(new).await
    }

    pub(super) async fn create_topic(&mut self, new: &NewTopic) -> Applied<TopicSpec> {
        if let Some(there) = TopicRow::named(self.connection, &new.name).await? {
            return repeated(new, there);
        }
        if TopicRow::of_id(self.connection, new.id).await?.is_some() {
            return Err(Refusal::Exists { what: "topic id".into(), name: new.id.to_string() }.into());
        }
        check_shape(new)?;
        let count = self.count("SELECT count(*) FROM topics WHERE deleted_at IS NULL").await? + 1;
        if count > limits::TOPICS_MAX {
            return Err(Refusal::too_many("topics", count, limits::TOPICS_MAX).into());
        }
        let groups = GroupRow::all(self.connection).await?;
        let grants: Vec<Grant> = groups.iter().map(GroupRow::grant).collect();
        let group = covering_grant(&grants, &new.name).ok_or(Refusal::Uncovered { topic: new.name.clone() })?;
        let is_active = |row: &&GroupRow| *row.name() == group.group && row.policy.active_active.is_some();
        if groups.iter().any(|row| is_active(&row)) {
            check_active(new)?;
        }
        self.make_room_below(&group.group, new).await?;
        let stops = |row: &GroupRow| *row.name() == group.group && row.policy.topic_reset == ResetPolicy::Stop;
        if new.state == TopicState::Live && groups.iter().any(stops) {
            self.stop_if_remade(new).await?;
        }
        self.insert_topic(new, &group.group).await
    }

    /// A topic under whose name there was another is not copied before a person says so.
    async fn stop_if_remade(&mut self, new: &NewTopic) -> Applied<()> {
        sqlx::query(
            "INSERT INTO stopped_topics (id, stopped_at) SELECT ?, ? \
             WHERE EXISTS (SELECT 1 FROM topics WHERE name = ? AND deleted_at IS NOT NULL)",
        )
        .bind(new.id.0.to_string())
        .bind(self.at.0)
        .bind(new.name.as_str())
        .execute(&mut *self.connection)
        .await?;
        Ok(())
    }

    pub(super) async fn follow_topic(&mut self, args: &FollowTopic) -> Applied<Answer> {
        let topic = self.topic(&args.topic, args.expected).await?;
        self.forget_stop(topic.spec.id).await?;
        self.touch().topics.insert(topic.spec.id);
        Ok(Answer::Topic { topic: topic.spec, revision: topic.revision })
    }

    async fn forget_stop(&mut self, id: TopicId) -> Applied<()> {
        let stop = sqlx::query("DELETE FROM stopped_topics WHERE id = ?").bind(id.0.to_string());
        stop.execute(&mut *self.connection).await?;
        Ok(())
    }

    /// A restored topic brings leader epochs along; the group's ownership epoch has to be above them.
    async fn make_room_below(&mut self, group: &ProtectionGroup, new: &NewTopic) -> Applied<()> {
        let Some(above) = new.epochs_above else { return Ok(()) };
        let group = self.group(group).await?;
        if above.ownership() >= group.ownership_epoch {
            self.check_idle(&group).await?;
            self.raise(&group, above.ownership(), "restore").await?;
        }
        Ok(())
    }

    async fn insert_topic(&mut self, new: &NewTopic, group: &ProtectionGroup) -> Applied<TopicSpec> {
        sqlx::query(
            "INSERT INTO topics (id, name, partitions, config, group_name, state, epochs_above, revision, created_at) \
             VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?)",
        )
        .bind(new.id.0.to_string())
        .bind(new.name.as_str())
        .bind(i64::from(new.partitions))
        .bind(to_json(&new.config))
        .bind(group.as_str())
        .bind(to_word(&new.state))
        .bind(new.epochs_above.map(|epoch| i64::from(epoch.0)))
        .bind(self.at.0)
        .execute(&mut *self.connection)
        .await?;
        self.touch().topics.insert(new.id);
        Ok(TopicSpec {
            id: new.id,
            name: new.name.clone(),
            partitions: new.partitions,
            config: new.config.clone(),
            group: group.clone(),
            state: new.state,
            epochs_above: new.epochs_above,
        })
    }

    pub(super) async fn delete_topics(&mut self, args: &DeleteTopics) -> Applied<Answer> {
        check_batch(args.topics.len())?;
        let mut outcomes = Vec::with_capacity(args.topics.len());
        for topic in &args.topics {
            outcomes.push(apart(self.delete_named(topic).await)?);
        }
        Ok(Answer::Topics { outcomes })
    }

    async fn delete_named(&mut self, args: &DeleteTopic) -> Applied<TopicSpec> {
        let topic = self.topic(&args.name, args.expected).await?;
        if topic.spec.name == canary(&topic.spec.group) {
            return Err(Refusal::Canary { topic: args.name.clone(), group: topic.spec.group }.into());
        }
        if topic.spec.state == TopicState::Restoring {
            return Err(Refusal::TopicRestoring { topic: args.name.clone() }.into());
        }
        self.delete_topic(topic.spec.id).await?;
        Ok(topic.spec)
    }

    pub(super) async fn delete_topic(&mut self, id: TopicId) -> Applied<()> {
        self.forget_stop(id).await?;
        sqlx::query("UPDATE topics SET deleted_at = ? WHERE id = ? AND deleted_at IS NULL")
            .bind(self.at.0)
            .bind(id.0.to_string())
            .execute(&mut *self.connection)
            .await?;
        self.touch().topics.insert(id);
        Ok(())
    }

    pub(super) async fn alter_topic_config(&mut self, args: &AlterTopicConfig) -> Applied<Answer> {
        let mut topic = self.topic(&args.topic, args.expected).await?;
        super::platform::check_revision("topic", args.topic.as_str(), args.revision, topic.revision)?;
        let before = topic.spec.config.clone();
        if args.replace {
            topic.spec.config.clear();
        }
        topic.spec.config.retain(|name, _| !args.remove.contains(name));
        topic.spec.config.extend(args.set.clone());
        check_config(&topic.spec.config)?;
        if self.group(&topic.spec.group).await?.policy.active_active.is_some() {
            check_active_config(&topic.spec.config)?;
        }
        if topic.spec.config == before {
            return Ok(Answer::Topic { topic: topic.spec, revision: topic.revision });
        }
        self.rewrite_topic(topic).await
    }

    pub(super) async fn add_partitions(&mut self, args: &AddPartitions) -> Applied<Answer> {
        let mut topic = self.topic(&args.topic, args.expected).await?;
        if topic.spec.state == TopicState::Restoring {
            return Err(Refusal::TopicRestoring { topic: args.topic.clone() }.into());
        }
        check_partitions(&args.topic, args.partitions)?;
        if args.partitions <= topic.spec.partitions {
            let reason = format!("it has {}, and partitions can only be added", topic.spec.partitions);
            return Err(bad_partitions(&args.topic, args.partitions, reason));
        }
        topic.spec.partitions = args.partitions;
        self.rewrite_topic(topic).await
    }

    async fn rewrite_topic(&mut self, topic: TopicRow) -> Applied<Answer> {
        let revision = topic.revision + 1;
        sqlx::query("UPDATE topics SET config = ?, partitions = ?, revision = ? WHERE id = ?")
            .bind(to_json(&topic.spec.config))
            .bind(i64::from(topic.spec.partitions))
            .bind(signed(revision))
            .bind(topic.spec.id.0.to_string())
            .execute(&mut *self.connection)
            .await?;
        self.touch().topics.insert(topic.spec.id);
        Ok(Answer::Topic { topic: topic.spec, revision })
    }

    pub(super) async fn open_topic(&mut self, id: TopicId) -> Applied<()> {
        sqlx::query("UPDATE topics SET state = 'live', revision = revision + 1 WHERE id = ? AND deleted_at IS NULL")
            .bind(id.0.to_string())
            .execute(&mut *self.connection)
            .await?;
        self.touch().topics.insert(id);
        Ok(())
    }

    pub(super) async fn purge_topics(&mut self, args: &PurgeTopics) -> Applied<Answer> {
        sqlx::query("DELETE FROM topics WHERE deleted_at < ?")
            .bind(args.deleted_before.0)
            .execute(&mut *self.connection)
            .await?;
        Ok(Answer::Done)
    }

    /// The topic of that name and, if one is named, id.
    pub(super) async fn topic(&mut self, name: &TopicName, expected: Option<TopicId>) -> Applied<TopicRow> {
        let found = TopicRow::named(self.connection, name).await?;
        let topic = found.ok_or(Refusal::UnknownTopic { topic: name.clone() })?;
        match expected {
            Some(expected) if expected != topic.spec.id => {
                Err(Refusal::OtherTopic { topic: name.clone(), id: topic.spec.id, expected }.into())
            }
            _ => Ok(topic),
        }
    }
}

/// Keeps the refusal of one among several by itself.
fn apart<T>(one: Applied<T>) -> Applied<Result<T, Refusal>> {
    match one {
        Ok(done) => Ok(Ok(done)),
        Err(super::Stop::Refused(refusal)) => Ok(Err(refusal)),
        Err(failed) => Err(failed),
    }
}

fn check_batch(count: usize) -> Applied<()> {
    if count > limits::TOPICS_PER_COMMAND_MAX {
        let limit = limits::TOPICS_PER_COMMAND_MAX;
        return Err(Refusal::too_many("topics of one request", count, limit).into());
    }
    Ok(())
}

/// A command that was proposed twice finds its own topic.
fn repeated(new: &NewTopic, there: TopicRow) -> Applied<TopicSpec> {
    if there.spec.id == new.id && there.spec.partitions == new.partitions {
        return Ok(there.spec);
    }
    Err(Refusal::TopicExists { topic: new.name.clone(), id: there.spec.id }.into())
}

fn check_shape(new: &NewTopic) -> Applied<()> {
    if new.id == TopicId::ZERO {
        return Err(Refusal::unusable("topic id", &new.id.to_string(), "zero means no id in Kafka").into());
    }
    check_partitions(&new.name, new.partitions)?;
    check_config(&new.config)
}

fn check_partitions(topic: &TopicName, partitions: i32) -> Applied<()> {
    if (1..=PARTITIONS_PER_TOPIC_MAX).contains(&partitions) {
        return Ok(());
    }
    Err(bad_partitions(topic, partitions, format!("choose a number from 1 to {PARTITIONS_PER_TOPIC_MAX}")))
}

fn bad_partitions(topic: &TopicName, partitions: i32, reason: String) -> super::Stop {
    Refusal::BadPartitions { topic: topic.clone(), partitions, reason }.into()
}

/// Whether every region can take writes for the topic.
fn check_active(new: &NewTopic) -> Applied<()> {
    if new.state == TopicState::Restoring {
        let reason = "an active-active group covers it, whose topics are not restored into; choose another name";
        return Err(Refusal::unusable("topic", new.name.as_str(), reason).into());
    }
    check_active_config(&new.config)
}

/// Nothing is ever taken away from the logs of such topics yet: what is repeated is read again.
fn check_active_config(config: &BTreeMap<String, String>) -> Applied<()> {
    let takes_away = |(name, value): &(&String, &String)| match name.as_str() {
        "cleanup.policy" => value.contains("compact"),
        "retention.ms" | "retention.bytes" => value.as_str() != "-1",
        _ => false,
    };
    match config.iter().find(takes_away) {
        Some((name, value)) => {
            let reason = "topics of active-active groups keep every record in this version; leave it out or give -1";
            Err(Refusal::unusable("configuration entry", &format!("{name}={value}"), reason).into())
        }
        None => Ok(()),
    }
}

/// Which entries there are, and what they mean, is the broker's knowledge; here they only have to be of a decent size.
fn check_config(config: &BTreeMap<String, String>) -> Applied<()> {
    if config.len() > limits::CONFIG_ENTRIES_MAX {
        let limit = limits::CONFIG_ENTRIES_MAX;
        return Err(Refusal::too_many("configuration entries", config.len(), limit).into());
    }
    let unfit = |(name, value): &(&String, &String)| {
        name.is_empty() || name.len() > limits::CONFIG_BYTES_MAX || value.len() > limits::CONFIG_BYTES_MAX
    };
    match config.iter().find(unfit) {
        Some((name, _)) => {
            let reason = format!("name and value have 1 to {} bytes", limits::CONFIG_BYTES_MAX);
            Err(Refusal::unusable("configuration entry", name, reason).into())
        }
        None => Ok(()),
    }
}
