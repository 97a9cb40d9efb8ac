//! The whole region, and the loop that lets it happen.

mod clients;
mod converge;
mod facts;
mod faults;
mod follow;
mod heart;
mod isr;
mod lead;
mod lifecycle;
mod office;
mod quorum;
mod readers;
mod realise;
mod serve;

use crate::clock::SimClock;
use crate::disk::SimDisk;
use crate::event::{Agenda, Envelope, Event, Message, Timer};
use crate::guard::Guard;
use crate::history::{History, Promised};
use crate::invariant::{self, Invariant};
use crate::marker::{Coverage, Marker};
use crate::net::{SimNet, Way};
use crate::process::{Process, Replica};
use crate::random::Random;
use crate::run::{Outcome, Violation};
use crate::settings::{Options, Settings};
use clients::Client;
use model::{BrokerSlot, TopicId};
use quorum::Quorum;
use readers::Reader;
use std::time::Duration;

/// Writes a line of the trace, if there is one.
macro_rules! trace {
    ($world:expr, $($arg:tt)*) => {
        if $world.options.trace {
            use std::fmt::Write;
            let _ = write!($world.trace, "{:>12?} ", $world.now);
            let _ = writeln!($world.trace, $($arg)*);
        }
    };
}
pub(crate) use trace;

pub(crate) struct World {
    options: Options,
    settings: Settings,
    random: Random,
    now: Duration,
    agenda: Agenda,
    net: SimNet,
    clocks: Vec<SimClock>,
    disks: Vec<SimDisk>,
    processes: Vec<Option<Process>>,
    lives: u64,
    /// Numbers requests, rounds and proposals.
    count: u64,
    quorum: Quorum,
    topic: TopicId,
    clients: Vec<Client>,
    readers: Vec<Reader>,
    history: History,
    invariants: Vec<Box<dyn Invariant>>,
    replaced: usize,
    /// Who lost its page cache last: until it is back in sync everywhere it may lack what was acknowledged.
    doubtful: Option<usize>,
    /// How late brokers hear of the metadata, at most, in microseconds.
    late: Vec<u64>,
    is_healed: bool,
    is_done: bool,
    held: Vec<Envelope>,
    coverage: Coverage,
    violation: Option<Violation>,
    events: u64,
    trace: String,
}

impl World {
    pub(crate) fn new(options: Options) -> Self {
        let mut random = Random::new(options.seed);
        let settings = Settings::draw(options.seed, &mut random);
        let (brokers, partitions) = (settings.brokers, settings.partitions);
        let topic = TopicId(uuid::Uuid::from_u128(7));
        let mut world = Self {
            options,
            now: Duration::ZERO,
            agenda: Agenda::default(),
            net: SimNet::new(settings.delay.0..settings.delay.1),
            clocks: (0..brokers).map(|_| SimClock::new(&mut random)).collect(),
            disks: vec![SimDisk::new(partitions); brokers],
            processes: (0..brokers).map(|_| None).collect(),
            lives: 0,
            count: 0,
            quorum: Quorum::founded(&settings, topic),
            topic,
            clients: Client::draw(partitions, &mut random),
            readers: Reader::of_all(partitions),
            history: History { partitions: vec![Promised::default(); partitions] },
            invariants: invariant::all(),
            replaced: 0,
            doubtful: None,
            late: vec![9000; brokers],
            is_healed: false,
            is_done: false,
            held: vec![],
            coverage: Coverage::default(),
            violation: None,
            events: 0,
            trace: String::new(),
            settings,
            random,
        };
        (0..brokers).for_each(|broker| world.speed_up(broker));
        world.begin();
        world
    }

    fn begin(&mut self) {
        trace!(self, "{:?}", self.settings);
        for broker in 0..self.settings.brokers {
            self.after((0, 5000), Event::Restart { broker });
        }
        for client in 0..self.clients.len() {
            self.after((0, 200_000), Event::Produce { client });
        }
        for reader in 0..self.readers.len() {
            self.after((0, 200_000), Event::Read { reader });
        }
        self.after((1000, 2000), Event::WatchController);
        self.after((100_000, 400_000), Event::Fault);
        self.agenda.add(self.settings.heal_at, Event::HealAll);
    }

