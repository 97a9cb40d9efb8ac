use super::Entity;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::time::Duration;

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Bytes of produce requests per second.
    ProducerByteRate,
    /// Bytes of fetched records per second.
    ConsumerByteRate,
    /// Time that requests take, in percent of one thread.
    RequestPercentage,
    /// New connections per second.
    ConnectionCreationRate,
}

/// So much per second, or a percentage: finite and above zero. It is written down as text, which gives back every bit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(f64);

/// Rates are finite.
impl Eq for Rate {}

/// Why there can be no such limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLimit {
    /// Kafka has it, and it would not be enforced here.
    #[error("{0} is not enforced by this broker; nothing was changed")]
    NotEnforced(String),
    /// No such limit.
    #[error("there is no limit called {0}")]
    Unknown(String),
    /// It does not go with the entity.
    #[error("{limit} cannot be set for {entity}")]
    NotFor {
        /// The limit.
        limit: &'static str,
        /// The entity.
        entity: String,
    },
    /// Not above zero, or no number.
    #[error("{limit} has to be above 0, not {value}")]
    NotPositive {
        /// The limit.
        limit: &'static str,
        /// The value.
        value: String,
    },
    /// Part of a byte, or of a connection.
    #[error("{limit} has to be a whole number, not {value}")]
    NotWhole {
        /// The limit.
        limit: &'static str,
        /// The value.
        value: String,
    },
}

impl Limit {
    /// Every limit.
    pub const ALL: [Self; 4] =
        [Self::ProducerByteRate, Self::ConsumerByteRate, Self::RequestPercentage, Self::ConnectionCreationRate];

    /// Kafka's name of it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ProducerByteRate => "producer_byte_rate",
            Self::ConsumerByteRate => "consumer_byte_rate",
            Self::RequestPercentage => "request_percentage",
            Self::ConnectionCreationRate => "connection_creation_rate",
        }
    }

    /// The limit called `name`, which is to be set for `entity`.
    ///
    /// # Errors
    /// There is none, or not for such an entity.
    pub fn named(name: &str, entity: &Entity) -> Result<Self, BadLimit> {
        if name == "controller_mutation_rate" {
            return Err(BadLimit::NotEnforced(name.to_owned()));
        }
        let found = Self::ALL.into_iter().find(|limit| limit.name() == name);
        let limit = found.ok_or_else(|| BadLimit::Unknown(name.to_owned()))?;
        let fits = matches!(entity, Entity::Ip(_)) == (limit == Self::ConnectionCreationRate);
        if fits { Ok(limit) } else { Err(BadLimit::NotFor { limit: limit.name(), entity: entity.to_string() }) }
    }

    /// `value` as this limit's rate.
    ///
    /// # Errors
    /// It is none.
    pub fn rate(self, value: f64) -> Result<Rate, BadLimit> {
        let (limit, shown) = (self.name(), || value.to_string());
        if !value.is_finite() || value <= 0.0 {
            return Err(BadLimit::NotPositive { limit, value: shown() });
        }
        if self != Self::RequestPercentage && value.fract() != 0.0 {
            return Err(BadLimit::NotWhole { limit, value: shown() });
        }
        Ok(Rate(value))
    }

    /// How much of the limit's unit may be had per second: bytes, seconds of a thread, connections.
    pub fn per_second(self, rate: Rate) -> f64 {
        match self {
            Self::RequestPercentage => rate.0 / 100.0,
            Self::ProducerByteRate | Self::ConsumerByteRate | Self::ConnectionCreationRate => rate.0,
        }
    }

    /// The longest a client is silenced at once. Kafka silences for one second over time of requests and connections; over
    /// bytes it has no bound, but no client waits for an answer much longer than this.
    pub const fn silence_max(self) -> Duration {
        match self {
            Self::RequestPercentage | Self::ConnectionCreationRate => Duration::from_secs(1),
            Self::ProducerByteRate | Self::ConsumerByteRate => Duration::from_secs(60),
        }
    }
}

impl Rate {
    /// The number.
    pub const fn value(self) -> f64 {
        self.0
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
        rate.map(Self).ok_or_else(|| D::Error::custom(format!("{text} is no rate")))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Part;
    use super::*;

    #[test]
    fn a_limit_goes_with_its_entities() {
        let (client, ip) = (Entity::Client(Part::Default), Entity::Ip(Part::Default));
        assert_eq!(Limit::named("producer_byte_rate", &client), Ok(Limit::ProducerByteRate));
        assert_eq!(Limit::named("connection_creation_rate", &ip), Ok(Limit::ConnectionCreationRate));
        assert!(matches!(Limit::named("producer_byte_rate", &ip), Err(BadLimit::NotFor { .. })));
        assert!(matches!(Limit::named("connection_creation_rate", &client), Err(BadLimit::NotFor { .. })));
        assert!(matches!(Limit::named("bytes", &client), Err(BadLimit::Unknown(_))));
        assert!(matches!(Limit::named("controller_mutation_rate", &client), Err(BadLimit::NotEnforced(_))));
    }

    #[test]
    fn rates_are_whole_but_for_percentages() {
        assert_eq!(Limit::RequestPercentage.rate(12.5).map(Rate::value), Ok(12.5));
        assert!(matches!(Limit::ProducerByteRate.rate(12.5), Err(BadLimit::NotWhole { .. })));
        for value in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(Limit::ProducerByteRate.rate(value), Err(BadLimit::NotPositive { .. })), "{value}");
        }
    }

    #[test]
    fn a_rate_comes_back_bit_by_bit() {
        for value in [0.1, 1.0 / 3.0, 1e300, f64::MIN_POSITIVE, 1_048_576.0] {
            let json = serde_json::to_string(&Rate(value)).unwrap();
            assert_eq!(serde_json::from_str::<Rate>(&json).unwrap().0.to_bits(), value.to_bits());
        }
        assert!(serde_json::from_str::<Rate>("\"-1\"").is_err());
    }
}
