//! A leader keeps its in-sync set.

use super::{World, slot, trace};
use crate::event::Timer;
use crate::guard::Guard;
use crate::marker::Marker;
use crate::process::Purpose;
use broker_core::metadata::{Command, Image, Refusal};
use broker_core::partition::{IsrChange, Peer, Placement};
use model::{BrokerSlot, PartitionId};

impl World {
    pub(super) fn look_at_isrs(&mut self, broker: usize) {
        let every = self.settings.lag_max.as_micros() as u64 / 4;
        self.remind(broker, (every, every * 2), Timer::LookAtIsr);
        for partition in 0..self.settings.partitions {
            self.look_at_isr(broker, partition);
        }
    }

    /// Looks who is in sync, and asks for another set if need be.
    pub(super) fn look_at_isr(&mut self, broker: usize, partition: usize) {
        let now = self.local(broker);
        let Some(process) = self.processes[broker].as_mut() else { return };
        if process.replicas[partition].leads().is_none() {
            return;
        }
        // A change that is asked for and not answered is not asked for twice at once.
        let is_asked =
            |purpose: &Purpose| matches!(purpose, Purpose::Isr { partition: asked, .. } if *asked == partition);
        let waits = process.proposals.values().any(is_asked);
        let image = self.quorum.image_at(process.applied).clone();
        let heard = process.heard.clone();
        let replica = &mut process.replicas[partition];
        let proposed = replica.core.propose_isr(now, |other| peer(&image, &heard, other));
        let proposed = proposed.or_else(|| replica.core.proposal());
        self.advance(broker, partition);
        if let Some(change) = proposed.filter(|_| !waits) {
            self.ask_for(broker, partition, &image, change);
        }
    }

    fn ask_for(&mut self, broker: usize, partition: usize, image: &Image, change: IsrChange) {
        let Some(session) = self.processes[broker].as_ref().and_then(|process| process.session) else { return };
        let IsrChange { partition_epoch, isr, joined } = change;
        self.hit(if joined.is_empty() { Marker::IsrShrank } else { Marker::IsrGrew });
        trace!(self, "broker {broker} wants {isr:?} in sync with {partition}");
        if self.without(Guard::MaximalIsr) {
            self.assume(broker, partition, image, &isr, partition_epoch);
        }
        let command = Command::ChangeIsr {
            topic: self.topic,
            partition: PartitionId(partition as i32),
            leader: slot(broker),
            session: session.epoch,
            partition_epoch,
            isr,
            joined,
        };
        self.propose(broker, Purpose::Isr { partition, partition_epoch }, command);
    }

    /// Takes what is asked for as if it was agreed on.
    fn assume(&mut self, broker: usize, partition: usize, image: &Image, isr: &[BrokerSlot], epoch: u32) {
        let now = self.local(broker);
        let Some(placed) = image.partition(self.topic, PartitionId(partition as i32)) else { return };
        let placement = Placement { me: slot(broker), replicas: &placed.replicas, isr, partition_epoch: epoch + 1 };
        let outcome = self.replica(broker, partition).map(|replica| replica.core.place(now, placement));
        self.settle(broker, partition, outcome.unwrap_or_default());
    }

    pub(super) fn on_isr_refused(&mut self, broker: usize, partition: usize, epoch: u32, refusal: &Refusal) {
        let now = self.local(broker);
        let outcome = self.replica(broker, partition).map(|replica| replica.core.on_isr_refused(now, epoch, refusal));
        self.settle(broker, partition, outcome.unwrap_or_default());
    }
}

type Heard = std::collections::BTreeMap<BrokerSlot, (broker_core::metadata::BrokerEpoch, std::time::Duration)>;

/// What is known of another broker.
fn peer(image: &Image, heard: &Heard, other: BrokerSlot) -> Option<Peer> {
    let known = image.broker(other)?;
    let heard_at = heard.get(&other).filter(|(session, _)| *session == known.session).map(|(_, at)| *at);
    Some(Peer { session: known.session, in_service: !known.is_fenced(), heard_at })
}
