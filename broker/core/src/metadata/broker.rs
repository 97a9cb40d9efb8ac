use super::{Answer, Boot, Image, Refusal};
use model::{BrokerSlot, Incarnation, ProducerId, limits};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Numbers the starts of a region's brokers (Kafka's broker epoch); what an earlier session asks for is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BrokerEpoch(pub u64);

impl fmt::Display for BrokerEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `host:port` of each listener of a broker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// For the region's own Kafka clients.
    pub clients: String,
    /// For gateways.
    pub gateways: String,
    /// For links, offset sync and metadata followers.
    pub internal: String,
}

/// Where a broker stands; empty where nobody said.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Location {
    /// The data centre.
    pub data_centre: String,
    /// The rack in it.
    pub rack: String,
}

/// One broker of the region, or its desk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broker {
    /// The incarnation of its disk.
    pub incarnation: Incarnation,
    /// Where it is reached.
    pub addresses: Addresses,
    /// Where it stands.
    #[serde(default)]
    pub location: Location,
    /// Its current session.
    pub session: BrokerEpoch,
    /// Whether it is the region's desk: it speaks for the region to the council, and hosts no partitions.
    #[serde(default)]
    pub desk: bool,
    /// Whether it may lead and be in sync in this session.
    #[serde(default)]
    pub admission: Admission,
    /// What it said of its process when it registered.
    #[serde(default)]
    pub boot: Boot,
}

/// Whether a broker may lead and be in sync. Outside [`In`](Self::In) it is fenced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Admission {
    /// Not yet: it has not made the metadata real in this session.
    Waiting,
    /// It may.
    #[default]
    In,
    /// No more: it was silent, or stops. Its next session begins with [`Waiting`](Self::Waiting).
    Out,
}

impl Broker {
    /// Whether it may neither lead nor be in sync.
    pub fn is_fenced(&self) -> bool {
        self.admission != Admission::In
    }
}

impl Image {
    /// Begins the next session of the broker in `slot`.
    pub(super) fn register_broker(&mut self, slot: BrokerSlot, given: Broker) -> Result<Answer, Refusal> {
        let known = self.brokers.get(&slot).cloned();
        if let Some(current) = known.as_ref().map(|known| known.incarnation).filter(|known| *known > given.incarnation)
        {
            return Err(Refusal::Replaced { slot, given: given.incarnation, current });
        }
        self.check_not_unregistered(slot, given.incarnation)?;
        self.unregistered.remove(&slot);
        self.sessions += 1;
        let session = BrokerEpoch(self.sessions);
        let begun = Broker { session, ..given };
        self.brokers.insert(slot, begun.clone());
        self.depose(slot, &[]);
        self.trust_disks(slot);
        match known {
            Some(known) if known.incarnation < begun.incarnation => self.forget_disk(slot),
            Some(known) => self.doubt_tails(slot, &known, &begun),
            None => {}
        }
        Ok(Answer::Registered { session })
    }

    /// The disk of the broker in `slot` was replaced by an empty one: it is no longer in sync even where it was the last
    /// member, or it would lead with nothing what others still hold. Where it holds the only replica nobody does.
    fn forget_disk(&mut self, slot: BrokerSlot) {
        for (topic, number) in self.partitions_where(|known| known.is_relied_on(slot)) {
            if let Some(partition) = self.partition_mut(topic, number) {
                partition.rely_no_more(slot);
            }
        }
    }

    /// The next incarnation of the disk in `slot`; the first is that of the broker the region was founded with.
    pub(super) fn allot_incarnation(&mut self, slot: BrokerSlot) -> Answer {
        let incarnation = Incarnation(self.latest_incarnation(slot).0 + 1);
        self.allotted.insert(slot, incarnation);
        Answer::Allotted { incarnation }
    }

    /// The last incarnation that a disk in `slot` was given, whether its broker has registered or not.
    pub fn latest_incarnation(&self, slot: BrokerSlot) -> Incarnation {
        let registered = self.brokers.get(&slot).map_or(Incarnation(1), |known| known.incarnation);
        self.allotted.get(&slot).copied().unwrap_or(Incarnation(1)).max(registered)
    }

