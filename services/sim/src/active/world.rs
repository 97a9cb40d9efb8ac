use super::event::{Agenda, Event};
use super::links::Link;
use super::marker::Marker;
use super::oracle::{self, Truth};
use super::region::{Checked, Region};
use super::settings::{HEALING, HOUR, RECORD_BYTES, Settings, Topology};
use super::{Options, Outcome};
use crate::marker::Coverage;
use crate::random::Random;
use crate::run::Violation;
use mirror_core::active::{Asking, Dot, Partition, Policy, Routes};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct World {
    pub(super) options: Options,
    pub(super) settings: Settings,
    pub(super) random: Random,
    pub(super) now: Duration,
    agenda: Agenda,
    pub(super) regions: Vec<Region>,
    pub(super) links: Vec<Link>,
    /// What each region chose last.
    pub(super) routes: Vec<Routes>,
    pub(super) asking: Vec<Asking>,
    /// Nothing comes through from one to the other.
    pub(super) cuts: BTreeSet<(usize, usize)>,
    pub(super) truths: Vec<Truth>,
    pub(super) carried_bytes: u64,
    pub(super) coverage: Coverage<Marker>,
    lost: usize,
    violation: Option<Violation>,
    trace: String,
}

impl World {
    pub(super) fn new(options: Options) -> Self {
        let mut random = Random::new(options.seed);
        let settings = Settings::draw(&mut random);
        let regions = (0..settings.regions).map(|slot| Region::new(slot, &settings, options.without, &mut random));
        let links = settings.topology.links(settings.regions).into_iter().map(Link::new);
        let mut world = Self {
            options,
            now: Duration::ZERO,
            agenda: Agenda::default(),
            regions: regions.collect(),
            links: links.collect(),
            routes: vec![Routes::new(); settings.regions],
            asking: vec![Asking::default(); settings.regions],
            cuts: BTreeSet::new(),
            truths: Vec::new(),
            carried_bytes: 0,
            coverage: Coverage::default(),
            lost: 0,
            violation: None,
            trace: String::new(),
            settings,
            random,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for region in 0..self.regions.len() {
            self.write_later(region);
            self.settle_later(region);
        }
        (0..self.links.len()).for_each(|link| self.after(Duration::from_millis(link as u64), Event::Ask { link }));
        self.fault_later();
        self.agenda.add(HOUR, Event::HealAll);
        self.agenda.add(HOUR + HEALING, Event::End);
        self.coverage.hit(match self.settings.topology {
            Topology::Mesh => Marker::Mesh,
            Topology::Ring => Marker::Ring,
            Topology::RingBothWays => Marker::RingBothWays,
            Topology::Star => Marker::Star,
        });
    }

    pub(super) fn after(&mut self, delay: Duration, event: Event) {
        self.agenda.add(self.now + delay, event);
    }

    pub(super) fn delay(&mut self) -> Duration {
        let (least, most) = self.settings.delay;
        self.random.millis(least..most)
    }

    fn write_later(&mut self, region: usize) {
        let (least, most) = self.settings.writes_every;
        let pause = self.random.millis(least..most);
        self.after(pause, Event::Write { region });
    }

    fn settle_later(&mut self, region: usize) {
        let pause = self.random.millis(60_000..1_800_000);
        self.after(pause, Event::Settle { region });
    }

    fn fault_later(&mut self) {
        let (least, most) = self.settings.faults_every;
        let pause = self.random.millis(least..most);
        self.after(pause, Event::Fault);
    }

    pub(super) fn flush_soon(&mut self, region: usize) {
        let (life, flushed) = (self.regions[region].life, self.regions[region].flush());
        let delay = self.random.millis(1..self.settings.flush_max);
        self.after(delay, Event::Flush { region, life, flushed });
    }

    pub(super) fn run(&mut self) {
        while let Some((at, event)) = self.agenda.next() {
            self.now = at;
            if self.options.trace {
                let _ = writeln!(self.trace, "{at:?} {event:?}");
            }
            let is_end = matches!(event, Event::End);
            if let Err((invariant, what)) = self.handle(event) {
                let Options { seed, .. } = self.options;
                self.violation = Some(Violation { scenario: "active", seed, at, invariant, what });
            }
            if is_end || self.violation.is_some() {
                return;
            }
        }
    }

    fn handle(&mut self, event: Event) -> Checked {
        match event {
            Event::Write { region } => self.write(region),
            Event::Flush { region, life, flushed } => {
                if self.regions[region].life == life && !self.regions[region].flushed(flushed, &mut self.truths) {
                    self.flush_soon(region);
                }
            }
            Event::Ask { link } => self.ask(link),
            Event::Asked { connection, ask } => self.asked(connection, ask),
            Event::Answered { connection, answer } => return self.answered(connection, answer),
            Event::Overdue { link, ticket } => self.overdue(link, ticket),
            Event::Fault => self.fault(),
            Event::Heal { from, to } => drop(self.cuts.remove(&(from, to))),
            Event::Restart { region } => return self.restart(region),
            Event::Settle { region } => self.settle(region),
            Event::HealAll => return self.heal_all(),
            Event::End => return self.check(),
        }
        Ok(())
    }

    fn write(&mut self, region: usize) {
        if self.now >= HOUR {
            return;
        }
        if self.regions[region].is_up() {
            let count = 1 + self.random.below(3);
            let keys: Vec<_> = (0..count).map(|_| self.random_key()).collect();
            self.regions[region].write(self.now, &keys, &mut self.truths);
            self.flush_soon(region);
        }
        self.write_later(region);
    }

    fn random_key(&mut self) -> Option<u8> {
        let keys = self.settings.keys;
        (!self.random.chance(10)).then(|| self.random.below(keys) as u8)
    }

    /// A human settles what is in quarantine there.
    fn settle(&mut self, region: usize) {
        if self.now >= HOUR {
            return;
        }
        let quarantined = self.regions[region].partition().map(Partition::quarantined).unwrap_or_default();
        for dispute in quarantined {
            let known: Vec<Dot> = dispute.versions.iter().map(|(version, _)| version.dot).collect();
            let choice = known[self.random.below(known.len())];
            let partition = self.regions[region].partition().expect("it has disputes");
            let settlement = partition.settle(&dispute.key, choice, &known).expect("it is what was just listed");
            assert_eq!(settlement.over, known);
            self.regions[region].write(self.now, &[Some(dispute.key[0])], &mut self.truths);
            self.coverage.hit(Marker::Settled);
            self.flush_soon(region);
        }
        self.settle_later(region);
    }

    fn fault(&mut self) {
        if self.now >= HOUR {
            return;
        }
        match self.random.below(10) {
            0..6 => self.cut(),
            6..9 => self.crash(),
            _ => self.jump(),
        }
        self.fault_later();
    }

    fn cut(&mut self) {
        let link = self.random.below(self.links.len());
        let Link { source, target, .. } = self.links[link];
        let lasts = if self.random.chance(25) {
            self.random.millis(1_800_000..3_600_000)
        } else {
            self.random.millis(500..600_000)
        };
        if lasts > HOUR / 2 {
            self.coverage.hit(Marker::LongCut);
        }
        let one_way = self.random.chance(30);
        if one_way {
            self.coverage.hit(Marker::OneWayCut);
        }
        for (from, to) in [(source, target), (target, source)].into_iter().take(if one_way { 1 } else { 2 }) {
            self.cuts.insert((from, to));
            self.after(lasts, Event::Heal { from, to });
        }
    }

    fn crash(&mut self) {
        let region = self.random.below(self.regions.len());
        if self.regions[region].is_up() {
            self.regions[region].crash(&mut self.random, &mut self.coverage);
            let down = self.random.millis(500..120_000);
            self.after(down, Event::Restart { region });
        }
    }

    fn jump(&mut self) {
        let region = self.random.below(self.regions.len());
        let millis = self.random.between(0..1_200_000) as i64 - 600_000;
        self.regions[region].jump(millis);
        self.coverage.hit(Marker::ClockJump);
    }

    fn restart(&mut self, region: usize) -> Checked {
        if !self.regions[region].is_up() {
            self.regions[region].restart(&mut self.truths, &mut self.coverage)?;
            self.flush_soon(region);
        }
        Ok(())
    }

    fn heal_all(&mut self) -> Checked {
        self.cuts.clear();
        (0..self.regions.len()).try_for_each(|region| self.restart(region))
    }

    fn check(&mut self) -> Checked {
        let expected = oracle::expected(&self.truths, &self.settings.policy);
        self.lost = expected.lost.len();
        let written: BTreeSet<_> = (0..self.truths.len()).filter(|record| !self.truths[*record].gone).collect();
        for (slot, region) in self.regions.iter().enumerate() {
            let records = region.records();
            let held: BTreeSet<_> = records.iter().copied().collect();
            if held != written || held.len() != records.len() {
                let differ: Vec<_> =
                    held.symmetric_difference(&written).map(|record| self.truths[*record].dot).collect();
                return Err(("all-records-everywhere", format!("region {slot} differs in {differ:?}")));
            }
            let standing = region.standing(&self.truths);
            if standing != expected.standing {
                return Err((
                    "same-state-everywhere",
                    format!("region {slot} ends as {standing:?}, not {:?}", expected.standing),
                ));
            }
            let losers: BTreeSet<_> = region.losers().collect();
            if losers != expected.lost {
                let differ: Vec<_> = losers.symmetric_difference(&expected.lost).collect();
                return Err(("conflicts-exact", format!("the conflicts of region {slot} differ in {differ:?}")));
            }
        }
        self.check_let_go()?;
        self.count_policy();
        self.check_amplification()
    }

    /// Nothing is held for ever but what waits for a human.
    fn check_let_go(&mut self) -> Checked {
        if self.settings.policy == Policy::Quarantine {
            return Ok(());
        }
        for (slot, region) in self.regions.iter().enumerate() {
            let (held, forgotten) = region.partition().map_or((0, 0), Partition::versions);
            if held + forgotten as usize > 0 {
                return Err(("versions-let-go", format!("region {slot} holds {held} versions that all have received")));
            }
        }
        self.coverage.hit(Marker::LetGo);
        Ok(())
    }

    fn count_policy(&mut self) {
        if self.lost > 0 {
            self.coverage.hit(match self.settings.policy {
                Policy::LastWriterWins => Marker::LastWriterWins,
                Policy::RegionPriority { .. } => Marker::RegionPriority,
                Policy::KeepBoth => Marker::KeepBoth,
                Policy::Quarantine => Marker::Quarantine,
            });
        }
    }

    /// Each record once to each other region, and again to one that lost it before it was durable there.
    fn needed_bytes(&self) -> u64 {
        let records = self.truths.iter().filter(|truth| !truth.gone).count() as u64;
        let again: u64 = self.regions.iter().map(|region| region.carried_and_lost).sum();
        (records * (self.regions.len() as u64 - 1) + again) * RECORD_BYTES
    }

    fn amplification_permille(&self) -> u64 {
        self.carried_bytes * 1000 / self.needed_bytes().max(1)
    }

    fn check_amplification(&self) -> Checked {
        let permille = self.amplification_permille();
        if permille <= 1050 {
            return Ok(());
        }
        Err((
            "amplification",
            format!("{} bytes were carried where {} had to be", self.carried_bytes, self.needed_bytes()),
        ))
    }

    pub(super) fn outcome(self) -> Outcome {
        Outcome {
            written: self.truths.iter().filter(|truth| !truth.gone).count(),
            lost: self.lost,
            amplification_permille: self.amplification_permille(),
            violation: self.violation,
            coverage: self.coverage,
            trace: self.trace,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topology_joins_all_regions() {
        for topology in [Topology::Mesh, Topology::Ring, Topology::RingBothWays, Topology::Star] {
            for regions in 2..5 {
                let links = topology.links(regions);
                let mut reached = BTreeSet::from([1]);
                for _ in 0..regions {
                    let next: Vec<_> =
                        links.iter().filter(|(from, _)| reached.contains(from)).map(|(_, to)| *to).collect();
                    reached.extend(next);
                }
                assert_eq!(reached.len(), regions, "{topology:?} of {regions}");
            }
        }
    }
}
