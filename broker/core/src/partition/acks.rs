use model::Offset;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A request that waits, as the shell numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Waiter(pub u64);

/// How an ack that waited is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckOutcome {
    /// The records are as safe as was asked for.
    Committed,
    /// NOT_ENOUGH_REPLICAS_AFTER_APPEND: committed, but the in-sync set shrank below `min.insync.replicas`.
    NotEnoughReplicas,
    /// REQUEST_TIMED_OUT: they may still be committed.
    TimedOut,
    /// NOT_LEADER_OR_FOLLOWER: the leadership ended; they may still be committed by another.
    NotLeader,
    /// KAFKA_STORAGE_ERROR: they will not become durable here.
    Storage,
}

/// Acks that wait until everything below an offset is committed.
#[derive(Clone, Debug, Default)]
pub(super) struct Acks {
    by_offset: BTreeSet<(Offset, Waiter)>,
    by_deadline: BTreeSet<(Duration, Waiter)>,
    waits: BTreeMap<Waiter, (Offset, Duration)>,
}

impl Acks {
    pub(super) fn add(&mut self, waiter: Waiter, required: Offset, deadline: Duration) {
        self.waits.insert(waiter, (required, deadline));
        self.by_offset.insert((required, waiter));
        self.by_deadline.insert((deadline, waiter));
    }

    pub(super) fn remove(&mut self, waiter: Waiter) {
        if let Some((required, deadline)) = self.waits.remove(&waiter) {
            self.by_offset.remove(&(required, waiter));
            self.by_deadline.remove(&(deadline, waiter));
        }
    }

    /// Those that need no more than `committed`.
    pub(super) fn release(&mut self, committed: Offset) -> Vec<Waiter> {
        let due = self.by_offset.iter().take_while(|(required, _)| *required <= committed);
        self.take(due.map(|(_, waiter)| *waiter).collect())
    }

    pub(super) fn expire(&mut self, now: Duration) -> Vec<Waiter> {
        let due = self.by_deadline.iter().take_while(|(deadline, _)| *deadline <= now);
        self.take(due.map(|(_, waiter)| *waiter).collect())
    }

    pub(super) fn drain(&mut self) -> Vec<Waiter> {
        self.take(self.waits.keys().copied().collect())
    }

    fn take(&mut self, waiters: Vec<Waiter>) -> Vec<Waiter> {
        for waiter in &waiters {
            self.remove(*waiter);
        }
        waiters
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.by_deadline.first().map(|(deadline, _)| *deadline)
    }
}
