//! Metadata: brokers, topics, and who leads what, as of the listener the client came by.

mod absent;

use super::{Call, Started, cluster};
use crate::Broker;
pub(crate) use absent::BeingMade;
use absent::create_absent;
use bytes::Bytes;
use model::{TopicId, TopicName, TopicState};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use wire::ErrorCode;
use wire::api::metadata::{self as api, Broker as NodeResponse, PartitionResponse, Request, Response, TopicResponse};

use broker_core::metadata::{Image, Topic};

/// The first version in which an empty list of topics means none.
const FIRST_WITH_NONE: i16 = 1;
/// How long a client that comes early waits for the broker to know its region.
pub(super) const TOLD_WITHIN: Duration = Duration::from_secs(2);

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let image = broker.image();
    if is_told(&image) && absent::creatable(broker, &image, &request).is_empty() {
        return Ok(call.reply(&answer(broker, &call, &request, &BTreeMap::new())));
    }
    let (broker, asked) = (broker.clone(), call.clone());
    Ok(call.reply_later(async move {
        let image = told(&broker, Instant::now() + TOLD_WITHIN).await?;
        let absent = absent::creatable(&broker, &image, &request);
        let deadline = Instant::now() + absent::WAIT_MAX;
        let failed = create_absent(&broker, absent, deadline).await;
        Some(answer(&broker, &asked, &request, &failed))
    }))
}

/// Whether the broker knows its region: that takes a majority of the region's brokers after every start, and the council's
/// word once. Before that it knows of no topic.
fn is_told(image: &Image) -> bool {
    image.council_index() > 0
}

/// The region's metadata once the broker knows it, unless that takes longer than `deadline`.
///
/// Who gets none has to go to another broker, as long as Kafka's listeners are not open before the metadata is read: a
/// client that is told of no topic gives up what it was to write there, librdkafka at once and others after half a minute.
pub(super) async fn told(broker: &Broker, deadline: Instant) -> Option<Arc<Image>> {
    let mut images = broker.watch_image();
    let told = timeout_at(deadline, images.wait_for(|image| is_told(image))).await;
    told.ok()?.ok().map(|image| image.clone())
}

/// What there is now; `failed` says why a topic could not be made.
fn answer(broker: &Broker, call: &Call, request: &Request, failed: &BTreeMap<TopicName, ErrorCode>) -> Response {
    let image = broker.image();
    let show = Show { broker, image: &image, operations: request.include_topic_authorized_operations, failed };
    let topics = match &request.topics {
        Some(topics) if !topics.is_empty() || call.header.api_version >= FIRST_WITH_NONE => {
            topics.iter().map(|asked| show.asked(asked)).collect()
        }
        _ => image.topics().filter(|topic| topic.state == TopicState::Live).map(|topic| show.topic(topic)).collect(),
    };
    let node = |node: cluster::Node| NodeResponse {
        node_id: node.id,
        host: node.host,
        port: node.port,
        rack: node.rack,
        ..Default::default()
    };
    Response {
        brokers: cluster::nodes(broker, &image, call).into_iter().map(node).collect(),
        cluster_id: Some(broker.config().cluster_id.clone()),
        controller_id: broker.config().node_id(),
        topics,
        cluster_authorized_operations: cluster::allowed(
            request.include_cluster_authorized_operations,
            cluster::CLUSTER_OPERATIONS,
        ),
        ..Default::default()
    }
}

struct Show<'a> {
    broker: &'a Broker,
    image: &'a Image,
    operations: bool,
    failed: &'a BTreeMap<TopicName, ErrorCode>,
}

impl Show<'_> {
    fn asked(&self, asked: &api::Topic) -> TopicResponse {
        // Java asks by id with an empty name beside it.
        match &asked.name {
            Some(name) if asked.topic_id == TopicId::ZERO => self.named(name),
            _ => self.with_id(asked.topic_id),
        }
    }

    fn named(&self, name: &str) -> TopicResponse {
        match (cluster::topic_named(self.image, name), TopicName::new(name)) {
            (Some(topic), _) => self.topic(topic),
            (None, Err(_)) => unknown(ErrorCode::INVALID_TOPIC_EXCEPTION, Some(name), TopicId::ZERO),
            (None, Ok(known)) => {
                let code = self.failed.get(&known).copied().unwrap_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
                unknown(code, Some(name), TopicId::ZERO)
            }
        }
    }

    fn with_id(&self, id: TopicId) -> TopicResponse {
        match self.image.topic(id).filter(|topic| topic.state == TopicState::Live) {
            Some(topic) => self.topic(topic),
            None => unknown(ErrorCode::UNKNOWN_TOPIC_ID, None, id),
        }
    }

    fn topic(&self, topic: &Topic) -> TopicResponse {
        TopicResponse {
            name: Some(topic.name.to_string()),
            topic_id: topic.id,
            is_internal: topic.name.is_internal(),
            partitions: cluster::partitions(self.broker, self.image, topic).into_iter().map(partition).collect(),
            topic_authorized_operations: cluster::allowed(self.operations, cluster::TOPIC_OPERATIONS),
            ..Default::default()
        }
    }
}

fn unknown(error_code: ErrorCode, name: Option<&str>, topic_id: TopicId) -> TopicResponse {
    TopicResponse { error_code, name: name.map(str::to_owned), topic_id, ..Default::default() }
}

fn partition(shown: cluster::Shown) -> PartitionResponse {
    PartitionResponse {
        error_code: shown.error_code,
        partition_index: shown.index,
        leader_id: shown.leader_id,
        leader_epoch: shown.leader_epoch,
        replica_nodes: shown.replicas,
        isr_nodes: shown.isr,
        offline_replicas: shown.offline,
        ..Default::default()
    }
}