    /// Lets everything happen until it has come together, or must not go on.
    pub(crate) fn run(&mut self) {
        while self.violation.is_none() && !self.is_done {
            let Some((at, event)) = self.agenda.next() else { break };
            self.now = at;
            self.events += 1;
            self.handle(event);
        }
    }

    pub(crate) fn outcome(self) -> Outcome {
        let acked = self.history.partitions.iter().map(|partition| partition.acked.len()).sum();
        let Self { violation, coverage, events, trace, .. } = self;
        Outcome { violation, coverage, acked, events, trace }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Deliver(envelope) => self.deliver(envelope),
            Event::Timer { broker, life, timer } => {
                if let Some(event) = self.awake(broker, life, Event::Timer { broker, life, timer }) {
                    let Event::Timer { timer, .. } = event else { return };
                    self.on_timer(broker, timer);
                }
            }
            Event::Propose { broker, life, proposal, command, tries } => {
                self.on_propose((broker, life, proposal), command, tries);
            }
            Event::Proposed { broker, life, proposal, index, outcome } => {
                let event = Event::Proposed { broker, life, proposal, index, outcome };
                if let Some(Event::Proposed { outcome, .. }) = self.awake(broker, life, event) {
                    self.on_proposed(broker, proposal, index, outcome);
                }
            }
            Event::Learn { broker, index } => self.on_learn(broker, index),
            Event::Produce { client } => self.send_next(client),
            Event::ProduceOverdue { client, request } => self.on_produce_overdue(client, request),
            Event::Read { reader } => self.read_next(reader),
            Event::ReadOverdue { reader, request } => self.on_read_overdue(reader, request),
            Event::Fault => self.strike(),
            Event::Restart { broker } => self.start(broker),
            Event::Resume { broker, life } => self.resume(broker, life),
            Event::HealCut { from, to } => self.heal_cut(from, to),
            Event::SpeedUp { broker } => self.speed_up(broker),
            Event::WatchController => self.watch_controller(),
            Event::HealAll => self.heal_all(),
            Event::LookForEnd => self.look_for_end(),
        }
    }

    /// The event again, if it is for a process that is there and not paused.
    fn awake(&mut self, broker: usize, life: u64, event: Event) -> Option<Event> {
        let process = self.processes[broker].as_mut().filter(|process| process.life == life)?;
        if process.is_paused {
            process.inbox.push(event);
            return None;
        }
        Some(event)
    }

    fn deliver(&mut self, envelope: Envelope) {
        let (_, from, to) = envelope.way;
        if !self.net.arrives(envelope.way, envelope.connection) {
            return;
        }
        if self.net.is_cut(from, to) {
            // It is sent again when the cut is healed, unless the connection is given up before.
            self.held.push(envelope);
            return;
        }
        if to >= crate::net::CLIENTS {
            return self.on_message(envelope);
        }
        let Some(life) = self.processes[to].as_ref().map(|process| process.life) else { return };
        if let Some(Event::Deliver(envelope)) = self.awake(to, life, Event::Deliver(envelope)) {
            self.on_message(envelope);
        }
    }

    fn on_message(&mut self, envelope: Envelope) {
        let Envelope { way, connection, message } = envelope;
        let (_, from, to) = way;
        trace!(self, "{from} -> {to} {message:?}");
        match message {
            Message::Fetch { partition, session, fetch, request } => {
                self.on_fetch(to, partition, from, session, fetch, request);
            }
            Message::Answer { partition, answer, request } => self.on_answer(to, partition, answer, request),
            Message::Progress { partition, session, fence, durable } => {
                self.on_progress(to, partition, from, session, fence, durable);
            }
            Message::Beat { beat, asked_at } => self.on_beat(to, from, beat, asked_at),
            Message::Verdict { verdict, session, asked_at } => self.on_verdict(to, verdict, session, asked_at),
            Message::AskTails { round, wanted } => self.on_ask_tails(to, from, round, &wanted),
            Message::Tails { round, tails } => self.on_tails(to, from, round, tails),
            Message::Produce { partition, request, draft, all } => {
                self.on_produce(to, partition, (from, connection, request), draft, all);
            }
            Message::Produced { request, is_acked } => self.on_produced(to, request, is_acked),
            Message::Read { partition, request, from: at } => self.on_read(to, partition, (from, request), at),
            Message::Records { request, partition, from: at, entries, end } => {
                self.on_records((to, request), partition, at, &entries, end);
            }
        }
    }

    fn on_timer(&mut self, broker: usize, timer: Timer) {
        match timer {
            Timer::Heartbeat => self.beat(broker),
            Timer::Office { term } => self.judge(broker, term),
            Timer::TailsDue { round } => self.on_tails_due(broker, round),
            Timer::LookAtIsr => self.look_at_isrs(broker),
            Timer::LookSoon { partition } => self.look_at_isr(broker, partition),
            Timer::FetchNow { partition } => self.fetch(broker, partition),
            Timer::FetchOverdue { partition, request } => self.on_fetch_overdue(broker, partition, request),
            Timer::Change { partition, fence, commands } => self.change(broker, partition, fence, commands),
            Timer::Synced { partition } => self.on_synced(broker, partition),
            Timer::ParkedDue { partition } => self.wake_parked(broker, partition),
            Timer::AcksDue { partition } => self.on_acks_due(broker, partition),
            Timer::Await { partition, asker, taken } => self.await_ack(broker, partition, asker, taken),
            Timer::Confirmed { term, from, beat, asked_at, heard_at } => {
                self.on_confirmed(broker, term, from, beat, (asked_at, heard_at));
            }
            Timer::ProposalOverdue { proposal } => self.on_proposal_overdue(broker, proposal),
            Timer::Leave => self.stop(broker),
        }
    }

    /// Has `event` happen after some microseconds of the range.
    fn after(&mut self, range: (u64, u64), event: Event) {
        let at = self.now + self.random.micros(range.0..range.1);
        self.agenda.add(at, event);
    }

    /// Has the process of `broker` reminded after some microseconds of the range.
    fn remind(&mut self, broker: usize, range: (u64, u64), timer: Timer) {
        if let Some(life) = self.processes[broker].as_ref().map(|process| process.life) {
            self.after(range, Event::Timer { broker, life, timer });
        }
    }

    fn send(&mut self, way: Way, message: Message) {
        let (at, connection) = self.net.send(self.now, way, &mut self.random);
        self.agenda.add(at, Event::Deliver(Envelope { way, connection, message }));
    }

    fn number(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// What the clock of `broker` shows.
    fn local(&self, broker: usize) -> Duration {
        self.clocks[broker].at(self.now)
    }

    fn without(&self, guard: Guard) -> bool {
        self.options.without == Some(guard)
    }

    fn hit(&mut self, marker: Marker) {
        self.coverage.hit(marker);
    }

    fn process(&mut self, broker: usize) -> Option<&mut Process> {
        self.processes[broker].as_mut()
    }

    fn replica(&mut self, broker: usize, partition: usize) -> Option<&mut Replica> {
        self.processes[broker].as_mut().map(|process| &mut process.replicas[partition])
    }

    fn is_up(&self, broker: usize) -> bool {
        self.processes[broker].as_ref().is_some_and(|process| !process.is_paused)
    }
}

/// The slot of a broker.
fn slot(broker: usize) -> BrokerSlot {
    BrokerSlot(broker as u16)
}

/// The broker in a slot.
fn broker(slot: BrokerSlot) -> usize {
    usize::from(slot.0)
}
