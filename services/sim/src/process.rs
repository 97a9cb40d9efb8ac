//! What a broker's process has in memory.

use crate::event::Event;
use crate::net::Node;
use broker_core::follower::{Fence, Fetch, Follower};
use broker_core::liveness::{Change, Liveness, Tail};
use broker_core::metadata::BrokerEpoch;
use broker_core::partition::{Partition, Waiter};
use model::{BrokerSlot, LeaderEpoch, Offset};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// A running broker.
#[derive(Debug)]
pub(crate) struct Process {
    /// Which start of the broker it is.
    pub(crate) life: u64,
    pub(crate) is_paused: bool,
    /// The session that the process before it stopped in, in order.
    pub(crate) stopped_in: Option<BrokerEpoch>,
    /// What came while it was paused.
    pub(crate) inbox: Vec<Event>,
    pub(crate) session: Option<Session>,
    pub(crate) is_registering: bool,
    /// On its own clock: since then it has heard no verdict in its session.
    pub(crate) unanswered_since: Duration,
    /// On its own clock: until then it may take itself for alive.
    pub(crate) footing: Duration,
    pub(crate) is_leaving: bool,
    pub(crate) replicas: Vec<Replica>,
    /// How much of the metadata it has heard of.
    pub(crate) applied: usize,
    pub(crate) office: Option<Office>,
    /// Which broker's controller it takes for the active one.
    pub(crate) controller: usize,
    /// When brokers last fetched, on its own clock.
    pub(crate) heard: BTreeMap<BrokerSlot, (BrokerEpoch, Duration)>,
    pub(crate) proposals: BTreeMap<u64, Purpose>,
    pub(crate) next_waiter: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) epoch: BrokerEpoch,
    pub(crate) is_ready: bool,
}

/// One partition on one broker.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) core: Partition,
    pub(crate) follower: Option<Follower>,
    pub(crate) stands: Stands,
    pub(crate) pending: BTreeMap<Waiter, Pending>,
    pub(crate) parked: Vec<Parked>,
    /// The fetch that is not answered yet.
    pub(crate) asked: Option<u64>,
    /// What is shown to readers.
    pub(crate) shown: usize,
    /// Where its leadership began.
    pub(crate) began: usize,
}

/// What the broker takes itself for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stands {
    Idle,
    Leads(LeaderEpoch),
    Follows(BrokerSlot, Fence),
}

/// A producer that waits for its ack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) client: Node,
    pub(crate) connection: u64,
    pub(crate) request: u64,
    pub(crate) at: usize,
    pub(crate) epoch: LeaderEpoch,
    pub(crate) all: bool,
}

/// A fetch that waits for something to tell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parked {
    pub(crate) from: Node,
    pub(crate) fetch: Fetch,
    pub(crate) request: u64,
    pub(crate) until: Duration,
}

/// Why something was proposed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    Register,
    Start,
    Isr { partition: usize, partition_epoch: u32 },
    Office { term: u64, since: Duration },
    Membership { term: u64 },
}

/// The controller's office, while this broker believes to hold it.
#[derive(Debug)]
pub(crate) struct Office {
    pub(crate) judge: Liveness,
    /// Whose controller was active before, as far as that is known.
    pub(crate) before: Option<usize>,
    /// When it began.
    pub(crate) since: Duration,
    /// What has to be agreed on, one after the other.
    pub(crate) changes: VecDeque<Change>,
    pub(crate) round: u64,
    /// Whether tails or an outcome are waited for.
    pub(crate) is_busy: bool,
    pub(crate) tails: BTreeMap<BrokerSlot, Vec<Tail>>,
    pub(crate) awaited: usize,
}

impl Replica {
    pub(crate) fn new(lag_max: Duration) -> Self {
        Self {
            core: Partition::fenced(Offset::ZERO).with_lag_max(lag_max),
            follower: None,
            stands: Stands::Idle,
            pending: BTreeMap::new(),
            parked: vec![],
            asked: None,
            shown: 0,
            began: 0,
        }
    }

    pub(crate) fn leads(&self) -> Option<LeaderEpoch> {
        match self.stands {
            Stands::Leads(epoch) => Some(epoch),
            Stands::Idle | Stands::Follows(..) => None,
        }
    }
}

impl Process {
    pub(crate) fn new(life: u64, partitions: usize, lag_max: Duration) -> Self {
        Self {
            life,
            is_paused: false,
            stopped_in: None,
            inbox: vec![],
            session: None,
            is_registering: false,
            unanswered_since: Duration::ZERO,
            footing: Duration::ZERO,
            is_leaving: false,
            replicas: (0..partitions).map(|_| Replica::new(lag_max)).collect(),
            applied: 0,
            office: None,
            controller: 0,
            heard: BTreeMap::new(),
            proposals: BTreeMap::new(),
            next_waiter: 0,
        }
    }
}
