//! Which topic a diverged tail is published in.
//!
//! All tails of a topic that were written under one ownership epoch go to `<topic>.diverged.<epoch>`, each to its own
//! partition. That is an ordinary topic: it belongs to the group that covers its name, is copied and fails over as others
//! are, and nothing is taken away from it until somebody deletes it. Its id follows from the topic and the epoch, so that
//! whoever makes it makes the same one, and none that was deleted is made again. Where that name is too long or taken, the
//! topic's own name is cut and the beginning of its id is added.
//!
//! A tail of such a topic gets no topic of its own: its records can be written again, as those of any other.

use catalog::View;
use catalog::command::PublicationPlan;
use model::limits::TOPIC_NAME_CHARS_MAX;
use model::{DivergedTail, OwnershipEpoch, ProtectionGroup, TopicId, TopicName, TopicSpec, TopicState};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// How much of a topic's id a name shows.
const ID_CHARS: usize = 12;
/// The largest batch such a topic takes: whatever fitted into the original, also when it is packed anew.
const BATCH_BYTES_MAX: u64 = 64 << 20;

/// The topic a tail is published in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) id: TopicId,
    pub(crate) name: TopicName,
    /// How many partitions it needs.
    pub(crate) partitions: i32,
}

/// Why a tail is not published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unpublished {
    #[error("it has no records")]
    Empty,
    #[error("its topic was deleted")]
    TopicGone,
    #[error("{0} is an internal topic, which clients do not read")]
    Internal(TopicName),
    #[error("{0} holds published tails itself; `farshore diverged reinject` writes to it again what it lacks")]
    Nested(TopicName),
    #[error(
        "protection group {0} does not publish diverged tails; `farshore protection set diverged-topics on {0}` changes that"
    )]
    Off(ProtectionGroup),
    #[error("no protection group covers {0}; give one a pattern for it")]
    Uncovered(TopicName),
    #[error("topics {0} and {1} are there and are other topics; delete one of them")]
    Taken(TopicName, TopicName),
    #[error("topic {0} was deleted, and is not made again")]
    Deleted(TopicName),
}

/// Where the tails of a topic under an epoch are published.
pub(super) fn id_of(origin: TopicId, epoch: OwnershipEpoch) -> TopicId {
    let mut hash = Sha256::new();
    hash.update(b"farshore diverged topic");
    hash.update(origin.0.as_bytes());
    hash.update(epoch.0.to_be_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    TopicId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

/// Where `tail` is published, by `plan` if that has begun. `holding` are the topics that hold published tails.
pub(super) fn destination(
    view: &View,
    tail: &DivergedTail,
    plan: Option<&PublicationPlan>,
    holding: &BTreeSet<TopicId>,
) -> Result<Destination, Unpublished> {
    let needed = tail.partition.0 + 1;
    if let Some(plan) = plan {
        let there = view.topics.of_id(plan.topic).ok_or_else(|| Unpublished::Deleted(plan.name.clone()))?;
        return Ok(Destination { id: there.id, name: there.name.clone(), partitions: there.partitions.max(needed) });
    }
    let origin = origin(view, tail, holding)?;
    let id = id_of(tail.topic, tail.ownership_epoch);
    let name = match view.topics.of_id(id) {
        Some(there) => there.name.clone(),
        None => free_name(view, origin, tail.ownership_epoch)?,
    };
    Ok(Destination { id, name, partitions: origin.partitions.max(needed) })
}

/// The topic the tail was cut off, where its tails are published.
fn origin<'v>(view: &'v View, tail: &DivergedTail, holding: &BTreeSet<TopicId>) -> Result<&'v TopicSpec, Unpublished> {
    if tail.records == 0 {
        return Err(Unpublished::Empty);
    }
    let live = view.topics.of_id(tail.topic).filter(|topic| topic.state == TopicState::Live);
    let origin = live.ok_or(Unpublished::TopicGone)?;
    if origin.name.is_internal() {
        return Err(Unpublished::Internal(origin.name.clone()));
    }
    if holding.contains(&origin.id) {
        return Err(Unpublished::Nested(origin.name.clone()));
    }
    if !view.group(&origin.group).is_some_and(|group| group.policy.diverged_topics) {
        return Err(Unpublished::Off(origin.group.clone()));
    }
    Ok(origin)
}

