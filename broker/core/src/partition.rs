//! One partition on its leader: who it is to clients, how far it is committed, and which acks wait for that.
//!
//! ```text
//!   start            high watermark      durable here          tail
//!     |                     |                  |                 |
//!     | committed, shown .. | in sync set not  | in the page     |
//!     |                     | all durable yet  | cache           |
//! ```
//!
//! - The high watermark never goes back. On an owner it is what the whole in-sync set holds durably (and, in SYNC, the
//!   linked copy too); on a copy it is the smaller of the copy watermark and the source's high watermark.
//! - The copy watermark is what the in-sync set of a copy holds; it goes back when the copy is truncated.
//! - A replica that only follows shows what it holds durably and its leader has committed.
//! - A partition boots fenced.
//!
//! What a follower holds is counted for one leadership and one session of its broker (KIP-903): a start of either begins
//! anew. Those about to join the in-sync set hold the watermark back like those in it (Kafka's maximal in-sync set), and
//! so do those about to leave it, until the controller has said so.

mod acks;
mod isr;
mod replicas;
mod sync;
mod watermark;

pub use acks::{AckOutcome, Waiter};
pub use isr::{IsrChange, Peer};
pub use replicas::{Looked, ReplicaRefusal, ReplicaView};
pub use sync::LinkWord;

use crate::follower::Fence;
use acks::Acks;
use model::{BrokerSlot, CopyTerm, LeaderEpoch, Offset};
use replicas::Replica;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use sync::Synced;

/// What this broker is to the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Nothing: it was not started in this session, or is no more.
    Fenced,
    /// Its leader in the owner region.
    Owner {
        /// What its batches are stamped with.
        leader_epoch: LeaderEpoch,
    },
    /// The leader of a copy.
    Copy {
        /// What its replicas and links are fenced by.
        term: CopyTerm,
    },
    /// It follows another broker of the region.
    Replica {
        /// That broker's leadership.
        fence: Fence,
    },
}

/// Where a partition is and which of its replicas are in sync, as the region's metadata says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement<'a> {
    /// This broker.
    pub me: BrokerSlot,
    /// All that hold it, this one among them.
    pub replicas: &'a [BrokerSlot],
    /// Those in sync.
    pub isr: &'a [BrokerSlot],
    /// Counts the changes of both and of the leader.
    pub partition_epoch: u32,
}

/// By what right the region writes to a partition at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// The topic is the region's own.
    Local,
    /// A lease that ends at this time since boot.
    Leased {
        /// The end.
        until: Duration,
    },
    /// None: the group belongs elsewhere, is stopped or not open yet, or its lease has lapsed.
    Withheld,
}

/// Why a write is not taken, or not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// NOT_LEADER_OR_FOLLOWER: not the leader of an owner.
    #[error("this broker does not lead the partition")]
    NotLeader,
    /// NOT_LEADER_OR_FOLLOWER: the region may not write now.
    #[error("the region may not write to the partition now")]
    NoAuthority,
    /// FENCED_LEADER_EPOCH.
    #[error("leader epoch {given} is out of date; it is {current}")]
    FencedEpoch {
        /// The epoch given.
        given: LeaderEpoch,
        /// The current one.
        current: LeaderEpoch,
    },
    /// UNKNOWN_LEADER_EPOCH.
    #[error("leader epoch {given} is not known here; {current} is the newest")]
    UnknownEpoch {
        /// The epoch given.
        given: LeaderEpoch,
        /// The current one.
        current: LeaderEpoch,
    },
    /// NOT_ENOUGH_REPLICAS.
    #[error("{in_sync} replicas are in sync; min.insync.replicas asks for {required}")]
    NotEnoughReplicas {
        /// How many are.
        in_sync: usize,
        /// How many must be.
        required: usize,
    },
    /// OFFSET_NOT_AVAILABLE: committed offsets of this leadership are not known yet (KIP-207).
    #[error("the end of the partition is not known yet; try again")]
    OffsetNotAvailable,
}

