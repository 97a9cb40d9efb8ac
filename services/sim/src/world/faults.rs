//! What goes wrong, and heals again.

use super::{World, slot, trace};
use crate::disk::SimLog;
use crate::event::Event;
use crate::marker::Marker;
use crate::net::{CLIENTS, Lane, Node};
use model::PartitionId;

impl World {
    /// Something goes wrong.
    pub(super) fn strike(&mut self) {
        if self.is_healed {
            return;
        }
        let (from, to) = self.settings.faults_every;
        self.after((from * 1000, to * 1000), Event::Fault);
        let victim = self.victim();
        match self.random.below(100) {
            0..14 => self.crash(victim, false),
            14..28 => self.crash(victim, true),
            28..31 => self.lose_all_power(),
            31..45 => self.pause(victim, (10_000, 500_000)),
            45..55 => self.isolate(victim),
            55..65 => self.cut_one_way(victim),
            65..71 => self.lose_connections(victim),
            71..75 => self.slow_down(victim),
            75..80 => self.learn_late(),
            80..83 => self.disks[victim].fails_next = !self.settings.late,
            83..86 => self.split(),
            86..90 => self.change_controller(),
            90..93 => self.stop_in_order(victim),
            _ => self.replace_disk(victim),
        }
    }

    /// Most faults meet those that matter: a leader, or the controller.
    fn victim(&mut self) -> usize {
        let id = PartitionId(self.random.below(self.settings.partitions) as i32);
        let leader = self.quorum.image().partition(self.topic, id).and_then(|known| known.leader);
        match (leader, self.random.below(4)) {
            (Some(leader), 0 | 1) => super::broker(leader.broker),
            (_, 2) if self.random.chance(40) => self.quorum.leader,
            _ => self.random.below(self.settings.brokers),
        }
    }

    fn crash(&mut self, victim: usize, power: bool) {
        let power = power && self.may_lose_cache(victim);
        self.die(victim, power);
        self.after((5000, 500_000), Event::Restart { broker: victim });
    }

    /// Whether the broker's page cache may be lost. Where acknowledgements do not wait for the disk only one may be lost at
    /// a time: until whoever lost it is in sync again, others have what it lacks in theirs only.
    fn may_lose_cache(&mut self, victim: usize) -> bool {
        if !self.settings.late {
            return true;
        }
        if self.doubtful.is_some_and(|lost| lost != victim && !self.is_whole(lost)) {
            return false;
        }
        self.doubtful = Some(victim);
        true
    }

    /// Whether the broker is in sync everywhere, with the log that it has.
    fn is_whole(&self, broker: usize) -> bool {
        let (image, life) = (self.quorum.image(), self.disks[broker].life);
        let is_known = image.broker(slot(broker)).is_some_and(|known| known.boot.process == life);
        let placed = (0..self.settings.partitions).filter_map(|id| image.partition(self.topic, PartitionId(id as i32)));
        let mut mine = placed.filter(|placed| placed.replicas.contains(&slot(broker)));
        is_known && mine.all(|placed| placed.isr.contains(&slot(broker)))
    }

    fn lose_all_power(&mut self) {
        self.hit(Marker::PowerLost);
        for broker in 0..self.settings.brokers {
            self.crash(broker, true);
        }
    }

    fn others(&self, victim: usize) -> Vec<Node> {
        let clients = CLIENTS..CLIENTS + self.clients.len() + self.readers.len();
        (0..self.settings.brokers).filter(|other| *other != victim).chain(clients).collect()
    }

    fn cut(&mut self, from: Node, to: Node, time: u64) {
        self.net.cut(from, to);
        self.agenda.add(self.now + std::time::Duration::from_micros(time), Event::HealCut { from, to });
    }

    /// Cut off from the other brokers; half the time from clients too.
    fn isolate(&mut self, victim: usize) {
        let (time, all) = (self.random.between(20_000..600_000), self.random.chance(50));
        self.hit(Marker::Isolated);
        trace!(self, "broker {victim} is isolated for {time} us");
        for other in self.others(victim).into_iter().filter(|other| all || *other < CLIENTS) {
            self.cut(victim, other, time);
            self.cut(other, victim, time);
        }
    }