fn free_name(view: &View, origin: &TopicSpec, epoch: OwnershipEpoch) -> Result<TopicName, Unpublished> {
    let [first, second] = names(&origin.name, origin.id, epoch);
    let is_free = |name: &TopicName| view.topics.named(name.as_str()).is_none();
    let free = [&first, &second].into_iter().find(|name| is_free(name)).cloned();
    let name = free.ok_or(Unpublished::Taken(first, second))?;
    if view.group_of_topic(&name).is_none() { Err(Unpublished::Uncovered(name)) } else { Ok(name) }
}

/// The name such a topic has, and the one it has where that is too long or taken.
fn names(topic: &TopicName, id: TopicId, epoch: OwnershipEpoch) -> [TopicName; 2] {
    let ending = format!(".diverged.{epoch}");
    let id = id.0.simple().to_string();
    let room = TOPIC_NAME_CHARS_MAX - ending.len() - ID_CHARS - 1;
    // Names have one byte a character.
    let begins = &topic.as_str()[..topic.as_str().len().min(room)];
    let marked = TopicName::new(format!("{begins}-{}{ending}", &id[..ID_CHARS])).expect("it is short enough");
    [TopicName::new(format!("{topic}{ending}")).unwrap_or_else(|_| marked.clone()), marked]
}

/// How such a topic is configured: it keeps everything, whatever its time.
pub(super) fn config() -> BTreeMap<String, String> {
    let entries = [
        ("cleanup.policy", "delete".to_owned()),
        ("max.message.bytes", BATCH_BYTES_MAX.to_string()),
        ("message.timestamp.after.max.ms", i64::MAX.to_string()),
        ("message.timestamp.type", "CreateTime".to_owned()),
        ("retention.bytes", "-1".to_owned()),
        ("retention.ms", "-1".to_owned()),
    ];
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: OwnershipEpoch = OwnershipEpoch(7);

    fn id(seed: u128) -> TopicId {
        TopicId(uuid::Uuid::from_u128(seed << 80))
    }

    fn named(name: &str) -> [String; 2] {
        names(&TopicName::new(name).unwrap(), id(0x1f3a_9c2e_7b60), EPOCH).map(String::from)
    }

    #[test]
    fn a_topic_is_named_after_the_original_and_the_epoch() {
        assert_eq!(named("orders"), ["orders.diverged.7", "orders-1f3a9c2e7b60.diverged.7"]);
    }

    #[test]
    fn a_name_without_room_is_cut_and_gets_the_beginning_of_the_id() {
        let longest = "x".repeat(TOPIC_NAME_CHARS_MAX);
        let [first, second] = named(&longest);
        assert_eq!((first.len(), &first), (TOPIC_NAME_CHARS_MAX, &second));
        assert!(first.ends_with("x-1f3a9c2e7b60.diverged.7"), "{first}");
        let just_fits = "x".repeat(TOPIC_NAME_CHARS_MAX - ".diverged.7".len());
        assert_eq!(named(&just_fits)[0], format!("{just_fits}.diverged.7"));
    }

    #[test]
    fn an_id_follows_from_the_topic_and_the_epoch() {
        assert_eq!(id_of(id(1), EPOCH), id_of(id(1), EPOCH));
        let ids = [id_of(id(1), EPOCH), id_of(id(2), EPOCH), id_of(id(1), OwnershipEpoch(8)), id(1), TopicId::ZERO];
        assert_eq!(BTreeSet::from(ids).len(), ids.len());
    }
}