/// What changed by an event: the shell wakes readers and answers producers.
#[must_use]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Whether readers can see more.
    pub advanced: bool,
    /// Acks that are settled.
    pub acks: Vec<(Waiter, AckOutcome)>,
    /// A replica may have caught up: have [`Partition::propose_isr`] look.
    pub may_join: bool,
}

/// One partition on the broker that leads it, or follows.
#[derive(Clone, Debug)]
pub struct Partition {
    role: Role,
    me: BrokerSlot,
    min_insync: usize,
    /// What this broker holds durably.
    local: Offset,
    /// The others that hold it.
    replicas: BTreeMap<BrokerSlot, Replica>,
    /// The in-sync set the controller knows.
    isr: BTreeSet<BrokerSlot>,
    /// The one it is being asked for.
    proposed: Option<IsrChange>,
    partition_epoch: u32,
    /// A replica that was not caught up for so long is out of sync (`replica.lag.time.max.ms`).
    lag_max: Duration,
    /// While the SYNC rule is on: that rule, and what the linked copy holds durably.
    synced: Option<Synced>,
    /// On a copy: the source's high watermark. On a replica that follows: its leader's.
    upstream_watermark: Offset,
    copy_watermark: Offset,
    high_watermark: Offset,
    /// Where this leadership began.
    epoch_start: Offset,
    /// Acks that wait until the records are committed.
    acks: Acks,
    /// Acks that wait until they are durable here.
    local_acks: Acks,
}

/// `replica.lag.time.max.ms`, unless the broker is configured otherwise.
pub const REPLICA_LAG_MAX: Duration = Duration::from_secs(10);

impl Partition {
    /// A fenced partition; below `high_watermark` it is known to be committed.
    pub fn fenced(high_watermark: Offset) -> Self {
        Self {
            role: Role::Fenced,
            me: BrokerSlot(0),
            min_insync: 1,
            local: Offset::ZERO,
            replicas: BTreeMap::new(),
            isr: BTreeSet::new(),
            proposed: None,
            partition_epoch: 0,
            lag_max: REPLICA_LAG_MAX,
            synced: None,
            upstream_watermark: Offset::ZERO,
            copy_watermark: Offset::ZERO,
            high_watermark,
            epoch_start: Offset::ZERO,
            acks: Acks::default(),
            local_acks: Acks::default(),
        }
    }

    /// The same with another limit of how long a replica may lag.
    #[must_use]
    pub fn with_lag_max(mut self, lag_max: Duration) -> Self {
        self.lag_max = lag_max;
        self
    }

    /// What this broker is to it.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The leader epoch writes are stamped with.
    ///
    /// # Errors
    /// [`Refusal::NotLeader`] when it takes none.
    pub fn leader_epoch(&self) -> Result<LeaderEpoch, Refusal> {
        match self.role {
            Role::Owner { leader_epoch } => Ok(leader_epoch),
            Role::Fenced | Role::Copy { .. } | Role::Replica { .. } => Err(Refusal::NotLeader),
        }
    }

    /// Whether a write may be appended at `now`; for acks=all also whether enough replicas are in sync.
    ///
    /// # Errors
    /// The [`Refusal`] to answer.
    pub fn admit_produce(&self, now: Duration, authority: Authority, acks_all: bool) -> Result<LeaderEpoch, Refusal> {
        let leader_epoch = self.leader_epoch()?;
        check_authority(now, authority)?;
        if acks_all { self.check_in_sync().map(|()| leader_epoch) } else { Ok(leader_epoch) }
    }

    /// The second look, right before the ack is written: if it fails the connection is closed without an answer.
    ///
    /// # Errors
    /// [`Refusal::NoAuthority`], or [`Refusal::NotLeader`] when another leadership has begun since `leader_epoch`.
    pub fn admit_ack(&self, now: Duration, authority: Authority, leader_epoch: LeaderEpoch) -> Result<(), Refusal> {
        check_authority(now, authority)?;
        if self.leader_epoch() == Ok(leader_epoch) { Ok(()) } else { Err(Refusal::NotLeader) }
    }