    pub(super) fn check_session(&self, slot: BrokerSlot, given: BrokerEpoch) -> Result<(), Refusal> {
        let current = self.brokers.get(&slot).ok_or(Refusal::UnknownBroker(slot))?.session;
        if current == given { Ok(()) } else { Err(Refusal::SessionOver { slot, given, current }) }
    }

    /// Refuses what a broker asks for in an earlier session, or while it is fenced.
    pub(super) fn check_unfenced(&self, slot: BrokerSlot, given: BrokerEpoch) -> Result<(), Refusal> {
        self.check_session(slot, given)?;
        if self.is_unfenced(slot) { Ok(()) } else { Err(Refusal::Fenced(slot)) }
    }

    /// Whether the broker in `slot` may lead and be in sync.
    pub fn is_unfenced(&self, slot: BrokerSlot) -> bool {
        self.brokers.get(&slot).is_some_and(|broker| !broker.is_fenced())
    }

    pub(super) fn reserve_producer_ids(&mut self, slot: BrokerSlot, session: BrokerEpoch) -> Result<Answer, Refusal> {
        self.check_session(slot, session)?;
        let incarnation = self.region.as_ref().ok_or(Refusal::NotFounded)?.incarnation;
        let count = limits::PRODUCER_ID_BLOCK;
        let exhausted = Refusal::ProducerIdsExhausted(incarnation);
        let first = ProducerId::of(incarnation, self.next_producer).ok_or_else(|| exhausted.clone())?;
        ProducerId::of(incarnation, self.next_producer + count - 1).ok_or(exhausted)?;
        self.next_producer += count;
        Ok(Answer::ProducerIds { first, count })
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{SLOT, founded, registered};
    use super::*;

    #[test]
    fn every_start_of_a_broker_is_a_new_session() {
        let (mut image, first) = registered();
        let session = image.registers(SLOT, Incarnation(1)).unwrap();
        assert!(session > first);
        let late = image.reserve_producer_ids(SLOT, first);
        assert_eq!(late, Err(Refusal::SessionOver { slot: SLOT, given: first, current: session }));
    }

    #[test]
    fn a_replaced_disk_is_not_taken_back() {
        let mut image = founded();
        image.registers(SLOT, Incarnation(4)).unwrap();
        let old = image.registers(SLOT, Incarnation(3));
        assert!(matches!(old, Err(Refusal::Replaced { given: Incarnation(3), .. })));
    }

    #[test]
    fn every_new_disk_has_an_incarnation_of_its_own() {
        let (mut image, _) = registered();
        let mut allot = || image.apply(super::super::Command::AllotIncarnation { slot: SLOT });
        assert_eq!(allot(), Ok(Answer::Allotted { incarnation: Incarnation(2) }));
        assert_eq!(allot(), Ok(Answer::Allotted { incarnation: Incarnation(3) }));
        image.registers(SLOT, Incarnation(3)).unwrap();
        let old = image.registers(SLOT, Incarnation(1));
        assert!(matches!(old, Err(Refusal::Replaced { .. })));
    }

    #[test]
    fn blocks_of_producer_ids_never_overlap_and_name_the_incarnation() {
        let (mut image, session) = registered();
        let mut block = || match image.reserve_producer_ids(SLOT, session) {
            Ok(Answer::ProducerIds { first, count }) => (first, count),
            other => panic!("{other:?}"),
        };
        let ((a, n), (b, _)) = (block(), block());
        assert_eq!(a.0 + n, b.0);
        assert_eq!(b.incarnation(), image.region().unwrap().incarnation);
    }

    #[test]
    fn producer_ids_run_out_with_a_refusal() {
        let (mut image, session) = registered();
        image.next_producer = (1 << 47) - 1;
        let refused = image.reserve_producer_ids(SLOT, session);
        assert!(matches!(refused, Err(Refusal::ProducerIdsExhausted(_))));
    }
}
