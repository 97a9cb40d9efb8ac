//! Waking those who wait for a partition to move on.

use super::{News, Partition, Place};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::Notify;

/// Rings whenever the marks of a partition change.
#[derive(Default)]
pub(crate) struct Bell {
    ears: Mutex<HashMap<u64, Arc<Notify>>>,
    /// How many ears there are, so that ringing costs nothing while nobody listens.
    listening: AtomicUsize,
    /// Those who are told every time.
    subscribers: Mutex<Vec<Weak<News>>>,
    /// How many of them there are.
    subscribed: AtomicUsize,
}

impl Bell {
    /// Wakes everybody who listens at `place`. Whoever wants to hear the next change listens again; subscribers need
    /// not.
    pub(crate) fn ring(&self, place: Place) {
        self.tell(place);
        if self.listening.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut ears = self.ears();
        self.listening.store(0, Ordering::SeqCst);
        ears.drain().for_each(|(_, notify)| notify.notify_one());
    }

    fn tell(&self, place: Place) {
        if self.subscribed.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut subscribers = self.subscribers();
        subscribers.retain(|news| news.upgrade().is_some_and(|news| news.mark(place)));
        self.subscribed.store(subscribers.len(), Ordering::SeqCst);
    }

    /// Has every change marked in `news`.
    pub(crate) fn subscribe(&self, news: &Arc<News>) {
        let mut subscribers = self.subscribers();
        if !subscribers.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(news))) {
            subscribers.push(Arc::downgrade(news));
        }
        self.subscribed.store(subscribers.len(), Ordering::SeqCst);
    }

    /// Marks nothing in `news` any more.
    pub(crate) fn unsubscribe(&self, news: &Arc<News>) {
        let mut subscribers = self.subscribers();
        subscribers.retain(|known| !std::ptr::eq(known.as_ptr(), Arc::as_ptr(news)));
        self.subscribed.store(subscribers.len(), Ordering::SeqCst);
    }

    fn subscribers(&self) -> MutexGuard<'_, Vec<Weak<News>>> {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, id: u64, notify: &Arc<Notify>) {
        let mut ears = self.ears();
        ears.entry(id).or_insert_with(|| notify.clone());
        self.listening.store(ears.len(), Ordering::SeqCst);
    }

    fn remove(&self, id: u64) {
        if self.listening.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut ears = self.ears();
        ears.remove(&id);
        self.listening.store(ears.len(), Ordering::SeqCst);
    }

    fn ears(&self) -> MutexGuard<'_, HashMap<u64, Arc<Notify>>> {
        self.ears.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who waits, at any number of partitions.
///
/// Listen first, then look, then wait: a change between the look and the wait is heard.
pub(crate) struct Ear {
    id: u64,
    notify: Arc<Notify>,
    at: Vec<Arc<Partition>>,
}

impl Ear {
    /// One who listens nowhere yet.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), notify: Arc::default(), at: Vec::new() }
    }

    /// Listens at `partition` for one change.
    pub(crate) fn listen(&mut self, partition: &Arc<Partition>) {
        partition.bell.add(self.id, &self.notify);
        if !self.at.iter().any(|known| Arc::ptr_eq(known, partition)) {
            self.at.push(partition.clone());
        }
    }

    /// Listens at all of `partitions`, which are the same at every call.
    pub(crate) fn listen_all(&mut self, partitions: &[Arc<Partition>]) {
        partitions.iter().for_each(|partition| partition.bell.add(self.id, &self.notify));
        if self.at.is_empty() {
            self.at = partitions.to_vec();
        }
    }

    /// Waits until one of them has changed.
    pub(crate) async fn heard(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.at.iter().for_each(|partition| partition.bell.remove(self.id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{PartitionId, TopicId};

    const PLACE: Place = (TopicId::ZERO, PartitionId(3));

    #[tokio::test]
    async fn a_ring_between_look_and_wait_is_heard() {
        let bell = Bell::default();
        let notify = Arc::new(Notify::new());
        bell.ring(PLACE);
        bell.add(1, &notify);
        bell.add(1, &notify);
        bell.ring(PLACE);
        notify.notified().await;
        assert_eq!(bell.listening.load(Ordering::SeqCst), 0);
        bell.add(2, &notify);
        bell.remove(2);
        assert_eq!(bell.listening.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_subscriber_is_told_every_time_until_it_is_gone() {
        let (bell, news) = (Bell::default(), Arc::new(News::default()));
        bell.subscribe(&news);
        bell.subscribe(&news);
        for _ in 0..2 {
            bell.ring(PLACE);
            bell.ring(PLACE);
            assert_eq!(news.take(), [PLACE]);
        }
        bell.unsubscribe(&news);
        bell.ring(PLACE);
        assert_eq!(news.take(), []);
        bell.subscribe(&news);
        drop(news);
        bell.ring(PLACE);
        assert_eq!(bell.subscribed.load(Ordering::SeqCst), 0);
    }
}
