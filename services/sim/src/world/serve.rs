//! A leader serves those who follow it.

use super::{World, slot};
use crate::disk::Looked;
use crate::event::{Message, Timer};
use crate::guard::Guard;
use crate::marker::Marker;
use crate::net::{Lane, Node};
use crate::process::Parked;
use broker_core::follower::{Answer, EpochEnd, Fence, Fetch, LogView, Trouble, divergence};
use broker_core::metadata::BrokerEpoch;
use broker_core::partition::{Looked as Found, ReplicaRefusal};
use bytes::Bytes;
use model::Offset;
use std::time::Duration;

/// How long a fetch waits for something to tell.
const PARK: Duration = Duration::from_millis(40);

impl World {
    pub(super) fn on_fetch(
        &mut self,
        broker: usize,
        partition: usize,
        from: Node,
        session: BrokerEpoch,
        fetch: Fetch,
        request: u64,
    ) {
        let (now, session) = (self.local(broker), self.believed(broker, partition, from, session));
        if let Some(process) = self.process(broker) {
            process.heard.insert(slot(from), (session, now));
        }
        if let Err(trouble) = self.look(broker, partition, from, session, &fetch) {
            let message =
                Message::Answer { partition, answer: self.answer(broker, partition, &fetch, trouble), request };
            return self.send((Lane::Replication, broker, from), message);
        }
        let parked = Parked { from, fetch, request, until: self.now + PARK };
        let Some(replica) = self.replica(broker, partition) else { return };
        // A follower waits for one answer at a time.
        replica.parked.retain(|other| other.from != from);
        replica.parked.push(parked);
        self.wake_parked(broker, partition);
        let wait = PARK.as_micros() as u64;
        self.remind(broker, (wait, wait + 100), Timer::ParkedDue { partition });
    }

    /// Whether the follower's log may be counted and read on; otherwise what to tell it.
    fn look(
        &mut self,
        broker: usize,
        partition: usize,
        from: Node,
        session: BrokerEpoch,
        fetch: &Fetch,
    ) -> Result<(), Told> {
        if let Err(refusal) = self.admit(broker, partition, from, session, fetch.fence) {
            return Err(Told { diverging: None, trouble: Some(trouble(refusal)) });
        }
        if self.without(Guard::TruncateByEpoch) || self.without(Guard::CountAgreeingOnly) {
            return self.count_unseen(broker, partition, from, session, fetch);
        }
        let (now, log) = (self.local(broker), Looked { log: &self.disks[broker].logs[partition], durable: 0 });
        let Some(process) = self.processes[broker].as_mut() else { return Ok(()) };
        let core = &mut process.replicas[partition].core;
        let looked = core.look_at_replica(now, (slot(from), session), fetch, &log);
        let (looked, counted) = looked.map_err(|refusal| Told { diverging: None, trouble: Some(trouble(refusal)) })?;
        self.settle(broker, partition, counted);
        match looked {
            Found::Agrees => Ok(()),
            Found::Diverged(end) => {
                self.hit(Marker::Diverged);
                Err(Told { diverging: Some(end), trouble: None })
            }
            Found::OutOfRange => Err(Told { diverging: None, trouble: Some(Trouble::OutOfRange) }),
        }
    }

    /// Counts what the follower holds although its log may have left this one.
    fn count_unseen(
        &mut self,
        broker: usize,
        partition: usize,
        from: Node,
        session: BrokerEpoch,
        fetch: &Fetch,
    ) -> Result<(), Told> {
        let now = self.local(broker);
        let looked = Looked { log: &self.disks[broker].logs[partition], durable: 0 };
        let (end, tail) = (divergence(&looked, fetch.from, fetch.last_epoch), looked.tail());
        let end = end.filter(|_| !self.without(Guard::TruncateByEpoch));
        if fetch.from > tail && end.is_none() {
            return Err(Told { diverging: None, trouble: Some(Trouble::OutOfRange) });
        }
        let durable = fetch.durable.min(fetch.from);
        let counted = self.replica(broker, partition).map(|r| r.core.on_fetch(now, slot(from), session, durable));
        self.settle(broker, partition, counted.unwrap_or_default());
        end.map_or(Ok(()), |end| Err(Told { diverging: Some(end), trouble: None }))
    }

