//! Makes a metadata image real: directories, logs, leaders and copies are what it says. Doing it again changes nothing.

use super::ControlError;
use crate::Broker;
use crate::replica::{Crossing, Gate, Leadership, Partition};
use broker_core::metadata::{BrokerEpoch, Image, Partition as Placed, Role, Topic};
use model::ProtectionGroup;
use std::sync::Arc;

/// Makes `image` real for the broker in its `session`. Producers may jump forward in partitions of the group `jumps` that
/// begin to be led. It blocks.
///
/// # Errors
/// The first partition that could not be made real; the others are.
pub(super) fn realise(
    broker: &Broker,
    image: &Image,
    session: BrokerEpoch,
    jumps: Option<&ProtectionGroup>,
) -> Result<(), ControlError> {
    broker.0.gates.follow(image);
    delete(broker, image);
    let failed = broker.hold_topics(image);
    let mut outcome = failed.into_iter().next().map_or(Ok(()), |error| Err(not_made(error)));
    let held = broker.0.partitions.held();
    for topic in image.topics() {
        let jumps = jumps.is_some() && topic.group.as_ref() == jumps;
        let placed = topic.partitions().filter_map(|(number, placed)| Some((placed, held.partition(topic.id, number)?)));
        for (placed, partition) in placed {
            outcome = outcome.and(stand(broker, image, topic, placed, partition, session, jumps));
        }
    }
    outcome
}

fn delete(broker: &Broker, image: &Image) {
    let held = broker.0.partitions.held();
    for topic in held.topics().filter(|topic| image.topic(topic.id).is_none()) {
        if let Err(error) = broker.delete_topic(topic.id) {
            tracing::error!(topic = %topic.name, %error, "a deleted topic stays on disk until the next start");
        }
    }
}

/// An error with everything below it.
fn not_made(error: impl std::error::Error) -> ControlError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    ControlError(text)
}

/// Makes this broker be to the partition what the image says.
fn stand(
    broker: &Broker,
    image: &Image,
    topic: &Topic,
    placed: &Placed,
    partition: &Arc<Partition>,
    session: BrokerEpoch,
    jumps: bool,
) -> Result<(), ControlError> {
    let leader = placed.leader.filter(|leader| leader.broker == broker.0.config.slot && leader.session == session);
    let Some(leader) = leader else {
        partition.resign();
        return Ok(());
    };
    match leader.role {
        Role::Owner { leader_epoch } => {
            let lineage = placed.lineage(leader_epoch.ownership());
            let crossing =
                lineage.map(|lineage| Crossing { common_end: lineage.common_end, base: lineage.base });
            let Some(gate) = gate(broker, topic) else {
                partition.resign();
                return Ok(());
            };
            let led = partition.lead(&Leadership { epoch: leader_epoch, gate, crossing, jumps });
            led.map_err(|error| ControlError(format!("{} cannot be led: {}", partition.name, not_made(error))))
        }
        Role::Copy { term } => {
            let group = topic.group.as_ref().and_then(|group| image.group(group));
            let is_sealed = group.is_some_and(|group| !group.owned && !group.takes_copies());
            partition.follow(term, is_sealed);
            Ok(())
        }
    }
}

/// What writes to the topic go through; `None` when another region holds the grant by now.
fn gate(broker: &Broker, topic: &Topic) -> Option<Arc<Gate>> {
    match &topic.group {
        Some(group) => broker.0.gates.of(group),
        None => Some(Gate::free()),
    }
}
