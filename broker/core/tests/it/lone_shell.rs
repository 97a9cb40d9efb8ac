//! A shell around a coordinator: a clock that stands until it is moved, and answers by token.

use broker_core::group::{
    Coordinator, Effect, GroupError, Heartbeat, InstanceId, Join, Joined, Leave, Leaver, MemberId, Moment, Protocol,
    Reply, Request, Settings, Sync, Synced, Token,
};
use bytes::Bytes;
use model::{GroupId, Timestamp};
use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) struct Shell {
    pub(crate) coordinator: Coordinator,
    pub(crate) now: Duration,
    pub(crate) replies: BTreeMap<Token, Reply>,
    /// Writes that have not been confirmed; `None` confirms each at once.
    pub(crate) writes: Option<Vec<(GroupId, i32)>>,
    pub(crate) records: Vec<(Bytes, Option<Bytes>)>,
    /// Whether nothing of groups of the consumer protocol can be written.
    pub(crate) refuses: bool,
    next_token: u64,
    next_member: u64,
}

pub(crate) fn group() -> GroupId {
    GroupId::new("g")
}

pub(crate) fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

impl Shell {
    pub(crate) fn new(settings: Settings) -> Self {
        let coordinator = Coordinator::new(settings);
        let (replies, records) = (BTreeMap::new(), vec![]);
        Self {
            coordinator,
            now: seconds(100),
            replies,
            writes: None,
            records,
            refuses: false,
            next_token: 0,
            next_member: 0,
        }
    }

    /// A shell whose groups do not wait for more members at first.
    pub(crate) fn prompt() -> Self {
        Self::new(Settings { initial_rebalance_delay: Duration::ZERO, ..Settings::default() })
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment { boot: self.now, wall: Timestamp(self.now.as_millis() as i64) }
    }

    pub(crate) fn issued(&self) -> u64 {
        self.next_token
    }

    pub(crate) fn send(&mut self, request: Request) -> Token {
        let token = Token(self.next_token);
        self.next_token += 1;
        let effects = self.coordinator.on_request(self.moment(), token, request);
        self.perform(effects);
        token
    }

    pub(crate) fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Reply { token, reply } => {
                    assert!(self.replies.insert(token, reply).is_none(), "{token:?} is answered once");
                }
                Effect::Write { group, records, answers } => self.write(&group, records, answers),
                Effect::Persist { group, generation, key, value } => {
                    self.records.push((key, value));
                    match &mut self.writes {
                        Some(writes) => writes.push((group, generation)),
                        None => self.persisted(&group, generation, Ok(())),
                    }
                }
            }
        }
    }

    fn write(&mut self, group: &GroupId, records: Vec<(Bytes, Option<Bytes>)>, answers: Vec<(Token, Reply)>) {
        if self.refuses && !records.is_empty() {
            let effects = self.coordinator.on_refused(self.moment(), group);
            self.perform(effects);
            let refused = |reply: Reply| reply.refused(GroupError::CoordinatorNotAvailable);
            self.replies.extend(answers.into_iter().map(|(token, reply)| (token, refused(reply))));
            return;
        }
        self.records.extend(records);
        self.coordinator.on_appended(group);
        self.replies.extend(answers);
    }

    pub(crate) fn persisted(&mut self, group: &GroupId, generation: i32, result: Result<(), GroupError>) {
        let effects = self.coordinator.on_persisted(self.moment(), group, generation, result);
        self.perform(effects);
    }

    /// Moves the clock on, stopping at every deadline.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(due) = self.coordinator.next_deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            let effects = self.coordinator.on_time(self.moment());
            self.perform(effects);
        }
        self.now = until;
    }

    pub(crate) fn lose(&mut self) {
        let effects = self.coordinator.lose(|_| true);
        self.perform(effects);
    }

    pub(crate) fn joining(&mut self, member: &str) -> Join {
        self.next_member += 1;
        Join {
            group: group(),
            member: MemberId::new(member),
            fresh_member: MemberId::new(format!("fresh-{}", self.next_member)),
            instance: None,
            client_id: "client".into(),
            client_host: "/127.0.0.1".into(),
            session_timeout: seconds(10),
            rebalance_timeout: seconds(60),
            protocol_type: "consumer".into(),
            protocols: vec![protocol("range", "r")],
            names_first: false,
            may_skip_assignment: true,
        }
    }

    pub(crate) fn join(&mut self, member: &str) -> Token {
        let join = self.joining(member);
        self.send(Request::Join(join))
    }

    pub(crate) fn join_static(&mut self, member: &str, instance: &str) -> Token {
        let mut join = self.joining(member);
        join.instance = Some(InstanceId::new(instance));
        self.send(Request::Join(join))
    }

    pub(crate) fn sync(&mut self, joined: &Joined, assignments: &[(&MemberId, &str)]) -> Token {
        let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let assignments = assignments.iter().map(|(member, part)| ((*member).clone(), bytes(part))).collect();
        self.send(Request::Sync(Sync {
            group: group(),
            member: joined.member.clone(),
            instance: None,
            generation: joined.generation,
            protocol_type: Some(joined.protocol_type.clone()),
            protocol: Some(joined.protocol.clone()),
            assignments,
        }))
    }

    pub(crate) fn heartbeat(&mut self, joined: &Joined) -> Result<(), GroupError> {
        let (member, generation) = (joined.member.clone(), joined.generation);
        let token = self.send(Request::Heartbeat(Heartbeat { group: group(), member, instance: None, generation }));
        match &self.replies[&token] {
            Reply::Heartbeat(result) => result.clone(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn leave(&mut self, member: &str, instance: Option<&str>) -> Result<(), GroupError> {
        let members = vec![Leaver { member: MemberId::new(member), instance: instance.map(InstanceId::new) }];
        let token = self.send(Request::Leave(Leave { group: group(), members }));
        match &self.replies[&token] {
            Reply::Leave(Ok(results)) => results[0].clone(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn join_result(&self, token: Token) -> Result<Joined, GroupError> {
        match self.replies.get(&token) {
            Some(Reply::Join(result)) => result.clone(),
            other => panic!("{token:?}: {other:?}"),
        }
    }

    pub(crate) fn sync_result(&self, token: Token) -> Result<Synced, GroupError> {
        match self.replies.get(&token) {
            Some(Reply::Sync(result)) => result.clone(),
            other => panic!("{token:?}: {other:?}"),
        }
    }

    pub(crate) fn waits(&self, token: Token) -> bool {
        !self.replies.contains_key(&token)
    }

    /// Two members in a stable generation: its leader, and the other.
    pub(crate) fn pair(&mut self) -> (Joined, Joined) {
        let first = self.join("");
        let first = self.join_result(first).expect("joins");
        let second = self.join("");
        let again = self.join(first.member.as_str());
        let (leader, other) = (self.join_result(again).expect("joins"), self.join_result(second).expect("joins"));
        let waiting = self.sync(&other, &[]);
        let own = self.sync(&leader, &[(&leader.member, "a"), (&other.member, "b")]);
        assert_eq!(self.sync_result(own).expect("syncs").assignment, "a");
        assert_eq!(self.sync_result(waiting).expect("syncs").assignment, "b");
        (leader, other)
    }
}

pub(crate) fn protocol(name: &str, metadata: &str) -> Protocol {
    Protocol { name: name.into(), metadata: Bytes::copy_from_slice(metadata.as_bytes()) }
}