    fn admit(
        &mut self,
        broker: usize,
        partition: usize,
        from: Node,
        session: BrokerEpoch,
        fence: Fence,
    ) -> Result<(), ReplicaRefusal> {
        let Some(replica) = self.replica(broker, partition) else { return Err(ReplicaRefusal::NotLeader) };
        let admitted = replica.core.admit_replica(slot(from), session, fence);
        match admitted {
            Err(ReplicaRefusal::Fenced { .. }) => self.hit(Marker::FetchFenced),
            Err(ReplicaRefusal::NotLeader | ReplicaRefusal::NotYet { .. }) => self.hit(Marker::FetchNotLed),
            Err(ReplicaRefusal::OldSession { .. }) => self.hit(Marker::OldSessionRefused),
            Err(ReplicaRefusal::Stranger(_)) | Ok(()) => {}
        }
        admitted
    }

    /// The session a follower's word is counted for.
    fn believed(&self, broker: usize, _: usize, from: Node, session: BrokerEpoch) -> BrokerEpoch {
        if !self.without(Guard::SessionInProgress) {
            return session;
        }
        let applied = self.processes[broker].as_ref().map_or(0, |process| process.applied);
        self.quorum.image_at(applied).broker(slot(from)).map_or(session, |known| known.session)
    }

    pub(super) fn on_progress(
        &mut self,
        broker: usize,
        partition: usize,
        from: Node,
        session: BrokerEpoch,
        fence: Fence,
        durable: Offset,
    ) {
        let (now, session) = (self.local(broker), self.believed(broker, partition, from, session));
        if self.admit(broker, partition, from, session, fence).is_err() {
            return;
        }
        let outcome = self.replica(broker, partition).map(|r| r.core.on_progress(now, slot(from), session, durable));
        self.settle(broker, partition, outcome.unwrap_or_default());
    }

    /// Answers the fetches for which there is something to tell, or whose time is up.
    pub(super) fn wake_parked(&mut self, broker: usize, partition: usize) {
        let Some(replica) = self.replica(broker, partition) else { return };
        if replica.parked.is_empty() {
            return;
        }
        let parked = std::mem::take(&mut replica.parked);
        for one in parked {
            if !self.serve(broker, partition, one)
                && let Some(replica) = self.replica(broker, partition)
            {
                replica.parked.push(one);
            }
        }
    }

    /// Whether the fetch was answered.
    fn serve(&mut self, broker: usize, partition: usize, one: Parked) -> bool {
        let Parked { from, fetch, request, .. } = one;
        let is_led = self.leads_under(broker, partition, fetch.fence);
        let told = match is_led {
            true => Told { diverging: None, trouble: None },
            false => Told { diverging: None, trouble: Some(Trouble::Fenced) },
        };
        let answer = self.answer(broker, partition, &fetch, told);
        let is_news = !is_led || !answer.batches.is_empty() || self.now >= one.until;
        if is_news {
            self.send((Lane::Replication, broker, from), Message::Answer { partition, answer, request });
        }
        is_news
    }

    fn answer(&mut self, broker: usize, partition: usize, fetch: &Fetch, told: Told) -> Answer {
        let high_watermark = Offset(self.replica(broker, partition).map_or(0, |replica| replica.shown) as i64);
        let (kept, log) = (self.kept(broker, partition), &self.disks[broker].logs[partition]);
        let is_read = told.diverging.is_none() && told.trouble.is_none();
        let from = fetch.from.0 as usize;
        let mut batches = match is_read && from < kept {
            true => log.read(from, 6, kept),
            false => Bytes::new(),
        };
        if self.random.chance(5) && batches.len() > 80 {
            batches.truncate(batches.len() - 7);
        }
        Answer {
            fence: fetch.fence,
            from: fetch.from,
            diverging: told.diverging,
            trouble: told.trouble,
            high_watermark,
            log_start: Offset::ZERO,
            baseline: model::Baseline::default(),
            first_offset: fetch.from,
            batches,
        }
    }
}

/// What an answer says instead of records.
struct Told {
    diverging: Option<EpochEnd>,
    trouble: Option<Trouble>,
}

fn trouble(refusal: ReplicaRefusal) -> Trouble {
    match refusal {
        ReplicaRefusal::Fenced { .. } | ReplicaRefusal::OldSession { .. } => Trouble::Fenced,
        ReplicaRefusal::NotLeader | ReplicaRefusal::NotYet { .. } | ReplicaRefusal::Stranger(_) => Trouble::NotLeader,
    }
}
