//! Brokers start, stop, and are paused.

use super::{World, slot, trace};
use crate::disk::SimLog;
use crate::event::{Event, Timer};
use crate::guard::Guard;
use crate::invariant::Fact;
use crate::marker::Marker;
use crate::net::{CLIENTS, Lane, Way};
use crate::process::{Process, Purpose, Session};
use broker_core::metadata::{Boot, Command, RULES};
use model::Incarnation;
use std::time::Duration;

impl World {
    /// Starts the broker: recovers its logs, and registers.
    pub(super) fn start(&mut self, broker: usize) {
        if self.processes[broker].is_some() {
            return;
        }
        self.lives += 1;
        trace!(self, "broker {broker} starts as life {}", self.lives);
        let mut process = Process::new(self.lives, self.settings.partitions, self.settings.lag_max);
        process.applied = self.random.below(self.quorum.len());
        process.stopped_in = self.disks[broker].stopped_in.take();
        self.disks[broker].life = self.lives;
        self.processes[broker] = Some(process);
        for log in &mut self.disks[broker].logs {
            log.failed = false;
            log.sync_now();
        }
        self.fact(&Fact::Recovered);
        self.remind(broker, (0, 10_000), Timer::Heartbeat);
        self.remind(broker, (0, 10_000), Timer::LookAtIsr);
        if self.without(Guard::RestartBootsFenced) && self.resume_session(broker) {
            return;
        }
        self.register(broker);
    }

    /// Goes on in the session before the start.
    fn resume_session(&mut self, broker: usize) -> bool {
        let index = self.quorum.len() - 1;
        let Some(known) = self.quorum.image().broker(slot(broker)) else { return false };
        let session = Session { epoch: known.session, is_ready: true };
        if let Some(process) = self.process(broker) {
            process.session = Some(session);
            process.applied = index;
            process.footing = Duration::MAX;
        }
        self.realise(broker);
        true
    }

    /// Begins a session.
    pub(super) fn register(&mut self, broker: usize) {
        let incarnation = Incarnation(self.disks[broker].incarnation as u16);
        let Some(process) = self.process(broker) else { return };
        if std::mem::replace(&mut process.is_registering, true) {
            return;
        }
        let (process, stopped_in) = (process.life, process.stopped_in);
        let boot = Boot { process, stopped_in, flushes_late: false, rules: RULES };
        let (slot, addresses, location) = (slot(broker), Default::default(), Default::default());
        let command = Command::RegisterBroker { slot, incarnation, addresses, location, desk: false, boot };
        self.propose(broker, Purpose::Register, command);
    }

    /// The process ends in order: everything is on disk, and it leaves word of that.
    pub(super) fn stop(&mut self, broker: usize) {
        let session = self.process(broker).and_then(|process| process.session).map(|session| session.epoch);
        let disk = &mut self.disks[broker];
        if disk.logs.iter().all(|log| !log.failed) {
            disk.logs.iter_mut().for_each(SimLog::sync_now);
            disk.stopped_in = session;
        }
        self.die(broker, false);
    }

    /// The process is gone; with `power` the machine's page cache too.
    pub(super) fn die(&mut self, broker: usize, power: bool) {
        if self.processes[broker].take().is_none() {
            return;
        }
        trace!(self, "broker {broker} dies{}", if power { " with its machine" } else { "" });
        for partition in 0..self.settings.partitions {
            let log = &mut self.disks[broker].logs[partition];
            let unsynced = log.flushed() < log.len();
            let before = log.flushed();
            let is_torn = log.crash(power, &mut self.random);
            debug_assert!(self.disks[broker].logs[partition].len() >= before);
            if unsynced && power {
                self.hit(Marker::CrashWithUnsynced);
            }
            if is_torn {
                self.hit(Marker::TornBatch);
            }
        }
        self.disks[broker].fails_next = false;
        if power {
            self.disks[broker].life = 0;
        }
        for way in self.ways(broker) {
            self.net.die(way);
        }
    }

    pub(super) fn lose_connections(&mut self, broker: usize) {
        for way in self.ways(broker) {
            self.net.reset(way);
        }
    }

    fn ways(&self, broker: usize) -> Vec<Way> {
        let clients = CLIENTS..CLIENTS + self.clients.len() + self.readers.len();
        let others = (0..self.settings.brokers).chain(clients);
        let lanes = [Lane::Replication, Lane::Controller, Lane::Client];
        others.flat_map(|other| lanes.map(|lane| (lane, broker, other))).collect()
    }

    pub(super) fn pause(&mut self, broker: usize, time: (u64, u64)) {
        let Some(process) = self.process(broker) else { return };
        process.is_paused = true;
        let life = process.life;
        trace!(self, "broker {broker} is paused");
        self.after(time, Event::Resume { broker, life });
    }

    pub(super) fn resume(&mut self, broker: usize, life: u64) {
        let Some(process) = self.process(broker).filter(|process| process.life == life && process.is_paused) else {
            return;
        };
        process.is_paused = false;
        let inbox = std::mem::take(&mut process.inbox);
        trace!(self, "broker {broker} goes on");
        self.hit(Marker::Paused);
        for event in inbox {
            self.agenda.add(self.now, event);
        }
    }
}
