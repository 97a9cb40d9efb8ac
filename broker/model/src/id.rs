use crate::{Incarnation, limits};
use std::fmt;
use std::sync::Arc;

/// A name that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Nothing, `.` or `..`.
    #[error("the name {0:?} is empty or a path")]
    Reserved(String),
    /// Longer than allowed.
    #[error("the name {name:?} has {chars} characters; at most {limit} are allowed")]
    TooLong {
        /// Its first characters.
        name: String,
        /// How many it has.
        chars: usize,
        /// How many it may have.
        limit: usize,
    },
    /// Something else than letters, digits, `.`, `_` and `-`.
    #[error("the name {name:?} contains {found:?}; only letters, digits, '.', '_' and '-' are allowed")]
    Character {
        /// The name.
        name: String,
        /// The character in question.
        found: char,
    },
}

fn check(name: &str, limit: usize) -> Result<(), BadName> {
    let chars = name.chars().count();
    if chars > limit {
        return Err(BadName::TooLong { name: name.chars().take(32).collect(), chars, limit });
    }
    if matches!(name, "" | "." | "..") {
        return Err(BadName::Reserved(name.to_owned()));
    }
    match name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
        Some(found) => Err(BadName::Character { name: name.to_owned(), found }),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $limit:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes `name` if it is one.
            ///
            /// # Errors
            /// [`BadName`] says what is wrong with it.
            pub fn new(name: impl AsRef<str>) -> Result<Self, BadName> {
                check(name.as_ref(), $limit)?;
                Ok(Self(name.as_ref().into()))
            }

            /// The name itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;

            fn try_from(name: String) -> Result<Self, BadName> {
                Self::new(name)
            }
        }

        impl std::str::FromStr for $name {
            type Err = BadName;

            fn from_str(name: &str) -> Result<Self, BadName> {
                Self::new(name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.to_string()
            }
        }
    };
}

name! {
    /// A topic's name, safe as a file name.
    TopicName, limits::TOPIC_NAME_CHARS_MAX
}
name! {
    /// A region's name, for example `r1`.
    RegionName, limits::NAME_CHARS_MAX
}
name! {
    /// The name of a protection group: topics and consumer groups that fail over together.
    ProtectionGroup, limits::NAME_CHARS_MAX
}
name! {
    /// The name of one execution of a plan.
    RunId, limits::NAME_CHARS_MAX
}
name! {
    /// The name of one action of a plan, unique within it.
    StepId, limits::NAME_CHARS_MAX
}

impl TopicName {
    /// Whether the name belongs to Farshore or Kafka itself: no protection group covers it but its own.
    pub fn is_internal(&self) -> bool {
        self.0.starts_with("__")
    }
}

/// The name of a consumer group. Kafka allows any text here, so it is never used as a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct GroupId(pub Arc<str>);

impl GroupId {
    /// The group called `name`.
    pub fn new(name: impl AsRef<str>) -> Self {
        Self(name.as_ref().into())
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Which of the `count` partitions of `__consumer_offsets` holds everything of the group, as Kafka's tools reckon it:
    /// by Java's hash of the name. Whoever leads that partition coordinates the group.
    pub fn offsets_partition(&self, count: usize) -> usize {
        let units = self.0.encode_utf16();
        let hash = units.fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
        (hash & i32::MAX) as usize % count.max(1)
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A partition's number within its topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct PartitionId(pub i32);

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicName,
    /// The partition's number.
    pub partition: PartitionId,
}

impl fmt::Display for TopicPartition {
    /// `topic-7`, as Kafka names the partition's directory.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// A topic's identity: new whenever a topic of the same name is made again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct TopicId(pub uuid::Uuid);

impl TopicId {
    /// "No id": what Kafka sends where a topic is addressed by name.
    pub const ZERO: Self = Self(uuid::Uuid::nil());
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A broker's place in its region; an empty disk in the same place is a new incarnation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct BrokerSlot(pub u16);

/// An idempotent producer: 16 bits of region incarnation over 47 bits of counter, so that a mirrored id never meets a
/// local one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct ProducerId(pub i64);

impl ProducerId {
    /// Not an idempotent producer.
    pub const NONE: Self = Self(-1);

    const COUNTER_BITS: u32 = 47;

    /// The `counter`-th producer id of a region's incarnation; `None` when the counter does not fit.
    pub const fn of(incarnation: Incarnation, counter: i64) -> Option<Self> {
        if counter < 0 || counter >= 1 << Self::COUNTER_BITS {
            return None;
        }
        Some(Self((incarnation.0 as i64) << Self::COUNTER_BITS | counter))
    }

    /// The region incarnation that gave it out.
    pub const fn incarnation(self) -> Incarnation {
        Incarnation(if self.0 < 0 { 0 } else { (self.0 >> Self::COUNTER_BITS) as u16 })
    }
}

impl fmt::Display for ProducerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_topic_name_is_refused_with_the_reason() {
        assert!(matches!(TopicName::new("a/b"), Err(BadName::Character { found: '/', .. })));
        assert!(matches!(TopicName::new(".."), Err(BadName::Reserved(_))));
        assert!(matches!(TopicName::new("x".repeat(250)), Err(BadName::TooLong { chars: 250, .. })));
        assert!(TopicName::new("orders.v1_eu-west").is_ok());
    }

    #[test]
    fn producer_ids_of_two_incarnations_never_meet() {
        let last = ProducerId::of(Incarnation(1), (1 << 47) - 1).unwrap();
        let first = ProducerId::of(Incarnation(2), 0).unwrap();
        assert!(last < first);
        assert_eq!(first.incarnation(), Incarnation(2));
        assert_eq!(ProducerId::of(Incarnation(1), 1 << 47), None);
        assert!(ProducerId::of(Incarnation(u16::MAX), 5).is_some());
    }
}
