//! Small images for the tests of this module.

use super::{Addresses, Answer, Boot, BrokerEpoch, Command, Image, Location, RULES, Refusal, TopicDraft};
use model::{
    BrokerSlot, Coverage, Grant, GrantState, Incarnation, OwnershipEpoch, ProtectionGroup, RegionName, TopicId,
    TopicName, TopicState,
};
use std::collections::BTreeMap;

pub(crate) const SLOT: BrokerSlot = BrokerSlot(0);

pub(crate) fn region(name: &str) -> RegionName {
    RegionName::new(name).unwrap()
}

pub(crate) fn name(group: &str) -> ProtectionGroup {
    ProtectionGroup::new(group).unwrap()
}

pub(crate) fn grant(group: &str, owner: &str, epoch: u32) -> Grant {
    Grant {
        group: name(group),
        owner: region(owner),
        ownership_epoch: OwnershipEpoch(epoch),
        state: GrantState::Held,
        home: region("r1"),
        standbys: vec![region("r2")],
        coverage: Coverage::default(),
        openings: vec![],
        mode: model::ModeState::default(),
        active: None,
    }
}

/// The image of region r1.
pub(crate) fn founded() -> Image {
    let mut image = founded_before_rules();
    image.apply(Command::AdoptRules { reign: image.reign(), rules: RULES }).unwrap();
    image
}

/// The same as it is before its brokers know that they know newer rules.
pub(crate) fn founded_before_rules() -> Image {
    let mut image = Image::default();
    image.apply(Command::Found { region: region("r1"), incarnation: Incarnation(7) }).unwrap();
    image
}

/// The same with one broker.
pub(crate) fn registered() -> (Image, BrokerEpoch) {
    let mut image = founded();
    let session = register(&mut image, SLOT);
    (image, session)
}

/// The same with brokers in the slots `0..brokers`.
pub(crate) fn cluster(brokers: u16) -> Image {
    let mut image = founded();
    for slot in 0..brokers {
        register(&mut image, BrokerSlot(slot));
    }
    image
}

/// Begins a session of the broker in `slot` and lets it in.
pub(crate) fn register(image: &mut Image, slot: BrokerSlot) -> BrokerEpoch {
    register_as(image, slot, Boot::default())
}

/// The same with a word of its process.
pub(crate) fn register_as(image: &mut Image, slot: BrokerSlot, boot: Boot) -> BrokerEpoch {
    let session = image.registers_as(slot, Incarnation(1), boot).expect("a broker registers");
    let reign = image.reign();
    image.apply(Command::Unfence { reign, broker: slot, session }).expect("its session is the current one");
    session
}

impl Image {
    /// Begins a session of the broker in `slot`.
    pub(crate) fn registers(&mut self, slot: BrokerSlot, incarnation: Incarnation) -> Result<BrokerEpoch, Refusal> {
        self.registers_as(slot, incarnation, Boot::default())
    }

    fn registers_as(&mut self, slot: BrokerSlot, incarnation: Incarnation, boot: Boot) -> Result<BrokerEpoch, Refusal> {
        let (addresses, location) = (Addresses::default(), Location::default());
        let command = Command::RegisterBroker { slot, incarnation, addresses, location, desk: false, boot };
        match self.apply(command)? {
            Answer::Registered { session } => Ok(session),
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn draft(topic: &str, group: Option<&str>, partitions: usize) -> TopicDraft {
    let seed = topic.bytes().fold(1_u128, |seed, byte| seed * 31 + u128::from(byte));
    TopicDraft {
        id: TopicId(uuid::Uuid::from_u128(seed)),
        name: TopicName::new(topic).unwrap(),
        group: group.map(name),
        config: BTreeMap::new(),
        state: TopicState::Live,
        epochs_above: None,
        placement: vec![vec![SLOT]; partitions],
    }
}

pub(crate) fn create(image: &mut Image, topic: &str, group: Option<&str>, partitions: usize) -> TopicId {
    let draft = draft(topic, group, partitions);
    let id = draft.id;
    image.apply(Command::CreateTopic { council_index: None, topic: draft }).unwrap();
    id
}

pub(crate) fn local(image: &mut Image, topic: &str, partitions: usize) -> TopicId {
    create(image, topic, None, partitions)
}

/// A topic of group `group` whose partitions are placed as given.
pub(crate) fn create_on(image: &mut Image, topic: &str, group: Option<&str>, placement: &[&[u16]]) -> TopicId {
    let slots = |replicas: &&[u16]| replicas.iter().copied().map(BrokerSlot).collect();
    let draft = TopicDraft { placement: placement.iter().map(slots).collect(), ..draft(topic, group, 0) };
    let id = draft.id;
    image.apply(Command::CreateTopic { council_index: None, topic: draft }).unwrap();
    id
}

pub(crate) fn local_on(image: &mut Image, topic: &str, placement: &[&[u16]]) -> TopicId {
    create_on(image, topic, None, placement)
}
