//! Topics that a client asked for and that are not there: made through the council, if the client lets us.

use crate::api::cluster;
use crate::{Broker, CouncilError, NewTopic};
use broker_core::metadata::Image;
use model::{TopicId, TopicName};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use wire::ErrorCode;
use wire::api::metadata::Request;

/// How long an answer waits for topics it asked the council for; they are made all the same.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(2);
/// How many topics one request makes at most; the client asks again for the rest.
const AT_ONCE_MAX: usize = 32;

/// The topics that are being made because somebody asked for them.
#[derive(Default)]
pub(crate) struct BeingMade(Mutex<BTreeSet<TopicName>>);

impl BeingMade {
    /// Whether the caller is the first: it makes the topic.
    fn begin(&self, name: &TopicName) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone())
    }

    fn end(&self, name: &TopicName) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

/// The names in `request` that are to be made: valid, not there, and of a group that this region owns.
pub(super) fn creatable(broker: &Broker, image: &Image, request: &Request) -> BTreeSet<TopicName> {
    if !(request.allow_auto_topic_creation && broker.config().auto_create_topics) {
        return BTreeSet::new();
    }
    let by_name = request.topics.iter().flatten().filter(|topic| topic.topic_id == TopicId::ZERO);
    let names = by_name.filter_map(|topic| topic.name.as_deref());
    let absent = names.filter(|name| image.topic_named(name).is_none());
    let valid = absent.filter_map(|name| TopicName::new(name).ok());
    valid.filter(|name| is_owned(image, name)).take(AT_ONCE_MAX).collect()
}

fn is_owned(image: &Image, name: &TopicName) -> bool {
    let closeness = |group: &broker_core::metadata::Group| group.grant.coverage.topic_closeness(name);
    let covering = image.groups().filter_map(|group| Some((closeness(group)?, group)));
    let closest = covering.max_by(|(n, a), (m, b)| n.cmp(m).then_with(|| b.grant.group.cmp(&a.grant.group)));
    closest.is_some_and(|(_, group)| group.owned)
}

/// Has the council make `absent`, and says of those that are not there at the `deadline` why.
pub(super) async fn create_absent(
    broker: &Broker,
    absent: BTreeSet<TopicName>,
    deadline: Instant,
) -> BTreeMap<TopicName, ErrorCode> {
    let begun: Vec<_> = absent.into_iter().map(|name| (name.clone(), begin(broker, name))).collect();
    let mut failed = BTreeMap::new();
    for (name, making) in begun {
        let code = match making {
            None => ErrorCode::LEADER_NOT_AVAILABLE,
            Some(making) => match timeout_at(deadline, making).await {
                Ok(Ok(code)) => code,
                Ok(Err(_)) | Err(_) => ErrorCode::LEADER_NOT_AVAILABLE,
            },
        };
        if !code.is_ok() {
            failed.insert(name, code);
        }
    }
    failed
}

/// Starts making a topic, unless somebody does already. What is left to say of it comes out.
fn begin(broker: &Broker, name: TopicName) -> Option<tokio::task::JoinHandle<ErrorCode>> {
    if !broker.0.being_made.begin(&name) {
        return None;
    }
    let broker = broker.clone();
    Some(tokio::spawn(async move {
        let partitions = broker.config().default_partitions;
        let topic = NewTopic { name: name.clone(), partitions, config: BTreeMap::new() };
        let made = broker.0.council.create_topic(topic, false).await;
        broker.0.being_made.end(&name);
        made.map_or_else(|error| refused(&name, &error), |_| code_of_made(&broker, &name))
    }))
}

/// The council has made it, and the region a moment later: the client asks again.
fn code_of_made(broker: &Broker, name: &TopicName) -> ErrorCode {
    let is_there = cluster::topic_named(&broker.image(), name.as_str()).is_some();
    if is_there { ErrorCode::NONE } else { ErrorCode::LEADER_NOT_AVAILABLE }
}

fn refused(name: &TopicName, error: &CouncilError) -> ErrorCode {
    tracing::info!(topic = %name, %error, "topic was asked for and not made");
    match error {
        CouncilError::Exists(_) | CouncilError::Unknown(_) | CouncilError::Refused(_) => {
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        }
        CouncilError::Invalid(_) => ErrorCode::INVALID_TOPIC_EXCEPTION,
        CouncilError::Unavailable(_) => ErrorCode::LEADER_NOT_AVAILABLE,
    }
}
