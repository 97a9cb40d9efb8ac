//! When a log is flushed, and what follows from it.

use super::Partition;
use super::active::{Active, Story};
use crate::Flush;
use log::Log;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

/// After which time what nobody waits for is flushed all the same, so that a crash leaves little to recover.
const LAZY_FLUSH: Duration = Duration::from_secs(5);
/// The same where the page cache is trusted, which writes back after about that time by itself.
const LAZY_FLUSH_OS: Duration = Duration::from_secs(30);

impl Partition {
    /// Has it flushed soon if anything is not.
    pub(crate) fn flush_soon(self: &Arc<Self>) {
        let marks = self.marks();
        if marks.flushed < marks.tail {
            self.storage.flusher.request(self);
        }
    }

    /// Has it flushed if its oldest record that is not has waited for `flush.ms`, or for so long that a crash would leave
    /// much to recover.
    pub(crate) fn flush_if_due(self: &Arc<Self>) {
        let marks = self.marks();
        if marks.flushed >= marks.tail {
            return;
        }
        let settings = self.settings();
        let lazily = if settings.flush == Flush::Os { LAZY_FLUSH_OS } else { LAZY_FLUSH };
        let age_max = settings.topic.flush_age_max.min(lazily);
        let oldest = self.held().log.as_ref().and_then(|log| log.append_time(marks.flushed));
        if oldest.is_none_or(|time| self.storage.clock.now().since(time) >= age_max) {
            self.storage.flusher.request(self);
        }
    }

    /// Whether as many records as `flush.messages` says are not on disk.
    pub(super) fn has_enough_to_flush(&self) -> bool {
        let public = self.public();
        let waiting = public.marks.tail.since(public.marks.flushed);
        waiting >= public.settings.topic.flush_records
    }

    /// Runs in a thread of the flusher: makes durable what was appended so far and shows it to others.
    pub(super) fn flush(&self) {
        // One after the other: the story of what is flushed is written before, by whoever took it.
        let mut story = self.story();
        let (job, unwritten) = {
            let mut held = self.held();
            let job = held.log.as_ref().and_then(Log::flush_job);
            (job, held.active.as_mut().map(Active::take_unwritten).unwrap_or_default())
        };
        let Some(job) = job else { return };
        if let Some(story) = story.as_mut().filter(|_| !unwritten.is_empty())
            && let Err(error) = story.write(&unwritten)
        {
            return self.fail(&mut self.held(), &error);
        }
        let flushed = job.run();
        let mut held = self.held();
        match (flushed, &mut held.log) {
            (Ok(flushed), Some(log)) => {
                log.flushed_to(flushed);
            }
            (Err(error), _) => self.fail(&mut held, &error),
            (Ok(_), None) => return,
        }
        self.advance(&mut held);
        self.publish(&mut held);
        let flushed = self.marks().flushed;
        if held.active.as_ref().is_some_and(|active| active.has_news(flushed)) {
            self.storage.conflict_news.notify_one();
        }
    }

    /// Where its records come from, on disk; taken before anything else is held.
    pub(super) fn story(&self) -> MutexGuard<'_, Option<Story>> {
        self.story.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
