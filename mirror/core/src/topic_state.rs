//! What a link makes of one topic. A topic is known by its id: a topic of the same name with another id is another one.

use model::{RegionName, Timestamp, TopicId, TopicName};
use serde::{Deserialize, Serialize};

/// A fact: the source deleted a topic and made it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reset {
    /// The name both have.
    pub topic: TopicName,
    /// The source region.
    pub source: RegionName,
    /// The topic that was copied.
    pub expected: TopicId,
    /// The topic that is there now.
    pub found: TopicId,
    /// When it was noticed, on the source's clock.
    pub found_at: Timestamp,
}

/// What to do when a topic was made again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetPolicy {
    /// The link stops for this topic until a human has decided; the copy stays as it is.
    #[default]
    Stop,
    /// The copy is kept under its old id, and a new one is begun beside it.
    NewLineage,
}

/// ```text
///   Following --source says another id--> Reset --policy new_lineage--> Following (the new id)
///       |  ^                                |
///     seal unseal                           +-- policy stop: stays, until resolved
///       v  |
///     Sealed
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum TopicState {
    /// Its partitions are copied.
    Following {
        /// The topic.
        topic_id: TopicId,
    },
    /// Nothing more is taken from the link: the copy is about to be promoted, or was.
    Sealed {
        /// The topic.
        topic_id: TopicId,
    },
    /// The source has another topic under this name.
    Reset(Reset),
}

/// Something that concerns a whole topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicEvent {
    /// The source was heard of.
    Heard {
        /// The id it has for the name.
        topic_id: TopicId,
        /// Its clock.
        at: Timestamp,
    },
    /// Nothing more is to be taken.
    Seal,
    /// The seal is undone.
    Unseal,
    /// A human decided to follow the topic that is there now.
    Resolve,
}

impl TopicState {
    /// The topic whose copy this is.
    pub const fn topic_id(&self) -> TopicId {
        match self {
            Self::Following { topic_id } | Self::Sealed { topic_id } => *topic_id,
            Self::Reset(reset) => reset.expected,
        }
    }

    /// Takes note of `event` for the topic called `topic`. An event that does not fit the state changes nothing.
    pub fn on_event(&mut self, topic: &TopicName, source: &RegionName, policy: ResetPolicy, event: &TopicEvent) {
        let next = match (&*self, event) {
            (Self::Following { topic_id }, TopicEvent::Heard { topic_id: found, at }) if topic_id != found => {
                match policy {
                    ResetPolicy::NewLineage => Self::Following { topic_id: *found },
                    ResetPolicy::Stop => Self::Reset(Reset {
                        topic: topic.clone(),
                        source: source.clone(),
                        expected: *topic_id,
                        found: *found,
                        found_at: *at,
                    }),
                }
            }
            (Self::Following { topic_id }, TopicEvent::Seal) => Self::Sealed { topic_id: *topic_id },
            (Self::Sealed { topic_id }, TopicEvent::Unseal) => Self::Following { topic_id: *topic_id },
            (Self::Reset(reset), TopicEvent::Resolve) => Self::Following { topic_id: reset.found },
            (Self::Following { .. } | Self::Sealed { .. } | Self::Reset(_), _) => return,
        };
        *self = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: TopicId = TopicId(uuid::Uuid::from_u128(1));
    const NEW: TopicId = TopicId(uuid::Uuid::from_u128(2));

    fn after(policy: ResetPolicy, events: &[TopicEvent]) -> TopicState {
        let (topic, source) = (TopicName::new("orders").unwrap(), RegionName::new("r1").unwrap());
        let mut state = TopicState::Following { topic_id: OLD };
        events.iter().for_each(|event| state.on_event(&topic, &source, policy, event));
        state
    }

    fn heard(topic_id: TopicId) -> TopicEvent {
        TopicEvent::Heard { topic_id, at: Timestamp(9) }
    }

    #[test]
    fn a_topic_made_again_is_never_copied_into_the_old_one() {
        let state = after(ResetPolicy::Stop, &[heard(OLD), heard(NEW), heard(OLD), TopicEvent::Seal]);
        assert!(matches!(&state, TopicState::Reset(reset) if reset.found == NEW && reset.expected == OLD));
        assert_eq!(state.topic_id(), OLD);
        assert_eq!(after(ResetPolicy::NewLineage, &[heard(NEW)]), TopicState::Following { topic_id: NEW });
    }

    #[test]
    fn a_human_may_follow_the_new_topic() {
        let state = after(ResetPolicy::Stop, &[heard(NEW), TopicEvent::Resolve]);
        assert_eq!(state, TopicState::Following { topic_id: NEW });
    }

    #[test]
    fn a_sealed_topic_hears_nothing() {
        let state = after(ResetPolicy::Stop, &[TopicEvent::Seal, heard(NEW)]);
        assert_eq!(state, TopicState::Sealed { topic_id: OLD });
        assert_eq!(
            after(ResetPolicy::Stop, &[TopicEvent::Seal, TopicEvent::Unseal]),
            TopicState::Following { topic_id: OLD }
        );
    }

    #[test]
    fn a_reset_survives_storage() {
        let state = after(ResetPolicy::Stop, &[heard(NEW)]);
        let stored = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<TopicState>(&stored).unwrap(), state);
    }
}
