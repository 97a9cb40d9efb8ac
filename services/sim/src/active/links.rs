use super::event::{Answer, Connection, Event};
use super::guard::Guard;
use super::marker::Marker;
use super::region::Checked;
use super::settings::{RECORD_BYTES, incarnation};
use super::world::World;
use mirror_core::active::{self, Ask, Path, Portion, Routes, Vector, select};
use model::{Incarnation, Offset};
use std::sync::Arc;
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(4);
/// What a portion takes on the line beside its records.
const PORTION_BYTES: u64 = 64;

/// One link as its target sees it.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) source: usize,
    pub(super) target: usize,
    pub(super) ticket: u64,
    pub(super) up: bool,
    pub(super) holds: Vector,
}

impl Link {
    pub(super) fn new((source, target): (usize, usize)) -> Self {
        Self { source, target, ticket: 0, up: true, holds: Vector::default() }
    }
}

impl World {
    fn connection(&self, link: usize) -> Connection {
        let Link { source, target, ticket, .. } = self.links[link];
        Connection { link, ticket, lives: (self.regions[source].life, self.regions[target].life) }
    }

    /// Whether what is sent over it from one end arrives at the other.
    fn arrives(&self, connection: Connection, (from, to): (usize, usize)) -> bool {
        let Link { source, target, ticket, .. } = self.links[connection.link];
        let lives = (self.regions[source].life, self.regions[target].life);
        let both = self.regions[source].is_up() && self.regions[target].is_up();
        both && lives == connection.lives && ticket == connection.ticket && !self.cuts.contains(&(from, to))
    }

    pub(super) fn ask(&mut self, link: usize) {
        let Link { source, target, .. } = self.links[link];
        self.links[link].ticket += 1;
        let ticket = self.links[link].ticket;
        self.after(PATIENCE, Event::Overdue { link, ticket });
        let Some(have) = self.regions[target].partition().map(|partition| partition.received().clone()) else { return };
        let wanted = self.wanted(link);
        let ask = Ask { target: incarnation(target), have, wanted, records_max: self.settings.records_max };
        let connection = self.connection(link);
        if self.cuts.contains(&(target, source)) || !self.regions[source].is_up() {
            return;
        }
        let delay = self.delay();
        self.after(delay, Event::Asked { connection, ask });
    }

    fn wanted(&mut self, link: usize) -> Vec<Incarnation> {
        let (source, target) = (incarnation(self.links[link].source), self.links[link].target);
        let others = (0..self.regions.len()).map(incarnation).filter(|origin| *origin != incarnation(target));
        if self.options.without == Some(Guard::OneLinkPerOrigin) {
            return others.collect();
        }
        let origins: Vec<_> = others.collect();
        let routes = self.route(target, &origins);
        let has_link = |origin: Incarnation| {
            self.links.iter().any(|link| link.target == target && incarnation(link.source) == origin)
        };
        if routes.iter().any(|(origin, via)| origin != via && has_link(*origin)) {
            self.coverage.hit(Marker::Detour);
        }
        let wanted = origins.into_iter().filter(|origin| routes.get(origin) == Some(&source));
        let wanted = self.asking[target].begin(source, wanted);
        self.routes[target] = routes;
        wanted
    }

    fn route(&self, target: usize, origins: &[Incarnation]) -> Routes {
        let links = self.links.iter().filter(|link| link.target == target);
        let path = |link: &Link| Path { source: incarnation(link.source), up: link.up, holds: link.holds.clone() };
        let paths: Vec<_> = links.map(path).collect();
        let nothing = Vector::default();
        let received = self.regions[target].partition().map_or(&nothing, active::Partition::received);
        active::assign(incarnation(target), origins, &paths, received, &self.routes[target])
    }

    pub(super) fn asked(&mut self, connection: Connection, ask: Ask) {
        let Link { source, target, .. } = self.links[connection.link];
        if !self.arrives(connection, (target, source)) {
            return self.lose();
        }
        let answer = self.answer(source, ask);
        if self.cuts.contains(&(source, target)) {
            return self.lose();
        }
        let delay = self.delay();
        self.after(delay, Event::Answered { connection, answer });
    }

