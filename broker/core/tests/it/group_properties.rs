//! Whatever members do and in whatever order: nobody waits for ever, one leads, generations only rise.

use crate::lone_shell::{Shell, group, protocol, seconds};
use broker_core::group::{GroupError, InstanceId, Joined, MemberId, Reply, Request, Settings, Token};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// One client: it knows what it was last told.
#[derive(Clone, Debug, Default)]
struct Client {
    instance: Option<&'static str>,
    member: String,
    joined: Option<Joined>,
    tokens: Vec<Token>,
}

#[derive(Clone, Debug)]
enum Act {
    Join { client: usize, names_first: bool, protocols: u8 },
    Sync { client: usize },
    Heartbeat { client: usize },
    Leave { client: usize },
    Restart { client: usize },
    Pass { millis: u64 },
    Persisted { ok: bool },
}

fn any_act() -> impl Strategy<Value = Act> {
    let client = 0_usize..4;
    prop_oneof![
        5 => (client.clone(), any::<bool>(), 0_u8..4)
            .prop_map(|(client, names_first, protocols)| Act::Join { client, names_first, protocols }),
        5 => client.clone().prop_map(|client| Act::Sync { client }),
        2 => client.clone().prop_map(|client| Act::Heartbeat { client }),
        1 => client.clone().prop_map(|client| Act::Leave { client }),
        1 => client.prop_map(|client| Act::Restart { client }),
        3 => (1_u64..20_000).prop_map(|millis| Act::Pass { millis }),
        4 => prop::bool::weighted(0.8).prop_map(|ok| Act::Persisted { ok }),
    ]
}

struct World {
    shell: Shell,
    clients: Vec<Client>,
    leaders: BTreeMap<i32, BTreeSet<MemberId>>,
    newest: i32,
    seen: BTreeSet<Token>,
}

impl World {
    fn new() -> Self {
        let settings =
            Settings { initial_rebalance_delay: Duration::from_millis(700), members_max: 5, ..Default::default() };
        let mut shell = Shell::new(settings);
        shell.writes = Some(vec![]);
        let mut clients = vec![Client::default(); 4];
        clients[3].instance = Some("i");
        Self { shell, clients, leaders: BTreeMap::new(), newest: 0, seen: BTreeSet::new() }
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Join { client, names_first, protocols } => self.join(client, names_first, protocols),
            Act::Sync { client } => self.sync(client),
            Act::Heartbeat { client } => {
                if let Some(joined) = self.clients[client].joined.clone() {
                    let _ = self.shell.heartbeat(&joined);
                }
            }
            Act::Leave { client } => {
                let Client { instance, member, .. } = self.clients[client].clone();
                let _ = self.shell.leave(&member, instance);
            }
            Act::Restart { client } => {
                let Client { instance, tokens, .. } = self.clients[client].clone();
                self.clients[client] = Client { instance, tokens, ..Client::default() };
            }
            Act::Pass { millis } => self.shell.pass(Duration::from_millis(millis)),
            Act::Persisted { ok } => self.persisted(ok),
        }
        self.learn();
    }

    fn join(&mut self, client: usize, names_first: bool, protocols: u8) {
        let mut join = self.shell.joining(&self.clients[client].member.clone());
        join.instance = self.clients[client].instance.map(InstanceId::new);
        join.names_first = names_first;
        join.protocols = match protocols {
            0 => vec![protocol("range", "1"), protocol("sticky", "1")],
            1 => vec![protocol("sticky", "2"), protocol("range", "2")],
            _ => vec![protocol("range", "3")],
        };
        let token = self.shell.send(Request::Join(join));
        self.clients[client].tokens.push(token);
    }

    fn sync(&mut self, client: usize) {
        let Some(joined) = self.clients[client].joined.clone() else { return };
        let assignments: Vec<_> = joined.members.iter().map(|member| (&member.member, "part")).collect();
        self.shell.sync(&joined, &assignments);
    }

    fn persisted(&mut self, ok: bool) {
        let writes = self.shell.writes.as_mut().unwrap();
        if writes.is_empty() {
            return;
        }
        let (group, generation) = writes.remove(0);
        let result = if ok { Ok(()) } else { Err(GroupError::CoordinatorNotAvailable) };
        self.shell.persisted(&group, generation, result);
    }

    /// Every client takes note of its newest answer, and the world of what was promised to whom.
    fn learn(&mut self) {
        for client in &mut self.clients {
            let Some(newest) = client.tokens.last() else { continue };
            match self.shell.replies.get(newest) {
                Some(Reply::Join(Ok(joined))) => {
                    client.member = joined.member.to_string();
                    client.joined = Some(joined.clone());
                }
                Some(Reply::Join(Err(GroupError::MemberIdRequired(name)))) => client.member = name.to_string(),
                Some(Reply::Join(Err(GroupError::UnknownMember(_) | GroupError::FencedInstance(_)))) => {
                    client.member.clear();
                }
                _ => {}
            }
        }
        for (token, reply) in &self.shell.replies {
            if !self.seen.insert(*token) {
                continue;
            }
            let Reply::Join(Ok(joined)) = reply else { continue };
            assert!(joined.generation >= self.newest, "generations only rise");
            self.newest = joined.generation;
            if !joined.members.is_empty() && !joined.skip_assignment {
                assert_eq!(joined.leader, joined.member, "only the leader is told of the others");
                assert!(joined.members.iter().any(|member| member.member == joined.member));
                self.leaders.entry(joined.generation).or_default().insert(joined.leader.clone());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn nobody_waits_for_ever_and_one_leads(acts in prop::collection::vec(any_act(), 1..80)) {
        let mut world = World::new();
        for act in &acts {
            world.act(act);
        }
        // From here on nobody moves, but what was to be written is written.
        for _ in 0..40 {
            world.act(&Act::Persisted { ok: true });
            world.act(&Act::Pass { millis: 30_000 });
        }
        let waiting: Vec<_> = (0..world.shell.issued()).map(Token).filter(|token| world.shell.waits(*token)).collect();
        prop_assert!(waiting.is_empty(), "still waiting: {:?}", waiting);
        for (generation, leaders) in &world.leaders {
            prop_assert_eq!(leaders.len(), 1, "leaders of generation {}", generation);
        }
        let members = world.shell.coordinator.describe(&group()).map_or(0, |described| described.members.len());
        prop_assert_eq!(members, 0, "silence ends every session");
        prop_assert_eq!(world.shell.coordinator.next_deadline(), None);
    }

    #[test]
    fn members_that_do_what_they_are_told_come_to_rest(
        acts in prop::collection::vec(any_act(), 0..60),
        order in Just(vec![0_usize, 1, 2, 3]).prop_shuffle(),
    ) {
        let mut world = World::new();
        for act in &acts {
            world.act(act);
        }
        for _ in 0..30 {
            for client in order.clone() {
                let idle = world.clients[client].tokens.last().is_none_or(|token| !world.shell.waits(*token));
                let joined = world.clients[client].joined.clone();
                let alive = joined.map(|joined| world.shell.heartbeat(&joined));
                if idle && alive != Some(Ok(())) {
                    world.act(&Act::Join { client, names_first: true, protocols: 2 });
                }
                world.act(&Act::Sync { client });
                world.act(&Act::Persisted { ok: true });
            }
            world.shell.pass(seconds(5));
            world.learn();
        }
        let described = world.shell.coordinator.describe(&group()).unwrap();
        prop_assert_eq!(described.phase.name(), "Stable");
        prop_assert_eq!(described.members.len(), 4);
    }
}
