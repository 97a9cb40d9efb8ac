use crate::copy::Copy;
use crate::source::{Source, range};
use mirror_core::window::{Answer, Event, Fetch, Phase, Ticket};
use model::{Offset, OffsetRange};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Produce(u8),
    Restart,
    Switch,
    FailOver(usize),
    Purge(usize, i64),
    /// The source answers one of the fetches that are under way; the answer travels.
    Answer(usize, usize),
    /// One of the answers that travel arrives, perhaps once more.
    Arrive(usize, bool),
    Lose(usize),
    Perform,
    Flush,
    LinkUp,
    LinkDown,
    Crash(bool),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => any::<u8>().prop_map(Op::Produce),
        1 => Just(Op::Restart),
        1 => Just(Op::Switch),
        1 => any::<usize>().prop_map(Op::FailOver),
        1 => (any::<usize>(), 0_i64..5).prop_map(|(kept, within)| Op::Purge(kept, within)),
        10 => (any::<usize>(), 1_usize..6).prop_map(|(which, batches)| Op::Answer(which, batches)),
        10 => (any::<usize>(), any::<bool>()).prop_map(|(which, again)| Op::Arrive(which, again)),
        1 => any::<usize>().prop_map(Op::Lose),
        24 => Just(Op::Perform),
        5 => Just(Op::Flush),
        3 => Just(Op::LinkUp),
        1 => Just(Op::LinkDown),
        1 => any::<bool>().prop_map(Op::Crash),
    ]
}

struct World {
    source: Source,
    copy: Copy,
    travelling: Vec<(Ticket, Answer)>,
}

impl World {
    fn new() -> Self {
        Self { source: Source::new(), copy: Copy::new(), travelling: Vec::new() }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Produce(records) => self.source.produce(records),
            Op::Restart => self.source.restart(),
            Op::Switch => self.source.switch(),
            Op::FailOver(kept) => self.source.fail_over(kept),
            Op::Purge(kept, within) => self.source.purge(kept, within),
            Op::Answer(which, batches) => self.answer(which, batches),
            Op::Arrive(which, again) => self.arrive(which, again),
            Op::Lose(which) => self.lose(which),
            Op::Perform => drop(self.copy.perform()),
            Op::Flush => self.copy.flush(),
            Op::LinkUp => self.copy.link_up(self.source.ownership),
            Op::LinkDown => self.copy.report(Event::LinkDown),
            Op::Crash(machine) => self.copy.crash(machine),
        }
    }

    /// One of the fetches without an answer.
    fn fetch(&mut self, which: usize) -> Option<Fetch> {
        let fetches = &mut self.copy.fetches;
        (!fetches.is_empty()).then(|| fetches.remove(which % fetches.len()))
    }

    fn answer(&mut self, which: usize, batches: usize) {
        if let Some(fetch) = self.fetch(which) {
            self.travelling.push((fetch.ticket, self.source.answer(&fetch, batches)));
        }
    }

    fn arrive(&mut self, which: usize, again: bool) {
        if self.travelling.is_empty() {
            return;
        }
        let which = which % self.travelling.len();
        let (ticket, answer) = if again { self.travelling[which].clone() } else { self.travelling.swap_remove(which) };
        self.copy.report(Event::Answered { ticket, answer });
    }

    fn lose(&mut self, which: usize) {
        if let Some(fetch) = self.fetch(which) {
            self.copy.report(Event::Unanswered { ticket: fetch.ticket });
        }
    }

    /// Every fault ends, and the link does what it can until nothing changes any more.
    fn heal(&mut self) {
        self.travelling.clear();
        self.copy.fetches.clear();
        self.copy.link_up(self.source.ownership);
        for _ in 0..10_000 {
            while self.copy.perform() {}
            self.copy.flush();
            while self.copy.perform() {}
            if self.copy.tail() == self.source.tail() && self.copy.last_epoch() == self.source.epochs().last_epoch() {
                break;
            }
            self.answer(0, 3);
            self.arrive(0, false);
        }
        // Some fetches may belong to a run that has ended: the answer to one of the newest carries the source's marks of now.
        for _ in 0..self.copy.fetches.len() {
            self.answer(0, 1);
            self.arrive(0, false);
        }
        while self.copy.perform() {}
    }

    fn check_end(&self) {
        let (source, copy) = (&self.source, &self.copy);
        let held = |start: Offset| copy.batches.iter().filter(move |batch| range(batch).end > start);
        assert_eq!(copy.start, source.log_start, "the log start follows");
        assert!(held(source.log_start).eq(source.batches.iter()), "the copy equals the source");
        assert_eq!(copy.high_watermark, source.tail().max(copy.high_watermark));
        assert_eq!(copy.window.tail(), copy.tail());
        assert_eq!(copy.window.epochs(), copy.epochs());
        assert!(matches!(copy.window.phase(), Phase::Fetching), "{:?}", copy.window.phase());
        for jump in &copy.jumps[..] {
            assert!(jump.start == Offset(0) || self.declares(*jump), "{jump} is no gap: {:?}", copy.gaps);
        }
        let report = copy.window.lag(std::time::Duration::from_secs(3600));
        assert_eq!(report.records, 0, "no lag is left");
    }

    fn declares(&self, jump: OffsetRange) -> bool {
        let mut gaps = self.copy.gaps.entries().iter();
        gaps.any(|gap| gap.range.start <= jump.start && jump.end <= gap.range.end)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_copy_equals_the_source_in_the_end(shares in any::<bool>(), ops in prop::collection::vec(op(), 1..400)) {
        let mut world = World::new();
        world.source.shares_runs = shares;
        ops.iter().for_each(|op| world.apply(op));
        world.heal();
        world.check_end();
    }
}