    fn cut_one_way(&mut self, victim: usize) {
        let (time, outwards) = (self.random.between(20_000..600_000), self.random.chance(50));
        let one = self.random.chance(40).then(|| self.random.below(self.settings.brokers));
        self.hit(Marker::OneWayCut);
        trace!(self, "broker {victim} is cut off in one direction for {time} us");
        let others = self.others(victim).into_iter().filter(|other| *other < CLIENTS);
        for other in others.filter(|other| one.is_none_or(|one| one == *other)) {
            let (from, to) = if outwards { (victim, other) } else { (other, victim) };
            self.cut(from, to, time);
        }
    }

    pub(super) fn heal_cut(&mut self, from: Node, to: Node) {
        self.net.heal(from, to);
        self.release_held();
    }

    /// What was held back by cuts that are healed arrives.
    fn release_held(&mut self) {
        let held = std::mem::take(&mut self.held);
        for envelope in held {
            let (_, from, to) = envelope.way;
            if self.net.is_cut(from, to) {
                self.held.push(envelope);
            } else if self.net.arrives(envelope.way, envelope.connection) {
                self.hit(Marker::ArrivedLate);
                self.agenda.add(self.now, Event::Deliver(envelope));
            }
        }
    }

    /// Some brokers reach only each other, and the others too.
    fn split(&mut self) {
        let time = self.random.between(50_000..600_000);
        let sides: Vec<_> = (0..self.settings.brokers).map(|_| self.random.chance(50)).collect();
        trace!(self, "brokers are split for {time} us: {sides:?}");
        for (a, b) in (0..sides.len()).flat_map(|a| (0..sides.len()).map(move |b| (a, b))) {
            if sides[a] != sides[b] {
                self.cut(a, b, time);
            }
        }
    }

    /// Some brokers' nodes of the quorum are slow; now and then another controller takes office meanwhile.
    fn learn_late(&mut self) {
        for broker in 0..self.settings.brokers {
            if self.random.chance(50) {
                trace!(self, "broker {broker} hears late of the metadata");
                self.late[broker] = self.random.between(50_000..500_000);
                self.after((100_000, 900_000), Event::SpeedUp { broker });
            }
        }
        if self.random.chance(60) {
            self.change_controller();
        }
    }

    pub(super) fn speed_up(&mut self, broker: usize) {
        // Nobody waits for the disk: the system writes when it likes.
        self.disks[broker].sync = if self.settings.late { (20_000, 600_000) } else { (150, 1500) };
        self.late[broker] = 9000;
    }

    fn slow_down(&mut self, victim: usize) {
        self.disks[victim].sync = (5000, 150_000);
        self.after((50_000, 400_000), Event::SpeedUp { broker: victim });
    }

    fn stop_in_order(&mut self, victim: usize) {
        let Some(process) = self.process(victim).filter(|process| process.session.is_some()) else { return };
        process.is_leaving = true;
        process.footing = std::time::Duration::ZERO;
        self.remind(victim, (400_000, 500_000), crate::event::Timer::Leave);
        self.after((600_000, 800_000), Event::Restart { broker: victim });
    }

    /// A broker is gone for good, and another takes its place with an empty disk: once, where every record that was
    /// acknowledged is on two disks.
    fn replace_disk(&mut self, victim: usize) {
        let is_safe = self.replaced == 0 && self.settings.min_insync > 1 && !self.settings.late;
        if !is_safe || !self.quorum.image().brokers().any(|(known, _)| known == slot(victim)) {
            return;
        }
        self.die(victim, true);
        trace!(self, "broker {victim} comes back with an empty disk");
        self.hit(Marker::DiskReplaced);
        self.replaced += 1;
        self.disks[victim].incarnation += 1;
        self.disks[victim].logs.fill_with(SimLog::default);
        self.after((5000, 300_000), Event::Restart { broker: victim });
    }

    /// Nothing goes wrong any more.
    pub(super) fn heal_all(&mut self) {
        self.is_healed = true;
        trace!(self, "everything is healed");
        self.net.heal_all();
        self.release_held();
        for broker in 0..self.settings.brokers {
            self.speed_up(broker);
            self.disks[broker].fails_next = false;
            if let Some(life) = self.processes[broker].as_ref().map(|process| process.life) {
                self.resume(broker, life);
            }
            // A log that failed is recovered by a restart.
            let has_failed = self.disks[broker].logs.iter().any(|log| log.failed);
            if has_failed {
                self.die(broker, false);
            }
            self.after((1000, 50_000), Event::Restart { broker });
        }
        for lane in [Lane::Replication, Lane::Controller, Lane::Client] {
            self.net.reset((lane, 0, 1));
        }
        self.after((200_000, 300_000), Event::LookForEnd);
    }
}
