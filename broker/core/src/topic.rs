//! What a client may ask for when it makes a topic, or more of one.

use crate::config::{ConfigError, TopicConfig};
use model::{BadName, TopicName, limits};
use std::collections::BTreeMap;

/// Kafka's "the broker's default" for partitions and replication factor.
const DEFAULT: i32 = -1;

/// A topic as a client asks for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; -1 for the default.
    pub partitions: i32,
    /// How many replicas of each; -1 for the default.
    pub replication_factor: i16,
    /// How many partitions the client placed by hand.
    pub assignments: usize,
    /// Its configuration.
    pub config: Vec<(String, Option<String>)>,
}

/// A topic that can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidTopic {
    /// Its name.
    pub name: TopicName,
    /// How many partitions.
    pub partitions: i32,
    /// How many replicas of each.
    pub replication_factor: i16,
    /// Its configuration.
    pub config: BTreeMap<String, String>,
}

/// What a broker fills in and what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Partitions of a topic that does not say (`num.partitions`).
    pub partitions: i32,
    /// Replicas of a topic that does not say, if there are as many brokers (`default.replication.factor`).
    pub replication_factor: i16,
    /// How many brokers there are.
    pub brokers: usize,
}

/// Why a topic cannot be made; each names its Kafka error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicRefusal {
    /// INVALID_TOPIC_EXCEPTION.
    #[error(transparent)]
    Name(#[from] BadName),
    /// INVALID_TOPIC_EXCEPTION.
    #[error("the name {0} begins with __, which is kept for Farshore's own topics")]
    ReservedName(TopicName),
    /// INVALID_PARTITIONS.
    #[error("a topic cannot have {given} partitions; it needs 1 to {max}")]
    Partitions {
        /// How many were asked for.
        given: i32,
        /// The most it may have.
        max: i32,
    },
    /// INVALID_PARTITIONS.
    #[error("the topic has {current} partitions; {given} are not more, and partitions are never taken away")]
    NotMore {
        /// How many it has.
        current: i32,
        /// How many were asked for.
        given: i32,
    },
    /// INVALID_REPLICATION_FACTOR.
    #[error("replication factor {given} is not possible with {brokers} broker(s); ask for at most {brokers}, or -1")]
    ReplicationFactor {
        /// What was asked for.
        given: i16,
        /// How many brokers there are.
        brokers: usize,
    },
    /// INVALID_REPLICA_ASSIGNMENT.
    #[error("partitions cannot be placed by hand; leave the assignments out and give counts")]
    Assignments,
    /// INVALID_CONFIG.
    #[error("configuration {0} has no value")]
    NoValue(String),
    /// INVALID_CONFIG.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Checks a topic a client asks for and fills in the defaults.
///
/// # Errors
/// [`TopicRefusal`] says what cannot be and what could.
pub fn validate(topic: NewTopic, region: Region) -> Result<ValidTopic, TopicRefusal> {
    let name = TopicName::new(&topic.name)?;
    if name.is_internal() {
        return Err(TopicRefusal::ReservedName(name));
    }
    if topic.assignments > 0 {
        return Err(TopicRefusal::Assignments);
    }
    let partitions = partitions(topic.partitions, region)?;
    let replication_factor = replication_factor(topic.replication_factor, region)?;
    let config = entries(topic.config)?;
    TopicConfig::from_map(&config)?;
    Ok(ValidTopic { name, partitions, replication_factor, config })
}

fn partitions(given: i32, region: Region) -> Result<i32, TopicRefusal> {
    let max = limits::PARTITIONS_PER_TOPIC_MAX;
    match given {
        DEFAULT => Ok(region.partitions),
        given if (1..=max).contains(&given) => Ok(given),
        given => Err(TopicRefusal::Partitions { given, max }),
    }
}

fn replication_factor(given: i16, region: Region) -> Result<i16, TopicRefusal> {
    let most = i16::try_from(region.brokers).unwrap_or(i16::MAX);
    match i32::from(given) {
        DEFAULT => Ok(region.replication_factor.min(most).max(1)),
        _ if (1..=most).contains(&given) => Ok(given),
        _ => Err(TopicRefusal::ReplicationFactor { given, brokers: region.brokers }),
    }
}

fn entries(config: Vec<(String, Option<String>)>) -> Result<BTreeMap<String, String>, TopicRefusal> {
    let valued = |(name, value): (String, Option<String>)| match value {
        Some(value) => Ok((name, value)),
        None => Err(TopicRefusal::NoValue(name)),
    };
    config.into_iter().map(valued).collect()
}

/// Checks that a topic of `current` partitions may have `wanted`.
///
/// # Errors
/// [`TopicRefusal`] when that is not more, or too many, or placed by hand.
pub fn validate_growth(current: i32, wanted: i32, assignments: usize) -> Result<(), TopicRefusal> {
    let max = limits::PARTITIONS_PER_TOPIC_MAX;
    if assignments > 0 {
        return Err(TopicRefusal::Assignments);
    }
    if wanted <= current {
        return Err(TopicRefusal::NotMore { current, given: wanted });
    }
    if wanted > max { Err(TopicRefusal::Partitions { given: wanted, max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGION: Region = Region { partitions: 1, replication_factor: 3, brokers: 1 };

    fn topic(name: &str, partitions: i32, replication_factor: i16) -> NewTopic {
        NewTopic { name: name.into(), partitions, replication_factor, ..NewTopic::default() }
    }

    #[test]
    fn defaults_are_filled_in() {
        let valid = validate(topic("orders", -1, -1), REGION).unwrap();
        assert_eq!((valid.partitions, valid.replication_factor), (1, 1));
    }

    #[test]
    fn a_replication_factor_above_the_broker_count_names_both() {
        let refusal = validate(topic("orders", 1, 3), REGION).unwrap_err();
        assert_eq!(refusal, TopicRefusal::ReplicationFactor { given: 3, brokers: 1 });
        assert!(refusal.to_string().starts_with("replication factor 3 is not possible with 1 broker(s)"));
        assert!(validate(topic("orders", 1, 0), REGION).is_err());
    }

    #[test]
    fn bad_names_counts_and_placements_are_refused() {
        assert!(matches!(validate(topic("a b", 1, 1), REGION), Err(TopicRefusal::Name(_))));
        assert!(matches!(validate(topic("__secret", 1, 1), REGION), Err(TopicRefusal::ReservedName(_))));
        for partitions in [0, -2, 10_001] {
            assert!(matches!(validate(topic("t", partitions, 1), REGION), Err(TopicRefusal::Partitions { .. })));
        }
        let placed = NewTopic { assignments: 2, ..topic("t", -1, -1) };
        assert_eq!(validate(placed, REGION), Err(TopicRefusal::Assignments));
    }

    #[test]
    fn a_configuration_is_checked_with_the_topic() {
        let with = |name: &str, value: Option<&str>| NewTopic {
            config: vec![(name.into(), value.map(Into::into))],
            ..topic("t", 1, 1)
        };
        assert!(validate(with("retention.ms", Some("5")), REGION).is_ok());
        assert!(matches!(validate(with("retention.ms", Some("x")), REGION), Err(TopicRefusal::Config(_))));
        assert!(matches!(validate(with("retention.ms", None), REGION), Err(TopicRefusal::NoValue(_))));
    }

    #[test]
    fn partitions_only_grow() {
        assert_eq!(validate_growth(3, 4, 0), Ok(()));
        assert!(matches!(validate_growth(3, 3, 0), Err(TopicRefusal::NotMore { current: 3, given: 3 })));
        assert!(matches!(validate_growth(3, 20_000, 0), Err(TopicRefusal::Partitions { .. })));
    }
}
