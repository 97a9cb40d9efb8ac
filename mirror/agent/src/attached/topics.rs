//! Which topics are copied, and their like in the target.

use super::keeper::is_map;
use super::routes::{self, Routes};
use super::{AttachedError, Shared, look};
use mirror_core::attached::routes::Topic;
use model::TopicId;
use std::collections::BTreeSet;
use wire::ErrorCode;
use wire::api::metadata;
use wire::client::Cluster;

/// Settings that a topic made in the target takes over from the source, where they were made for the topic itself.
const CARRIED: [&str; 8] = [
    "cleanup.policy",
    "compression.type",
    "delete.retention.ms",
    "max.compaction.lag.ms",
    "min.cleanable.dirty.ratio",
    "min.compaction.lag.ms",
    "retention.bytes",
    "retention.ms",
];
/// The largest batch a topic takes: always carried, since defaults differ.
const BATCH_BYTES: &str = "max.message.bytes";

/// A topic in both clusters.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) name: String,
    pub(super) partitions: i32,
    pub(super) source: TopicId,
    pub(super) target: TopicId,
}

impl Pair {
    /// Stops a copy whose topic was made again, on either side.
    pub(super) fn refuse_another(&self, view: &Shared) {
        let mut view = look(view);
        let Some(begin) = view.copy.as_ref().map(|copy| *copy.begin()) else { return };
        view.failure = view.failure.take().or(self.difference(begin.source_topic, begin.target_topic));
    }

    /// What is wrong when the journal is of these topics.
    pub(super) fn difference(&self, source: TopicId, target: TopicId) -> Option<String> {
        let (side, was, is) = match (source == self.source, target == self.target) {
            (true, true) => return None,
            (false, _) => ("source", source, self.source),
            (true, false) => ("target", target, self.target),
        };
        Some(format!(
            "topic {} of the {side} cluster was made again: it was {was} and is {is}. To copy the new one, delete the topic \
             in the target cluster and this link's {}-*.journal",
            self.name, self.name
        ))
    }
}

/// The topics that `patterns` select and that do not go round, made in the target where they are missing, and grown where
/// they have too few partitions.
pub(super) async fn prepare(
    source: &Cluster,
    target: &Cluster,
    patterns: &[String],
    routes: &mut Routes,
) -> Result<Vec<Pair>, AttachedError> {
    let meant = meant(source, patterns).await?;
    refuse_unknown(patterns, &meant)?;
    let there = target.metadata(None).await.map_err(AttachedError::of_target)?;
    let id = |name: &str| {
        let found = there.topics.iter().find(|topic| topic.name.as_deref() == Some(name));
        found.filter(|topic| topic.error_code == ErrorCode::NONE).map(|topic| topic.topic_id)
    };
    let known: Vec<_> = meant
        .iter()
        .map(|(name, topic)| Topic { name: name.clone(), source: topic.topic_id, target: id(name) })
        .collect();
    routes.claim(&known, |name| patterns.iter().any(|pattern| pattern == name)).await?;
    let mut pairs = Vec::new();
    for (name, topic) in meant.iter().filter(|(name, _)| routes.has(name)) {
        pairs.push(pair(source, target, name, topic).await?);
    }
    Ok(pairs)
}

async fn meant(source: &Cluster, patterns: &[String]) -> Result<Vec<(String, metadata::TopicResponse)>, AttachedError> {
    let known = source.metadata(None).await.map_err(AttachedError::of_source)?;
    let is_meant = |name: &str| !is_internal(name) && patterns.iter().any(|pattern| matches(pattern, name));
    let is_there =
        |topic: &metadata::TopicResponse| topic.error_code == ErrorCode::NONE && !topic.partitions.is_empty();
    let found = known.topics.into_iter().filter(is_there).filter_map(|topic| Some((topic.name.clone()?, topic)));
    Ok(found.filter(|(name, _)| is_meant(name)).collect())
}

/// Whether a cluster, or a link, keeps it for itself.
fn is_internal(topic: &str) -> bool {
    topic.starts_with("__") || topic == routes::TOPIC || is_map(topic)
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |prefix| name.starts_with(prefix))
}

fn refuse_unknown(patterns: &[String], meant: &[(String, metadata::TopicResponse)]) -> Result<(), AttachedError> {
    let is_there = |name: &String| meant.iter().any(|(found, _)| found == name);
    match patterns.iter().find(|pattern| !pattern.ends_with('*') && !is_there(pattern)) {
        None => Ok(()),
        Some(name) if is_internal(name) => {
            Err(AttachedError::Refused(format!("topic {name} is internal: each cluster keeps its own")))
        }
        Some(name) => Err(AttachedError::Refused(format!(
            "the source cluster has no topic {name}, or this client may not see it; name another one or a prefix with --topics"
        ))),
    }
}

