//! Makes a metadata image real: directories, logs, leaders and copies are what it says. Doing it again changes nothing.

use super::ControlError;
use crate::Broker;
use crate::replica::{Crossing, Gate, Leadership, Partition};
use broker_core::metadata::{BrokerEpoch, Image, Partition as Placed, Role, Topic};
use model::{LeaderEpoch, ProtectionGroup, TopicState};
use std::sync::Arc;

/// How many partitions are worked on at once: most of it is waiting for the disk.
const AT_ONCE: usize = 4;

/// Makes `image`, which was `before`, real for the broker in its `session`. Producers may jump forward in partitions of the group `jumps` that
/// begin to be led. It blocks.
///
/// # Errors
/// The first partition that could not be made real; the others are.
pub(super) fn realise(
    broker: &Broker,
    before: &Image,
    image: &Image,
    session: BrokerEpoch,
    jumps: Option<&ProtectionGroup>,
) -> Result<(), ControlError> {
    broker.0.gates.follow(image);
    delete(broker, before, image);
    let failed = broker.hold_topics(image);
    let opened = failed.into_iter().next().map_or(Ok(()), |error| Err(not_made(error)));
    let stage = Stage { broker, image, session, jumps };
    opened.and(stage.stand_all(&places(broker, image)))
}

/// One partition that is open here, with what the metadata says of it.
type Place<'a> = (&'a Topic, &'a Placed, Arc<Partition>);

fn places<'a>(broker: &Broker, image: &'a Image) -> Vec<Place<'a>> {
    let held = broker.0.partitions.held();
    let of = |topic: &'a Topic| {
        let held = held.clone();
        topic.partitions().filter_map(move |(number, placed)| {
            let partition = held.partition(topic.id, number)?;
            Some((topic, placed, partition.clone()))
        })
    };
    image.topics().flat_map(of).collect()
}

fn delete(broker: &Broker, before: &Image, image: &Image) {
    let held = broker.0.partitions.held();
    for topic in held.topics().filter(|topic| image.topic(topic.id).is_none()) {
        if let Err(error) = broker.delete_topic(topic.id) {
            tracing::error!(topic = %topic.name, %error, "a deleted topic stays on disk until its name is used again");
        }
    }
    // A topic that was deleted while the broker was down is not open.
    let gone = before.topics().filter(|topic| image.topic(topic.id).is_none() && held.with_id(topic.id).is_none());
    gone.for_each(|topic| broker.discard_topic(topic, image));
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

/// What every partition is looked at against.
struct Stage<'a> {
    broker: &'a Broker,
    image: &'a Image,
    session: BrokerEpoch,
    /// Producers may jump forward in partitions of this group that begin to be led.
    jumps: Option<&'a ProtectionGroup>,
}

impl Stage<'_> {
    fn stand_all(&self, places: &[Place<'_>]) -> Result<(), ControlError> {
        let part = places.len().div_ceil(AT_ONCE).max(1);
        let work = |part: &[Place<'_>]| first_error(part.iter().map(|place| self.stand(place)));
        std::thread::scope(|scope| {
            let parts: Vec<_> = places.chunks(part).map(|part| scope.spawn(move || work(part))).collect();
            first_error(parts.into_iter().map(|part| part.join().unwrap_or_else(|_| Err(panicked()))))
        })
    }

    /// Makes this broker be to the partition what the image says.
    fn stand(&self, (topic, placed, partition): &Place<'_>) -> Result<(), ControlError> {
        let slot = self.broker.0.config.slot;
        let leader = placed.leader.filter(|leader| leader.broker == slot && leader.session == self.session);
        match leader.map(|leader| leader.role) {
            None => partition.resign(),
            Some(Role::Copy { term }) => partition.follow(term, self.is_sealed(topic)),
            Some(Role::Owner { leader_epoch }) => return self.lead(topic, placed, partition, leader_epoch),
        }
        Ok(())
    }

    fn lead(
        &self,
        topic: &Topic,
        placed: &Placed,
        partition: &Arc<Partition>,
        epoch: LeaderEpoch,
    ) -> Result<(), ControlError> {
        let Some(gate) = self.gate(topic) else {
            partition.resign();
            return Ok(());
        };
        let lineage = placed.lineage(epoch.ownership());
        let crossing = lineage.map(|lineage| Crossing { common_end: lineage.common_end, base: lineage.base });
        let jumps = self.jumps.is_some() && topic.group.as_ref() == self.jumps;
        let led = partition.lead(&Leadership { epoch, gate, crossing, jumps });
        led.map_err(|error| ControlError(format!("{} cannot be led: {}", partition.name, not_made(error))))
    }

    /// What writes to the topic go through; `None` when another region holds the grant by now.
    fn gate(&self, topic: &Topic) -> Option<Arc<Gate>> {
        match &topic.group {
            Some(group) => self.broker.0.gates.of(group),
            None => Some(Gate::free()),
        }
    }

    /// Whether links may no longer write to the topic's copies. They may not either once the region owns the group and
    /// has not opened it yet; a restore may.
    fn is_sealed(&self, topic: &Topic) -> bool {
        let group = topic.group.as_ref().and_then(|group| self.image.group(group));
        topic.state == TopicState::Live && group.is_none_or(|group| !group.takes_copies())
    }
}

/// The first error of all of them: none is left out because of an earlier one.
fn first_error(outcomes: impl Iterator<Item = Result<(), ControlError>>) -> Result<(), ControlError> {
    let mut first = Ok(());
    for outcome in outcomes {
        first = first.and(outcome);
    }
    first
}

fn panicked() -> ControlError {
    ControlError("a partition could not be looked at".to_owned())
}
