//! What happens, and when.

use crate::disk::Entry;
use crate::net::{Node, Way};
use broker_core::follower::{self, Fence, Fetch};
use broker_core::liveness::{Heartbeat, Tail, Verdict};
use broker_core::metadata::{Answer, BrokerEpoch, Command, Refusal};
use model::{LeaderEpoch, Offset, PartitionId, TopicId};
use std::collections::BTreeMap;
use std::time::Duration;

/// A message under way.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    pub(crate) way: Way,
    /// The connection it is sent over; nothing arrives over one that was lost.
    pub(crate) connection: u64,
    pub(crate) message: Message,
}

#[derive(Clone, Debug)]
pub(crate) enum Message {
    /// A follower asks its leader.
    Fetch {
        partition: usize,
        session: BrokerEpoch,
        fetch: Fetch,
        request: u64,
    },
    Answer {
        partition: usize,
        answer: follower::Answer,
        request: u64,
    },
    /// A follower says what it has on disk by now.
    Progress {
        partition: usize,
        session: BrokerEpoch,
        fence: Fence,
        durable: Offset,
    },
    Beat {
        beat: Heartbeat,
        asked_at: Duration,
    },
    Verdict {
        verdict: Verdict,
        session: BrokerEpoch,
        asked_at: Duration,
    },
    /// The controller asks where logs end.
    AskTails {
        round: u64,
        wanted: Vec<(TopicId, PartitionId)>,
    },
    Tails {
        round: u64,
        tails: Vec<Tail>,
    },
    Produce {
        partition: usize,
        request: u64,
        draft: Entry,
        all: bool,
    },
    Produced {
        request: u64,
        is_acked: bool,
    },
    /// A consumer reads, and asks where the partition ends.
    Read {
        partition: usize,
        request: u64,
        from: usize,
    },
    Records {
        request: u64,
        partition: usize,
        from: usize,
        entries: Vec<Entry>,
        end: Option<(LeaderEpoch, usize)>,
    },
}

/// What a broker's process waits for.
#[derive(Clone, Debug)]
pub(crate) enum Timer {
    Heartbeat,
    Office {
        term: u64,
    },
    TailsDue {
        round: u64,
    },
    LookAtIsr,
    LookSoon {
        partition: usize,
    },
    FetchNow {
        partition: usize,
    },
    FetchOverdue {
        partition: usize,
        request: u64,
    },
    Change {
        partition: usize,
        fence: Fence,
        commands: Vec<follower::Command>,
    },
    Synced {
        partition: usize,
    },
    ParkedDue {
        partition: usize,
    },
    AcksDue {
        partition: usize,
    },
    /// A batch was appended, and now its ack is waited for.
    Await {
        partition: usize,
        asker: (Node, u64, u64),
        taken: (LeaderEpoch, usize, bool),
    },
    Confirmed {
        term: u64,
        from: Node,
        beat: Heartbeat,
        asked_at: Duration,
        heard_at: Duration,
    },
    ProposalOverdue {
        proposal: u64,
    },
    Leave,
}

#[derive(Clone, Debug)]
pub(crate) enum Event {
    Deliver(Envelope),
    Timer {
        broker: usize,
        life: u64,
        timer: Timer,
    },
    /// A proposal reaches the quorum.
    Propose {
        broker: usize,
        life: u64,
        proposal: u64,
        command: Command,
        tries: u32,
    },
    Proposed {
        broker: usize,
        life: u64,
        proposal: u64,
        index: usize,
        outcome: Result<Answer, Refusal>,
    },
    /// A broker hears of what was agreed on.
    Learn {
        broker: usize,
        index: usize,
    },
    Produce {
        client: usize,
    },
    ProduceOverdue {
        client: usize,
        request: u64,
    },
    Read {
        reader: usize,
    },
    ReadOverdue {
        reader: usize,
        request: u64,
    },
    Fault,
    Restart {
        broker: usize,
    },
    Resume {
        broker: usize,
        life: u64,
    },
    HealCut {
        from: Node,
        to: Node,
    },
    SpeedUp {
        broker: usize,
    },
    /// Somebody looks whether there is a controller.
    WatchController,
    HealAll,
    LookForEnd,
}

/// What is to happen, in order.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    events: BTreeMap<(Duration, u64), Event>,
    count: u64,
}

impl Agenda {
    pub(crate) fn add(&mut self, at: Duration, event: Event) {
        self.count += 1;
        self.events.insert((at, self.count), event);
    }

    pub(crate) fn next(&mut self) -> Option<(Duration, Event)> {
        self.events.pop_first().map(|((at, _), event)| (at, event))
    }
}