    /// Compares the leader epoch a client knows (KIP-320) with `current`, the newest known here.
    ///
    /// # Errors
    /// [`Refusal::FencedEpoch`] and [`Refusal::UnknownEpoch`].
    pub fn check_epoch(given: LeaderEpoch, current: LeaderEpoch) -> Result<(), Refusal> {
        if given.0 < 0 || given == current {
            return Ok(());
        }
        Err(if given < current {
            Refusal::FencedEpoch { given, current }
        } else {
            Refusal::UnknownEpoch { given, current }
        })
    }
}

fn check_authority(now: Duration, authority: Authority) -> Result<(), Refusal> {
    match authority {
        Authority::Local => Ok(()),
        Authority::Leased { until } if now < until => Ok(()),
        Authority::Leased { .. } | Authority::Withheld => Err(Refusal::NoAuthority),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: Placement<'static> =
        Placement { me: BrokerSlot(0), replicas: &[BrokerSlot(0)], isr: &[BrokerSlot(0)], partition_epoch: 1 };

    fn owner(epoch: i32) -> Partition {
        let mut partition = Partition::fenced(Offset::ZERO);
        let _ = partition.lead(Duration::ZERO, LeaderEpoch(epoch), ALONE, Offset::ZERO);
        partition
    }

    #[test]
    fn a_partition_boots_fenced() {
        let partition = Partition::fenced(Offset(3));
        assert_eq!(partition.admit_produce(Duration::ZERO, Authority::Local, false), Err(Refusal::NotLeader));
        assert_eq!(partition.high_watermark(), Offset(3));
    }

    #[test]
    fn a_write_needs_a_standing_lease_before_the_append_and_before_the_ack() {
        let (partition, until) = (owner(7), Duration::from_secs(3));
        let authority = Authority::Leased { until };
        assert_eq!(partition.admit_produce(Duration::from_secs(2), authority, true), Ok(LeaderEpoch(7)));
        assert_eq!(partition.admit_ack(until, authority, LeaderEpoch(7)), Err(Refusal::NoAuthority));
        assert_eq!(partition.admit_produce(until, authority, true), Err(Refusal::NoAuthority));
        assert_eq!(partition.admit_produce(until, Authority::Withheld, true), Err(Refusal::NoAuthority));
    }

    #[test]
    fn an_ack_of_an_earlier_leadership_is_not_written() {
        let mut partition = owner(7);
        let _ = partition.lead(Duration::ZERO, LeaderEpoch(8), ALONE, Offset::ZERO);
        let late = partition.admit_ack(Duration::ZERO, Authority::Local, LeaderEpoch(7));
        assert_eq!(late, Err(Refusal::NotLeader));
    }

    #[test]
    fn copies_and_replicas_take_no_writes() {
        let mut partition = owner(7);
        let _ = partition.lead_copy(Duration::ZERO, CopyTerm(1), ALONE);
        assert_eq!(partition.admit_produce(Duration::ZERO, Authority::Local, false), Err(Refusal::NotLeader));
        let _ = partition.follow(Fence::Epoch(LeaderEpoch(8)));
        assert_eq!(partition.admit_produce(Duration::ZERO, Authority::Local, false), Err(Refusal::NotLeader));
    }

    #[test]
    fn epochs_clients_know_are_compared() {
        let check = |given| Partition::check_epoch(LeaderEpoch(given), LeaderEpoch(5));
        assert_eq!((check(-1), check(5)), (Ok(()), Ok(())));
        assert!(matches!(check(4), Err(Refusal::FencedEpoch { .. })));
        assert!(matches!(check(6), Err(Refusal::UnknownEpoch { .. })));
    }
}
