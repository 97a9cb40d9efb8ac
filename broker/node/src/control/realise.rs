//! Makes a metadata image real: directories, logs, leaders and copies are what it says. Doing it again changes nothing, and
//! only what has changed is looked at.

use super::ControlError;
use crate::Broker;
use crate::replica::{Crossing, Gate, Leadership, Part, Partition, Replicas};
use crate::topics::is_usable;
use broker_core::metadata::{BrokerEpoch, Changes, Due, Group, Image, Partition as Placed, Role, Topic};
use model::{LeaderEpoch, ModeState, PartitionId, TopicId, TopicState};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How many partitions are worked on at once: most of it is waiting for the disk.
const AT_ONCE: usize = 4;

/// The partitions that could not be made real, and why.
#[derive(Debug, Default)]
pub(super) struct Failed(BTreeMap<(TopicId, PartitionId), ControlError>);

impl Failed {
    /// These are to be looked at again, whatever the metadata says of them.
    pub(super) fn look_again(&mut self, partitions: impl Iterator<Item = (TopicId, PartitionId)>) {
        let stale = || ControlError("it is to be looked at again".to_owned());
        self.0.extend(partitions.map(|partition| (partition, stale())));
    }

    /// Whether everything is real.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Why the first of them is not.
    ///
    /// # Errors
    /// Just that.
    pub(super) fn first_error(&self) -> Result<(), ControlError> {
        self.0.values().next().map_or(Ok(()), |error| Err(error.clone()))
    }
}

/// Makes `image`, which was `before`, real for the broker in its `session`, and what `failed` before. It blocks. Gives what
/// could not be made real; the rest is.
pub(super) fn realise(broker: &Broker, before: &Image, image: &Image, session: BrokerEpoch, failed: Failed) -> Failed {
    let mut changes = image.changes_since(before);
    changes.partitions.extend(failed.0.into_keys());
    broker.0.gates.follow(image);
    broker.0.quotas.follow(image);
    delete(broker, &changes, image);
    let touched = changes.touched(image);
    let not_opened = broker.hold_topics(image, &to_hold(broker, &changes, &touched));
    let mut failed = Failed::default();
    for error in not_opened {
        failed.0.insert(error.partition_id(), not_made(error));
    }
    let stage = Stage { broker, image, session };
    failed.0.extend(stage.stand_all(&places(broker, &touched)));
    failed
}

/// Removes what topics of `known` have left on disk that are gone in `image` and were never open. It blocks.
pub(super) fn discard_gone(broker: &Broker, known: &Image, image: &Image) {
    delete(broker, &image.changes_since(known), image);
}

/// What was touched, by partition.
type Touched<'a> = BTreeMap<(TopicId, PartitionId), (&'a Topic, &'a Placed)>;

/// One partition that is open here, with what the metadata says of it.
type Place<'a> = ((TopicId, PartitionId), &'a Topic, &'a Placed, Arc<Partition>);

/// The topics whose holding here is not what it should be.
fn to_hold(broker: &Broker, changes: &Changes, touched: &Touched<'_>) -> BTreeSet<TopicId> {
    let (held, slot) = (broker.0.partitions.held(), broker.0.config.slot);
    let is_other = |((id, number), (topic, placed)): (&(TopicId, PartitionId), &(&Topic, &Placed))| {
        let known = held.with_id(*id)?;
        let is_open = known.partition(*number).is_some();
        let grew = known.partitions.len() != topic.partition_count() as usize;
        let resized = *number == PartitionId(0) && known.replicas != topic.replica_count();
        let is_wrong = if is_open { !placed.replicas.contains(&slot) } else { is_usable(placed, slot) };
        (grew || resized || is_wrong).then_some(*id)
    };
    changes.defined.iter().copied().chain(touched.iter().filter_map(is_other)).collect()
}

fn places<'a>(broker: &Broker, touched: &Touched<'a>) -> Vec<Place<'a>> {
    let held = broker.0.partitions.held();
    let open = |(id, (topic, placed)): (&(TopicId, PartitionId), &(&'a Topic, &'a Placed))| {
        Some((*id, *topic, *placed, held.partition(id.0, id.1)?.clone()))
    };
    touched.iter().filter_map(open).collect()
}

