//! The end of a partition on this broker: its log is closed, put aside or deleted.

use super::{Active, Partition, Standing};
use crate::strays::Aside;
use log::Log;

impl Partition {
    /// Closes the log in an orderly way: the next start has nothing to check. Whether all of it is on disk. It may block.
    pub(crate) fn close(&self) -> bool {
        let was_sound = self.failed().is_none();
        self.end_story();
        let Some(Err(error)) = self.take_log().map(Log::close) else { return was_sound };
        tracing::warn!(partition = %self.name, %error, "log was not closed in an orderly way; it is recovered at the next start");
        false
    }

    /// What the log ends with has its story on disk before it is closed; a story that cannot be written is recovered.
    fn end_story(&self) {
        let mut story = self.story();
        let unwritten = self.held().active.as_mut().map(Active::take_unwritten).unwrap_or_default();
        let Some(Err(error)) = story.as_mut().map(|story| story.write(&unwritten)) else { return };
        tracing::warn!(partition = %self.name, %error, "where its last records come from could not be written");
    }

    /// Deletes the log from the disk. It may block.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn delete(&self) -> Result<(), log::FileError> {
        self.dir.forget_committed(self.place());
        self.take_log().map_or(Ok(()), Log::delete)
    }

    /// Lets go of the log for good and moves it to where what was put aside for `why` lies.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn put_aside(&self, why: Aside) -> Result<(), log::FileError> {
        self.end_story();
        self.dir.forget_committed(self.place());
        let aside = why.place(&self.dir.log_path(&self.name), self.storage.clock.now());
        self.take_log().map_or(Ok(()), |log| log.put_aside(&aside))
    }

    fn take_log(&self) -> Option<Log> {
        let mut held = self.held();
        held.standing = Standing::Idle;
        held.follower = None;
        let outcome = held.core.fence();
        self.settle(&mut held, outcome);
        self.publish(&mut held);
        held.log.take()
    }
}
