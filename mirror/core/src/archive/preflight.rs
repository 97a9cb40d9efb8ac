//! What is looked at before a restore writes anything.

use super::hash::ObjectHash;
use super::plan::RestorePlan;
use model::{PartitionId, TopicName};
use std::collections::{BTreeMap, BTreeSet};

/// What was found in the target region and in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreFacts {
    /// The topics of the target region: whether they hold records.
    pub topics: BTreeMap<TopicName, bool>,
    /// The objects of the store.
    pub objects: BTreeMap<String, ObjectFact>,
}

/// What was found of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectFact {
    /// Its size.
    pub bytes: u64,
    /// Its hash, where it was read.
    pub hash: Option<ObjectHash>,
}

/// Why a restore must not begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It would be mixed with what is there.
    #[error("topic {topic} exists and has data; delete it or restore under another name")]
    TopicHasData {
        /// The topic.
        topic: TopicName,
    },
    /// Two partitions would become one.
    #[error("two topics would be restored as {topic} (partition {partition})")]
    NameTwice {
        /// The name.
        topic: TopicName,
        /// The partition.
        partition: PartitionId,
    },
    /// An object is gone.
    #[error("object {key} is missing from the store")]
    MissingObject {
        /// Its name.
        key: String,
    },
    /// An object was cut off or replaced.
    #[error("object {key} has {found} bytes but the manifest says {expected}")]
    ObjectSize {
        /// Its name.
        key: String,
        /// What the manifest says.
        expected: u64,
        /// What it has.
        found: u64,
    },
    /// An object is damaged or was replaced.
    #[error("object {key} has hash {found} but the manifest says {expected}")]
    ObjectHash {
        /// Its name.
        key: String,
        /// What the manifest says.
        expected: ObjectHash,
        /// What its bytes give.
        found: ObjectHash,
    },
}

/// Everything that speaks against carrying out `plan`; nothing when it may begin.
pub fn preflight(plan: &RestorePlan, facts: &RestoreFacts) -> Vec<Problem> {
    let mut problems = topic_problems(plan, facts);
    problems.extend(name_problems(plan));
    let objects = plan.items.iter().flat_map(|item| &item.objects);
    problems.extend(objects.filter_map(|wanted| {
        let (key, expected) = (wanted.object.key.clone(), wanted.object.bytes);
        match facts.objects.get(&key) {
            None => Some(Problem::MissingObject { key }),
            Some(fact) if fact.bytes != expected => Some(Problem::ObjectSize { key, expected, found: fact.bytes }),
            Some(ObjectFact { hash: Some(found), .. }) if *found != wanted.object.hash => {
                Some(Problem::ObjectHash { key, expected: wanted.object.hash, found: *found })
            }
            Some(_) => None,
        }
    }));
    problems
}

fn topic_problems(plan: &RestorePlan, facts: &RestoreFacts) -> Vec<Problem> {
    let targets: BTreeSet<_> = plan.items.iter().map(|item| &item.target).collect();
    let taken = targets.into_iter().filter(|topic| facts.topics.get(*topic) == Some(&true));
    taken.map(|topic| Problem::TopicHasData { topic: topic.clone() }).collect()
}

fn name_problems(plan: &RestorePlan) -> Vec<Problem> {
    let mut seen = BTreeSet::new();
    let twice = plan.items.iter().filter(|item| !seen.insert((&item.target, item.partition)));
    twice.map(|item| Problem::NameTwice { topic: item.target.clone(), partition: item.partition }).collect()
}
