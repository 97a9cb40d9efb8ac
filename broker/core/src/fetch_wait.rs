//! Fetches that wait for more: which of them to look at again when something happens.
//!
//! A fetch waits for a number of bytes over all its partitions. It is woken when that much became readable, when its time
//! is up, or when anything else happened to one of its partitions: another leader, a truncation, an error. Being woken
//! means only "read again".

use crate::partition::Waiter;
use model::{PartitionId, TopicId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// One partition as a fetch names it.
pub type Place = (TopicId, PartitionId);

/// The fetches that wait on one broker.
#[derive(Clone, Debug, Default)]
pub struct FetchWaits {
    waits: BTreeMap<Waiter, Wait>,
    by_place: BTreeMap<Place, BTreeSet<Waiter>>,
    by_deadline: BTreeSet<(Duration, Waiter)>,
}

#[derive(Clone, Debug)]
struct Wait {
    places: Vec<Place>,
    missing_bytes: u64,
    deadline: Duration,
}

impl FetchWaits {
    /// `waiter` lacks `missing_bytes` over `places`.
    pub fn add(&mut self, waiter: Waiter, places: Vec<Place>, missing_bytes: u64, deadline: Duration) {
        for place in &places {
            self.by_place.entry(*place).or_default().insert(waiter);
        }
        self.by_deadline.insert((deadline, waiter));
        self.waits.insert(waiter, Wait { places, missing_bytes, deadline });
    }

    /// `bytes` more can be read at `place`. Answers whom to wake.
    pub fn on_readable(&mut self, place: Place, bytes: u64) -> Vec<Waiter> {
        let mut woken = vec![];
        for waiter in self.by_place.get(&place).into_iter().flatten() {
            let Some(wait) = self.waits.get_mut(waiter) else { continue };
            wait.missing_bytes = wait.missing_bytes.saturating_sub(bytes);
            if wait.missing_bytes == 0 {
                woken.push(*waiter);
            }
        }
        self.take(woken)
    }

    /// Something else happened at `place`: whoever waits there has to look again.
    pub fn on_change(&mut self, place: Place) -> Vec<Waiter> {
        let woken = self.by_place.get(&place).into_iter().flatten().copied().collect();
        self.take(woken)
    }

    /// Whose time is up.
    pub fn on_time(&mut self, now: Duration) -> Vec<Waiter> {
        let due = self.by_deadline.iter().take_while(|(deadline, _)| *deadline <= now);
        let woken = due.map(|(_, waiter)| *waiter).collect();
        self.take(woken)
    }

    /// The waiter is gone.
    pub fn remove(&mut self, waiter: Waiter) {
        let Some(wait) = self.waits.remove(&waiter) else { return };
        self.by_deadline.remove(&(wait.deadline, waiter));
        for place in wait.places {
            let Some(waiters) = self.by_place.get_mut(&place) else { continue };
            waiters.remove(&waiter);
            if waiters.is_empty() {
                self.by_place.remove(&place);
            }
        }
    }

    fn take(&mut self, waiters: Vec<Waiter>) -> Vec<Waiter> {
        for waiter in &waiters {
            self.remove(*waiter);
        }
        waiters
    }

    /// When [`on_time`](Self::on_time) wants to be called.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.by_deadline.first().map(|(deadline, _)| *deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(partition: i32) -> Place {
        (TopicId(uuid::Uuid::from_u128(1)), PartitionId(partition))
    }

    #[test]
    fn a_fetch_wakes_when_its_bytes_came_together_over_its_partitions() {
        let mut waits = FetchWaits::default();
        waits.add(Waiter(1), vec![place(0), place(1)], 100, Duration::from_secs(9));
        assert!(waits.on_readable(place(0), 60).is_empty());
        assert!(waits.on_readable(place(2), 60).is_empty());
        assert_eq!(waits.on_readable(place(1), 40), vec![Waiter(1)]);
        assert!(waits.on_readable(place(1), 40).is_empty(), "it wakes once");
        assert_eq!(waits.next_deadline(), None);
    }

    #[test]
    fn a_change_wakes_everyone_there_and_time_the_rest() {
        let mut waits = FetchWaits::default();
        for waiter in 1..4 {
            waits.add(Waiter(waiter), vec![place(waiter as i32 % 2)], 10, Duration::from_secs(waiter));
        }
        assert_eq!(waits.on_change(place(1)), vec![Waiter(1), Waiter(3)]);
        assert!(waits.on_time(Duration::from_secs(1)).is_empty());
        assert_eq!(waits.on_time(Duration::from_secs(2)), vec![Waiter(2)]);
        assert!(waits.by_place.is_empty() && waits.waits.is_empty());
    }
}