    fn lose(&mut self) {
        self.coverage.hit(Marker::Lost);
    }

    fn answer(&mut self, source: usize, mut ask: Ask) -> Answer {
        let region = &self.regions[source];
        let partition = region.partition().expect("it was just up");
        let (without, readable) = (self.options.without, region.readable());
        match without {
            Some(Guard::OriginFilter) => ask.have = Vector::default(),
            Some(Guard::WaitForSeen) => {
                let missing = partition.received().iter().filter(|(origin, _)| !ask.wanted.contains(origin));
                missing.for_each(|(origin, tail)| ask.have.advance(origin, tail));
            }
            _ => {}
        }
        let mut portions = select(partition.log(), readable, &ask);
        if portions.is_empty() && ask.wanted.iter().any(|origin| lacks(partition, readable, &ask, *origin)) {
            self.coverage.hit(Marker::KeptBack);
        }
        if without == Some(Guard::SeenAtWrite) {
            portions.iter_mut().for_each(|portion| portion.written.seen = seen_now(partition, portion, &ask));
        }
        let durable = if without == Some(Guard::RowsDurable) { partition.log().tail() } else { readable };
        let mut rows = partition.rows(durable);
        if without == Some(Guard::RowsInOrder) {
            rows.iter_mut().for_each(|row| row.from = Offset::ZERO);
        }
        let received = partition.received().clone();
        let region = &self.regions[source];
        let records = |portion: &Portion| -> Vec<usize> {
            (portion.range.start.0..portion.range.end.0).filter_map(|at| region.record_at(Offset(at))).collect()
        };
        Answer {
            portions: portions.into_iter().map(|portion| (portion.clone(), records(&portion))).collect(),
            rows,
            received,
        }
    }

    pub(super) fn answered(&mut self, connection: Connection, answer: Answer) -> Checked {
        let Link { source, target, .. } = self.links[connection.link];
        if !self.arrives(connection, (source, target)) {
            self.lose();
            return Ok(());
        }
        self.asking[target].end(incarnation(source));
        self.carried_bytes += answer.records() * RECORD_BYTES + answer.portions.len() as u64 * PORTION_BYTES;
        let link = &mut self.links[connection.link];
        (link.up, link.holds) = (true, answer.received);
        link.ticket += 1;
        for portion in &answer.portions {
            if !self.regions[target].take(self.now, portion, &self.truths, &mut self.coverage)? {
                break;
            }
        }
        self.regions[target].repeat(&mut self.coverage);
        self.regions[target].note(&answer.rows);
        self.flush_soon(target);
        let pause = if answer.portions.is_empty() { 50..self.settings.idle_max } else { 1..5 };
        let pause = self.random.millis(pause);
        self.after(pause, Event::Ask { link: connection.link });
        Ok(())
    }

    pub(super) fn overdue(&mut self, link: usize, ticket: u64) {
        if self.links[link].ticket == ticket {
            let Link { source, target, .. } = self.links[link];
            self.links[link].up = false;
            self.asking[target].end(incarnation(source));
            let pause = self.random.millis(50..self.settings.idle_max);
            self.after(pause, Event::Ask { link });
        }
    }
}

/// What the source has of others by now, as far as the target has it too.
fn seen_now(partition: &active::Partition, portion: &Portion, ask: &Ask) -> Arc<Vector> {
    let of_others = partition.received().iter().filter(|(origin, _)| *origin != portion.written.origin);
    Arc::new(of_others.map(|(origin, tail)| (origin, tail.min(ask.have.tail(origin)))).collect())
}

fn lacks(partition: &active::Partition, readable: Offset, ask: &Ask, origin: Incarnation) -> bool {
    let first = partition.log().first_from(origin, ask.have.tail(origin));
    origin != ask.target && first.is_some_and(|local| local < readable)
}
