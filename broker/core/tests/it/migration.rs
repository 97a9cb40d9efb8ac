//! Groups that change from one protocol to the other while members are there (KIP-848).

use crate::consumer_groups::{Consumer, id_of, restarted, shell};
use crate::lone_shell::{Shell, group, protocol, seconds};
use broker_core::group::{GroupError, Join, MemberId, Partitions, Phase, Protocol, Reply, Request, Sync};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use model::PartitionId;

/// A client of the classic protocol that reads `t1`.
struct Classic {
    name: String,
    generation: i32,
    owned: Partitions,
    /// Whether it keeps what it owns while it joins again.
    cooperative: bool,
}

fn partitions(out: &mut BytesMut, owned: &Partitions) {
    out.put_i32(owned.topics().count() as i32);
    for (_, numbers) in owned.topics() {
        out.put_slice(b"\0\x02t1");
        out.put_i32(numbers.len() as i32);
        numbers.iter().for_each(|number| out.put_i32(number.0));
    }
}

/// What an assignment of partitions of `t1` says; no bytes are nothing.
fn read(bytes: &Bytes) -> Partitions {
    let mut rest = bytes.clone();
    if rest.is_empty() {
        return Partitions::default();
    }
    let _version = rest.get_i16();
    let mut all = Partitions::default();
    for _ in 0..rest.get_i32() {
        assert_eq!(rest.split_to(4), "\0\x02t1");
        for _ in 0..rest.get_i32() {
            all.insert(id_of(1), PartitionId(rest.get_i32()));
        }
    }
    all
}

fn written(owned: &Partitions) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i16(1);
    partitions(&mut out, owned);
    out.put_i32(-1);
    out.freeze()
}

impl Classic {
    fn new(cooperative: bool) -> Self {
        Self { name: String::new(), generation: -1, owned: Partitions::default(), cooperative }
    }

    fn request(&self, shell: &mut Shell) -> Join {
        let mut metadata = BytesMut::from(&b"\0\x01\0\0\0\x01\0\x02t1\xff\xff\xff\xff"[..]);
        partitions(&mut metadata, &self.owned);
        let protocols = vec![Protocol { name: "range".into(), metadata: metadata.freeze() }];
        Join { protocols, ..shell.joining(&self.name) }
    }

    fn join(&mut self, shell: &mut Shell) -> broker_core::group::Token {
        if !self.cooperative {
            self.owned = Partitions::default();
        }
        let join = self.request(shell);
        shell.send(Request::Join(join))
    }

    fn joined(&mut self, shell: &Shell, token: broker_core::group::Token) {
        let joined = shell.join_result(token).unwrap();
        (self.name, self.generation) = (joined.member.as_str().to_owned(), joined.generation);
    }

    fn sync(&mut self, shell: &mut Shell, assignments: Vec<(MemberId, Bytes)>) -> broker_core::group::Token {
        shell.send(Request::Sync(Sync {
            group: group(),
            member: MemberId::new(&self.name),
            instance: None,
            generation: self.generation,
            protocol_type: Some("consumer".into()),
            protocol: Some("range".into()),
            assignments,
        }))
    }