async fn pair(
    source: &Cluster,
    target: &Cluster,
    name: &str,
    topic: &metadata::TopicResponse,
) -> Result<Pair, AttachedError> {
    let partitions = topic.partitions.len() as i32;
    let found = described(target, name).await?;
    let known = match found {
        Some(known) => known,
        None => make(source, target, name, partitions).await?,
    };
    match known.partitions.len() as i32 {
        theirs if theirs < partitions => {
            tracing::info!(topic = name, partitions, "the topic gets more partitions in the target");
            target.grow_topic(name, partitions).await.map_err(AttachedError::of_target)?;
        }
        _ => {}
    }
    Ok(Pair { name: name.to_owned(), partitions, source: topic.topic_id, target: known.topic_id })
}

async fn described(cluster: &Cluster, name: &str) -> Result<Option<metadata::TopicResponse>, AttachedError> {
    let answer = cluster.metadata(Some(&[name])).await.map_err(AttachedError::of_target)?;
    let found = answer.topics.into_iter().find(|topic| topic.name.as_deref() == Some(name));
    Ok(found.filter(|topic| topic.error_code == ErrorCode::NONE && !topic.partitions.is_empty()))
}

async fn make(
    source: &Cluster,
    target: &Cluster,
    name: &str,
    partitions: i32,
) -> Result<metadata::TopicResponse, AttachedError> {
    let settings = source.topic_settings(name).await.map_err(AttachedError::of_source)?;
    let carried = settings
        .iter()
        .filter(|setting| setting.name == BATCH_BYTES || (setting.is_own && CARRIED.contains(&setting.name.as_str())));
    let carried: Vec<_> = carried.map(|setting| (setting.name.as_str(), setting.value.as_str())).collect();
    match target.create_topic(name, partitions, -1, &carried).await {
        Ok(_) => tracing::info!(topic = name, partitions, "the topic is made in the target"),
        Err(error) if error.code() == Some(ErrorCode::TOPIC_ALREADY_EXISTS) => {}
        Err(error) => return Err(AttachedError::of_target(error)),
    }
    // A broker may not have heard of it yet.
    let mut known = described(target, name).await?;
    for _ in 0..100 {
        if known.is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        known = described(target, name).await?;
    }
    known.ok_or_else(|| {
        AttachedError::Refused(format!("topic {name} was made in the target cluster and is not shown there"))
    })
}

/// The ids of both clusters, which are two.
pub(super) async fn two_clusters(source: &Cluster, target: &Cluster) -> Result<[String; 2], AttachedError> {
    let (theirs, ours) = tokio::join!(source.metadata(Some(&[])), target.metadata(Some(&[])));
    let theirs = theirs.map_err(AttachedError::of_source)?;
    let ours = ours.map_err(AttachedError::of_target)?;
    let brokers = |answer: &metadata::Response| -> BTreeSet<String> {
        answer.brokers.iter().map(|broker| format!("{}:{}", broker.host, broker.port)).collect()
    };
    if let Some(broker) = brokers(&theirs).intersection(&brokers(&ours)).next() {
        return Err(AttachedError::Refused(format!(
            "source and target are one cluster: broker {broker} is in both; name two clusters with --source and --target"
        )));
    }
    let ids = [id(theirs, "source")?, id(ours, "target")?];
    match ids[0] == ids[1] {
        false => Ok(ids),
        true => Err(AttachedError::Refused(format!(
            "both clusters call themselves {}: they are one, or one was made as a copy of the other. A link tells clusters \
             apart by their ids; name two clusters with --source and --target",
            ids[0]
        ))),
    }
}

fn id(answer: metadata::Response, side: &'static str) -> Result<String, AttachedError> {
    answer.cluster_id.filter(|id| !id.is_empty()).ok_or_else(|| {
        AttachedError::Refused(format!(
            "the {side} cluster does not tell its id (Metadata version 2, Apache Kafka 0.10.1): a link cannot tell it apart \
             from others"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_named_or_begin_alike() {
        assert!(matches("orders", "orders") && !matches("orders", "orders.eu"));
        assert!(matches("orders.*", "orders.eu") && matches("*", "anything") && !matches("orders.*", "orders"));
    }

    #[test]
    fn a_topic_that_was_made_again_is_told() {
        let id = |n| TopicId(uuid::Uuid::from_u128(n));
        let pair = Pair { name: "orders".into(), partitions: 1, source: id(1), target: id(2) };
        assert_eq!(pair.difference(id(1), id(2)), None);
        assert!(pair.difference(id(9), id(2)).unwrap().contains("source cluster was made again"));
        assert!(pair.difference(id(1), id(9)).unwrap().contains("target cluster was made again"));
    }
}