fn delete(broker: &Broker, changes: &Changes, image: &Image) {
    let held = broker.0.partitions.held();
    for topic in &changes.gone {
        // A topic that was deleted while the broker was down is not open.
        if held.with_id(topic.id).is_none() {
            broker.discard_topic(topic, image);
        } else if let Err(error) = broker.delete_topic(topic.id, image) {
            tracing::error!(topic = %topic.name, %error, "a deleted topic stays on disk until its name is used again");
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

/// What every partition is looked at against.
struct Stage<'a> {
    broker: &'a Broker,
    image: &'a Image,
    session: BrokerEpoch,
}

/// What could not be made real.
type Errors = Vec<((TopicId, PartitionId), ControlError)>;

impl Stage<'_> {
    fn stand_all(&self, places: &[Place<'_>]) -> Errors {
        let part = places.len().div_ceil(AT_ONCE).max(1);
        let work = |part: &[Place<'_>]| -> Errors {
            part.iter().filter_map(|place| Some((place.0, self.stand(place).err()?))).collect()
        };
        std::thread::scope(|scope| {
            let parts: Vec<_> = places.chunks(part).map(|part| (part, scope.spawn(move || work(part)))).collect();
            let join = |(part, working): (&[Place<'_>], std::thread::ScopedJoinHandle<'_, Errors>)| {
                working.join().unwrap_or_else(|_| part.iter().map(|place| (place.0, panicked())).collect())
            };
            parts.into_iter().flat_map(join).collect()
        })
    }

    /// Makes this broker be to the partition what the image says.
    fn stand(&self, (_, topic, placed, partition): &Place<'_>) -> Result<(), ControlError> {
        let slot = self.broker.0.config.slot;
        let stood = match placed.due(slot, self.session) {
            Due::Lead(Role::Owner { leader_epoch }) => self.lead(topic, placed, partition, leader_epoch),
            Due::Lead(Role::Copy { term }) => {
                partition.lead_copy(term, self.is_sealed(topic), &Replicas::of(placed, slot), &self.mode(topic));
                Ok(())
            }
            Due::Follow(leader) if partition.failed().is_none() => {
                partition.follow(leader, &placed.lineages);
                Ok(())
            }
            Due::Follow(_) | Due::Resign => {
                partition.resign();
                Ok(())
            }
        };
        self.broker.0.fetchers.assign(self.broker, partition);
        stood
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
        let replicas = Replicas::of(placed, self.broker.0.config.slot);
        let group = topic.group.as_ref().and_then(|group| self.image.group(group));
        let jumps = group.is_some_and(Group::allows_jumps);
        let (mode, active) = (self.mode(topic), self.part(topic)?);
        let led = partition.lead(&Leadership { epoch, gate, crossing, jumps, replicas, mode, active });
        led.map_err(|error| ControlError(format!("{} cannot be led: {}", partition.name, not_made(error))))
    }

    /// How the region takes part in the topic, where every region takes writes for it.
    fn part(&self, topic: &Topic) -> Result<Option<Part>, ControlError> {
        let group = topic.group.as_ref().and_then(|group| self.image.group(group)).filter(|group| group.owned);
        let Some(all) = group.and_then(|group| group.grant.active.clone()) else { return Ok(None) };
        if self.broker.config().is_clustered() {
            return Err(ControlError(format!(
                "topic {} is of an active-active group, which takes regions of one broker in this version",
                topic.name
            )));
        }
        let own = self.image.region().map(|region| region.incarnation);
        let own = own.ok_or_else(|| ControlError("the region has no incarnation yet".to_owned()))?;
        Ok(Some(Part { own, all }))
    }

    /// What writes to the topic go through; `None` when another region holds the grant by now.
    fn gate(&self, topic: &Topic) -> Option<Arc<Gate>> {
        match &topic.group {
            Some(group) => self.broker.0.gates.of(group),
            None => Some(self.broker.0.gates.local()),
        }
    }

    /// What acknowledgements promise across regions. What a restore writes is waited for by nobody.
    fn mode(&self, topic: &Topic) -> ModeState {
        let group = topic.group.as_ref().filter(|_| topic.state == TopicState::Live);
        let group = group.and_then(|group| self.image.group(group));
        group.map(|group| group.grant.mode.clone()).unwrap_or_default()
    }

    /// Whether links may no longer write to the topic's copies. They may not either once the region owns the group and
    /// has not opened it yet; a restore may.
    fn is_sealed(&self, topic: &Topic) -> bool {
        let group = topic.group.as_ref().and_then(|group| self.image.group(group));
        topic.state == TopicState::Live && group.is_none_or(|group| !group.takes_copies())
    }
}

fn panicked() -> ControlError {
    ControlError("a partition could not be looked at".to_owned())
}
