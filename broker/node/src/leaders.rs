//! Who leads what in this region, for gateways that follow it.

use crate::Broker;
use crate::control::OFFSETS_TOPIC;
use crate::partitions::{Held, HeldTopic};
use crate::replica::Partition;
use broker_core::metadata::{Broker as Member, Image, Partition as Placed, Role};
use env::Clock;
use model::{BrokerAddress, BrokerSlot, LeaderEpoch, Leaders, PartitionLeader, TopicLeaders};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

/// How often to look whether a copy has come to another epoch.
const COPIES_LOOK: Duration = Duration::from_millis(250);
/// Room for so many versions per millisecond: a later start of the broker counts on from higher.
const VERSIONS_PER_MS: u32 = 16;

/// What followers are told, now and later. Nothing before the first assignment is real.
pub(crate) struct LeaderBoard {
    first_version: u64,
    shown: watch::Sender<Option<Arc<Leaders>>>,
}

impl LeaderBoard {
    /// One whose versions are above those of every earlier start.
    pub(crate) fn new(clock: &dyn Clock) -> Self {
        let first_version = u64::try_from(clock.now().0).unwrap_or(0) << VERSIONS_PER_MS;
        Self { first_version, shown: watch::Sender::new(None) }
    }

    /// Follows it.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Arc<Leaders>>> {
        self.shown.subscribe()
    }

    /// Shows `leaders`, under a new version if they differ from those shown.
    fn show(&self, leaders: Leaders) {
        self.shown.send_if_modified(|shown| {
            let version = shown.as_ref().map_or(self.first_version, |shown| shown.version);
            let same = |shown: &Leaders| Leaders { version: leaders.version, ..shown.clone() } == leaders;
            if shown.as_deref().is_some_and(same) {
                return false;
            }
            *shown = Some(Arc::new(Leaders { version: version + 1, ..leaders }));
            true
        });
    }
}

impl Broker {
    /// Keeps what followers are told up to date, until the broker stops.
    pub(crate) async fn tell_leaders(self) {
        let (mut stop, mut images) = (self.0.stop.subscribe(), self.watch_image());
        let mut changes = self.0.partitions.changes();
        let mut looks = interval(COPIES_LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut shown_at = None;
        loop {
            let image = images.borrow_and_update().clone();
            // Looking at ten thousand partitions four times a second would keep a processor busy with nothing.
            let epochs = Some(self.0.storage.epoch_changes.load(Ordering::Relaxed));
            if image.council_index() > 0 && shown_at != epochs {
                self.0.leaders.show(leaders(&self, &image));
                shown_at = epochs;
            }
            tokio::select! {
                changed = images.changed() => match changed {
                    Ok(()) => shown_at = None,
                    Err(_) => return,
                },
                _ = changes.changed() => shown_at = None,
                _ = looks.tick() => {}
                () = crate::listener::stopped(&mut stop) => return,
            }
        }
    }
}

fn leaders(broker: &Broker, image: &Image) -> Leaders {
    let held = broker.0.partitions.held();
    let mut topics: Vec<_> = held.topics().filter_map(|topic| topic_leaders(broker, image, &held, topic)).collect();
    topics.sort_unstable_by_key(|topic| topic.id);
    // The version is given when it is shown.
    Leaders {
        region: broker.config().region.clone(),
        version: 0,
        topics,
        coordinators: coordinators(broker, image),
        brokers: image.brokers().map(|(slot, known)| address(slot, known)).collect(),
        fenced: fenced(broker, image),
    }
}

fn address(slot: BrokerSlot, known: &Member) -> BrokerAddress {
    BrokerAddress { slot: slot.0, internal: known.addresses.internal.clone() }
}

/// A broker that is its region is never said to be: nobody could serve instead of it.
fn fenced(broker: &Broker, image: &Image) -> Vec<u16> {
    let is_clustered = broker.config().is_clustered();
    let fenced = image.brokers().filter(|(_, known)| is_clustered && known.is_fenced());
    fenced.map(|(slot, _)| slot.0).collect()
}

/// Who coordinates the groups of each partition of the offsets topic.
fn coordinators(broker: &Broker, image: &Image) -> Vec<Option<u16>> {
    let Some(topic) = image.topic_named(OFFSETS_TOPIC) else { return vec![] };
    let held = broker.0.partitions.held();
    let slot = |(number, placed)| Some(leader(broker, image, held.partition(topic.id, number), placed)?.0.0);
    topic.partitions().map(slot).collect()
}

/// The leaders of a topic that carries client data.
fn topic_leaders(broker: &Broker, image: &Image, held: &Held, topic: &HeldTopic) -> Option<TopicLeaders> {
    let known = image.topic(topic.id).filter(|_| topic.is_live)?;
    let group = image.group(known.group.as_ref()?)?;
    let writable = image.takes_writes(known);
    let partitions = known.partitions().filter_map(|(number, placed)| {
        let (leader, leader_epoch) = leader(broker, image, held.partition(topic.id, number), placed)?;
        Some(PartitionLeader {
            partition: number,
            leader: leader.0,
            leader_epoch,
            ownership_epoch: group.obeyed(),
            isr: placed.isr.iter().map(|slot| slot.0).collect(),
            writable,
        })
    });
    Some(TopicLeaders { id: topic.id, name: topic.name.clone(), partitions: partitions.collect() })
}

/// Who leads a partition, once that was started, and its leader epoch. Of a copy that another broker leads only this
/// broker's own log may know it.
pub(crate) fn leader(
    broker: &Broker,
    image: &Image,
    partition: Option<&Arc<Partition>>,
    placed: &Placed,
) -> Option<(BrokerSlot, LeaderEpoch)> {
    let here = broker.config().slot;
    let Some(leader) = placed.leader.filter(|leader| leader.broker != here) else {
        return partition.filter(|partition| partition.standing().leads()).map(|led| (here, led.epoch()));
    };
    let epoch = match leader.role {
        Role::Owner { leader_epoch } => leader_epoch,
        Role::Copy { .. } => partition.map_or(LeaderEpoch::NONE, |partition| partition.epoch()),
    };
    image.is_live(&leader).then_some((leader.broker, epoch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use env::sim::ManualClock;
    use model::{RegionName, TopicId, TopicName};

    fn board() -> LeaderBoard {
        LeaderBoard::new(&ManualClock::default())
    }

    fn with(topics: Vec<TopicLeaders>) -> Leaders {
        let region = RegionName::new("r1").unwrap();
        Leaders { region, version: 0, topics, coordinators: vec![], brokers: vec![], fenced: vec![] }
    }

    #[test]
    fn the_version_rises_with_what_is_shown_and_with_nothing_else() {
        let board = board();
        let version = || board.watch().borrow().as_ref().map(|shown| shown.version);
        assert_eq!(version(), None);
        board.show(with(vec![]));
        let first = version().unwrap();
        board.show(with(vec![]));
        assert_eq!(version(), Some(first));
        let topic = TopicLeaders { id: TopicId::ZERO, name: TopicName::new("t").unwrap(), partitions: vec![] };
        board.show(with(vec![topic]));
        assert_eq!(version(), Some(first + 1));
    }
}
