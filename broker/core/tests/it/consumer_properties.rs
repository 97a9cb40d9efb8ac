//! Whatever members of the consumer protocol do, and however late: a partition is never owned by two, and in the end
//! everything that is read is owned.

use crate::consumer_groups::{Consumer, shell, topics};
use crate::lone_shell::{Shell, seconds};
use broker_core::group::{GroupError, Partitions};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Act {
    /// Says what it owns and hears what it may own; does not act on it yet.
    Beat(usize),
    /// Gives up or takes what it last heard of.
    Obey(usize),
    Leave(usize),
    /// Dies without a word and comes back as another member.
    Crash(usize),
    Reads(usize, bool),
    Grow,
    Pass(u64),
    Refuse(bool),
}

fn any_act() -> impl Strategy<Value = Act> {
    let who = 0_usize..4;
    prop_oneof![
        8 => who.clone().prop_map(Act::Beat),
        6 => who.clone().prop_map(Act::Obey),
        1 => who.clone().prop_map(Act::Leave),
        1 => who.clone().prop_map(Act::Crash),
        1 => (who, any::<bool>()).prop_map(|(who, both)| Act::Reads(who, both)),
        1 => Just(Act::Grow),
        2 => (1_u64..30).prop_map(Act::Pass),
        1 => any::<bool>().prop_map(Act::Refuse),
    ]
}

struct World {
    shell: Shell,
    consumers: Vec<Consumer>,
    heard: Vec<Option<Partitions>>,
    names: usize,
    partitions: i32,
}

impl World {
    fn new() -> Self {
        let consumers = (0..4).map(|at| Consumer::new(&format!("m{at}"), &["t1"])).collect();
        Self { shell: shell(&[5, 2]), consumers, heard: vec![None; 4], names: 4, partitions: 5 }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Beat(who) => self.beat(who),
            Act::Obey(who) => self.obey(who),
            Act::Leave(who) => {
                let leaver = &mut self.consumers[who];
                let request = leaver.request(-1);
                let _ = leaver.send(&mut self.shell, request);
                self.forget(who);
            }
            Act::Crash(who) => {
                self.consumers[who].name = format!("m{}", self.names);
                self.names += 1;
                self.forget(who);
            }
            Act::Reads(who, both) => self.reads(who, both),
            Act::Grow => {
                self.partitions = (self.partitions + 1).min(12);
                self.shell.coordinator.see_topics(topics(&[self.partitions, 2]));
            }
            Act::Pass(n) => {
                // Every client beats more often than its session lasts, or is taken for dead, and knows it.
                self.shell.pass(seconds(n));
                (0..4).for_each(|who| self.beat(who));
            }
            Act::Refuse(refuses) => self.shell.refuses = refuses,
        }
    }

    fn forget(&mut self, who: usize) {
        self.consumers[who].epoch = 0;
        self.consumers[who].owned = Partitions::default();
        self.heard[who] = None;
    }

    fn beat(&mut self, who: usize) {
        match self.consumers[who].beat(&mut self.shell) {
            Ok(Some(assignment)) => self.heard[who] = Some(assignment),
            Ok(None) | Err(GroupError::CoordinatorNotAvailable) => {}
            Err(_) => self.forget(who),
        }
    }

    fn obey(&mut self, who: usize) {
        if let Some(heard) = self.heard[who].take() {
            self.consumers[who].owned = heard;
        }
    }

    fn reads(&mut self, who: usize, both: bool) {
        let consumer = &mut self.consumers[who];
        let before = consumer.reads.clone();
        consumer.reads = if both { vec!["t1", "t2"] } else { vec!["t2"] };
        if consumer.epoch == 0 {
            return;
        }
        let mut request = consumer.request(consumer.epoch);
        request.topics = Some(consumer.reads.iter().map(|&name| name.to_owned()).collect());
        match consumer.send(&mut self.shell, request) {
            Ok(answer) => self.heard[who] = answer.assignment.or(self.heard[who].take()),
            Err(GroupError::CoordinatorNotAvailable) => consumer.reads = before,
            Err(_) => self.forget(who),
        }
    }

    fn nothing_is_owned_twice(&self) -> Result<(), TestCaseError> {
        for (at, one) in self.consumers.iter().enumerate() {
            for other in &self.consumers[at + 1..] {
                prop_assert!(!one.owned.intersects(&other.owned), "{one:?} and {other:?}");
            }
        }
        Ok(())
    }

    fn come_to_rest(&mut self) {
        self.shell.refuses = false;
        for _ in 0..40 {
            (0..4).for_each(|who| {
                self.beat(who);
                self.obey(who);
            });
            self.shell.pass(seconds(4));
        }
    }
}

proptest! {
    #[test]
    fn a_partition_is_never_owned_by_two_and_all_are_owned_in_the_end(acts in prop::collection::vec(any_act(), 1..120)) {
        let mut world = World::new();
        for act in acts {
            world.act(act);
            world.nothing_is_owned_twice()?;
        }
        world.come_to_rest();
        world.nothing_is_owned_twice()?;
        let owned: usize = world.consumers.iter().map(|consumer| consumer.owned.len()).sum();
        let read = |topic: &str| world.consumers.iter().any(|consumer| consumer.reads.contains(&topic));
        let expected = if read("t1") { world.partitions } else { 0 } + if read("t2") { 2 } else { 0 };
        prop_assert_eq!(owned, expected as usize);
    }
}
