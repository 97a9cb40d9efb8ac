//! Where something happened, for one who looks after many partitions.

use model::{PartitionId, TopicId};
use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// One partition of a broker.
pub(crate) type Place = (TopicId, PartitionId);

/// The places where something happened since the last look, each once, in the order it did.
#[derive(Debug, Default)]
pub(crate) struct News {
    queue: Mutex<Queue>,
    marked: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    places: VecDeque<Place>,
    known: HashSet<Place>,
}

impl News {
    /// Something happened at `place`. Gives true, for there is somebody to look.
    pub(crate) fn mark(&self, place: Place) -> bool {
        let mut queue = self.queue();
        if queue.known.insert(place) {
            queue.places.push_back(place);
            drop(queue);
            self.marked.notify_one();
        }
        true
    }

    /// All of it, to be looked at now.
    pub(crate) fn take(&self) -> Vec<Place> {
        let mut queue = self.queue();
        queue.known.clear();
        queue.places.drain(..).collect()
    }

    /// Waits until there is something.
    pub(crate) async fn heard(&self) {
        while self.queue().places.is_empty() {
            self.marked.notified().await;
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_is_named_once_and_in_its_turn() {
        let news = News::default();
        let place = |partition| (TopicId::ZERO, PartitionId(partition));
        for partition in [2, 1, 2] {
            news.mark(place(partition));
        }
        news.heard().await;
        assert_eq!(news.take(), [place(2), place(1)]);
        assert_eq!(news.take(), []);
        news.mark(place(2));
        news.heard().await;
        assert_eq!(news.take(), [place(2)]);
    }
}
