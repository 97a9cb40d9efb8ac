//! What this broker was started with, under Kafka's names. None of it changes while the broker runs.

use super::{Refusal, Setting};
use crate::api::admin::{self, FROM_BROKER};
use crate::control::{OFFSETS_PARTITIONS, OFFSETS_TOPIC};
use crate::{Broker, Config};
use broker_core::config::key;
use broker_core::group::{Assignor, MigrationPolicy};
use broker_core::metadata::Topic;
use model::limits;
use wire::ErrorCode;

/// The types of broker settings, as Kafka numbers them.
const BOOLEAN: i8 = 1;
const STRING: i8 = 2;
const INT: i8 = 3;
const LONG: i8 = 5;
const LIST: i8 = 7;

/// Settings of topics and what Kafka calls them for a whole broker.
const TOPIC_DEFAULTS: &[(&str, &str)] = &[
    ("cleanup.policy", "log.cleanup.policy"),
    ("compression.type", "compression.type"),
    ("delete.retention.ms", "log.cleaner.delete.retention.ms"),
    ("index.interval.bytes", "log.index.interval.bytes"),
    ("max.message.bytes", "message.max.bytes"),
    ("message.timestamp.type", "log.message.timestamp.type"),
    ("min.insync.replicas", "min.insync.replicas"),
    ("retention.bytes", "log.retention.bytes"),
    ("retention.ms", "log.retention.ms"),
    ("segment.bytes", "log.segment.bytes"),
    ("segment.index.bytes", "log.index.size.max.bytes"),
    ("segment.ms", "log.roll.ms"),
    ("unclean.leader.election.enable", "unclean.leader.election.enable"),
];

/// The settings of broker `name`; an empty name means those of all brokers, of which there are none.
pub(super) fn settings(broker: &Broker, name: &str) -> Result<Vec<Setting>, Refusal> {
    if name.is_empty() {
        return Ok(Vec::new());
    }
    let id = broker.config().node_id();
    if name.parse() != Ok(id) {
        return Err((ErrorCode::INVALID_REQUEST, format!("this is broker {id}; ask broker {name} for its settings")));
    }
    Ok(started_with(broker).into_iter().chain(topic_defaults()).collect())
}

fn log_dirs(config: &Config) -> String {
    let paths: Vec<_> = config.log_paths().iter().map(|path| path.display().to_string()).collect();
    paths.join(",")
}

fn started_with(broker: &Broker) -> Vec<Setting> {
    let (config, image) = (broker.config(), broker.image());
    let factor = admin::replication_factor(broker);
    let flush = admin::flush_name(config.flush);
    let offsets_partitions = image.topic_named(OFFSETS_TOPIC).map_or(OFFSETS_PARTITIONS, Topic::partition_count);
    let rebalance_delay = config.initial_rebalance_delay.as_millis();
    vec![
        given(
            "auto.create.topics.enable",
            config.auto_create_topics,
            BOOLEAN,
            "Whether a topic that is asked for is made.",
        ),
        given("broker.id", config.node_id(), INT, "The id clients know the broker by."),
        given("default.replication.factor", factor, INT, "How many replicas a partition gets."),
        given("farshore.flush", flush, STRING, "What an acknowledgement waits for where a topic does not say."),
        given("farshore.region", &config.region, STRING, "The region the broker belongs to."),
        given("group.consumer.assignors", assignors(), LIST, "How partitions may be distributed by the coordinator."),
        given(
            "group.consumer.heartbeat.interval.ms",
            config.consumer_heartbeat_interval.as_millis(),
            INT,
            "How often members of the consumer protocol are expected.",
        ),
        given("group.consumer.max.size", limits::GROUP_MEMBERS_MAX, INT, "The most members of one group."),
        given(
            "group.consumer.migration.policy",
            MigrationPolicy::default().name(),
            STRING,
            "Which protocol a group may change to while it has members.",
        ),
        given(
            "group.consumer.session.timeout.ms",
            config.consumer_session_timeout.as_millis(),
            INT,
            "How long a member of the consumer protocol may be silent.",
        ),
        given(
            "group.initial.rebalance.delay.ms",
            rebalance_delay,
            LONG,
            "How long a new group waits for more members.",
        ),
        given("group.max.size", limits::GROUP_MEMBERS_MAX, INT, "The most members of one group."),
        given("log.dirs", log_dirs(config), STRING, "Where the logs are."),
        given("node.id", config.node_id(), INT, "The id clients know the broker by."),
        given("num.partitions", config.default_partitions, INT, "How many partitions a topic gets that does not say."),
        given(
            "offset.metadata.max.bytes",
            limits::COMMIT_METADATA_BYTES_MAX,
            INT,
            "How much a client may put beside an offset.",
        ),
        given("offsets.topic.num.partitions", offsets_partitions, INT, "How many partitions committed offsets have."),
        given("socket.request.max.bytes", limits::FRAME_BYTES_MAX.0, INT, "The largest request."),
    ]
}

fn assignors() -> String {
    Assignor::ALL.map(Assignor::name).join(",")
}

fn given(name: &str, value: impl ToString, kind: i8, documentation: &'static str) -> Setting {
    Setting {
        name: name.to_owned(),
        value: value.to_string(),
        source: FROM_BROKER,
        default: None,
        kind,
        documentation,
        read_only: true,
    }
}

fn topic_defaults() -> impl Iterator<Item = Setting> {
    TOPIC_DEFAULTS.iter().filter_map(|(topic, name)| {
        let key = key(topic)?;
        Some(Setting {
            name: (*name).to_owned(),
            value: key.default.to_owned(),
            source: admin::FROM_DEFAULT,
            default: None,
            kind: super::kind(key),
            documentation: key.documentation,
            read_only: true,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_of_topics_is_one() {
        assert_eq!(topic_defaults().count(), TOPIC_DEFAULTS.len());
    }
}