    fn heartbeat(&self, shell: &mut Shell) -> Result<(), GroupError> {
        let (member, instance) = (MemberId::new(&self.name), None);
        let heartbeat = broker_core::group::Heartbeat { group: group(), member, instance, generation: self.generation };
        let token = shell.send(Request::Heartbeat(heartbeat));
        match &shell.replies[&token] {
            Reply::Heartbeat(result) => result.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// A heartbeat, and what a client does about its answer in a group of the consumer protocol.
    fn live(&mut self, shell: &mut Shell) {
        match self.heartbeat(shell) {
            Ok(()) => {}
            Err(GroupError::RebalanceInProgress) => {
                let token = self.join(shell);
                self.joined(shell, token);
                let token = self.sync(shell, vec![]);
                if let Ok(synced) = shell.sync_result(token) {
                    self.owned = read(&synced.assignment);
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// A stable group of one classic member that owns all four partitions of `t1`.
fn classic_group(shell: &mut Shell, cooperative: bool) -> Classic {
    let mut member = Classic::new(cooperative);
    let token = member.join(shell);
    member.joined(shell, token);
    let all: Partitions = (0..4).map(|number| (id_of(1), PartitionId(number))).collect();
    let own = vec![(MemberId::new(&member.name), written(&all))];
    let token = member.sync(shell, own);
    member.owned = read(&shell.sync_result(token).unwrap().assignment);
    assert_eq!(member.owned, all);
    member
}

fn come_to_rest(shell: &mut Shell, classic: &mut Classic, consumer: &mut Consumer) {
    for _ in 0..10 {
        classic.live(shell);
        consumer.obey(shell).unwrap();
        assert!(!classic.owned.intersects(&consumer.owned), "{:?} and {:?}", classic.owned, consumer.owned);
    }
    assert_eq!((classic.owned.len(), consumer.owned.len()), (2, 2));
    assert_eq!(classic.heartbeat(shell), Ok(()));
}

#[test]
fn a_member_of_the_consumer_protocol_turns_the_group_and_shares_with_the_classic_one() {
    for cooperative in [true, false] {
        let mut shell = shell(&[4]);
        let mut classic = classic_group(&mut shell, cooperative);
        let mut consumer = Consumer::new("c", &["t1"]);
        consumer.obey(&mut shell).unwrap();
        assert_eq!(consumer.owned.len(), 0, "the classic member owns all of them");
        assert!(shell.coordinator.describe(&group()).is_none());
        come_to_rest(&mut shell, &mut classic, &mut consumer);
        let described = shell.coordinator.describe_consumer(&group()).unwrap();
        assert_eq!((described.state, described.members.iter().filter(|m| m.is_classic).count()), ("Stable", 1));
        let mut again = restarted(&shell);
        again.coordinator.see_topics(crate::consumer_groups::topics(&[4]));
        assert_eq!(again.coordinator.describe_consumer(&group()), Some(described));
        come_to_rest(&mut again, &mut classic, &mut consumer);
    }
}

#[test]
fn the_last_member_of_the_consumer_protocol_turns_the_group_back() {
    let mut shell = shell(&[4]);
    let mut classic = classic_group(&mut shell, true);
    let mut consumer = Consumer::new("c", &["t1"]);
    consumer.obey(&mut shell).unwrap();
    come_to_rest(&mut shell, &mut classic, &mut consumer);
    let generation = classic.generation;
    let left = consumer.request(-1);
    consumer.send(&mut shell, left).unwrap();
    assert!(shell.coordinator.describe_consumer(&group()).is_none());
    assert_eq!(shell.coordinator.describe(&group()).unwrap().phase, Phase::Preparing);
    let mut again = restarted(&shell);
    assert_eq!(again.coordinator.describe(&group()).unwrap().members.len(), 1, "and so it is read back");
    assert_eq!(again.coordinator.describe_consumer(&group()), None);
    for shell in [&mut shell, &mut again] {
        assert!(classic.heartbeat(shell).is_err(), "it is told to join again");
        let token = classic.join(shell);
        let joined = shell.join_result(token).unwrap();
        assert!(joined.generation > generation);
        assert_eq!(joined.leader, MemberId::new(&classic.name));
    }
}

#[test]
fn a_classic_member_joins_and_leaves_a_group_of_the_consumer_protocol() {
    let mut shell = shell(&[4]);
    let mut consumer = Consumer::new("c", &["t1"]);
    consumer.obey(&mut shell).unwrap();
    let mut classic = Classic::new(true);
    let mut named = classic.request(&mut shell);
    named.names_first = true;
    let token = shell.send(Request::Join(named));
    let Err(GroupError::MemberIdRequired(name)) = shell.join_result(token) else { panic!("named first") };
    classic.name = name.as_str().to_owned();
    let token = classic.join(&mut shell);
    classic.joined(&shell, token);
    come_to_rest(&mut shell, &mut classic, &mut consumer);
    shell.leave(&classic.name.clone(), None).unwrap();
    for _ in 0..3 {
        consumer.obey(&mut shell).unwrap();
    }
    assert_eq!(consumer.owned.len(), 4);
    assert_eq!(shell.leave("c", None), Err(GroupError::UnknownMember(MemberId::new("c"))), "it leaves its own way");
}

#[test]
fn a_classic_member_that_does_not_join_again_in_time_is_out() {
    let mut shell = shell(&[4]);
    let classic = classic_group(&mut shell, true);
    let mut consumer = Consumer::new("c", &["t1"]);
    consumer.obey(&mut shell).unwrap();
    for _ in 0..14 {
        shell.pass(seconds(5));
        let _ = classic.heartbeat(&mut shell);
        consumer.obey(&mut shell).unwrap();
    }
    assert_eq!(consumer.owned.len(), 4);
    assert!(matches!(classic.heartbeat(&mut shell), Err(GroupError::UnknownMember(_))));
}

#[test]
fn what_cannot_be_written_leaves_the_group_as_it_was() {
    let mut shell = shell(&[4]);
    let mut classic = classic_group(&mut shell, true);
    let mut consumer = Consumer::new("c", &["t1"]);
    shell.refuses = true;
    assert_eq!(consumer.beat(&mut shell), Err(GroupError::CoordinatorNotAvailable));
    assert_eq!(classic.heartbeat(&mut shell), Ok(()));
    shell.refuses = false;
    consumer.obey(&mut shell).unwrap();
    come_to_rest(&mut shell, &mut classic, &mut consumer);
    shell.refuses = true;
    let left = consumer.request(-1);
    assert_eq!(consumer.send(&mut shell, left), Err(GroupError::CoordinatorNotAvailable));
    shell.refuses = false;
    come_to_rest(&mut shell, &mut classic, &mut consumer);
}

#[test]
fn a_group_of_others_than_consumers_keeps_its_protocol() {
    let mut shell = shell(&[4]);
    let mut join = shell.joining("");
    (join.protocol_type, join.protocols) = ("connect".into(), vec![protocol("compatible", "x")]);
    let token = shell.send(Request::Join(join));
    let joined = shell.join_result(token).unwrap();
    let mut consumer = Consumer::new("c", &["t1"]);
    assert_eq!(consumer.beat(&mut shell), Err(GroupError::OtherProtocol));
    assert_eq!(shell.heartbeat(&joined), Ok(()));
}
