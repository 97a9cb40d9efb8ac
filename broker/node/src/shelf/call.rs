//! What the desk of a region asks the leader of a partition for a backup or a restore, and what that answers.

use super::ShelfError;
use crate::Broker;
use crate::copy::CopyFailure;
use crate::replica::{Partition, Standing};
use bytes::Bytes;
use model::{ByteCount, Commit, CopyTerm, Offset, OffsetRange, PartitionId, ProtectionGroup, TopicId};
use record::Batches;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A question about one partition.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Question {
    pub(super) topic: TopicId,
    pub(super) partition: PartitionId,
    pub(super) ask: Ask,
}

/// What is asked. Whoever writes names the term under which he takes the leader to lead the copy.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ask {
    /// What can be read.
    Extent,
    /// Batches from `from` on.
    Read { from: Offset, max: ByteCount, committed: bool },
    /// What a copy durably holds.
    Span,
    /// Have an empty log begin there.
    Begin { at: Offset, term: CopyTerm },
    /// Append the batches that came with the question to the log, which ends there.
    Append { at: Offset, term: CopyTerm },
    /// Have the log start there.
    Finish { start: Offset, term: CopyTerm },
    /// The commits of a protection group in this partition of the offsets topic.
    HeldCommits { group: ProtectionGroup },
    /// Write these commits, which belong into this partition of the offsets topic.
    RestoreCommits { commits: Vec<Commit> },
}

/// What is answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Said {
    Extent {
        range: OffsetRange,
        bytes: ByteCount,
    },
    /// They came beside it.
    Batches,
    Span {
        start: Offset,
        tail: Offset,
    },
    Done,
    Commits(Vec<Commit>),
    Restored(u64),
}

impl Broker {
    /// Answers for a partition that is led here.
    ///
    /// # Errors
    /// [`ShelfError`] says whether it may be asked again.
    pub(crate) async fn answer_shelf(&self, question: Question, batches: Bytes) -> Result<(Answer, Bytes), ShelfError> {
        let Question { topic, partition, ask } = question;
        let said = match ask {
            Ask::Read { from, max, committed } => {
                self.check_led(topic, partition)?;
                let batches = self.read_batches(topic, partition, from, max, committed).await?;
                return Ok((Answer(Said::Batches), batches));
            }
            Ask::Extent => {
                let led = self.check_led(topic, partition)?;
                let range = OffsetRange::new(led.marks().start, led.marks().high_watermark);
                Said::Extent { range, bytes: led.size() }
            }
            Ask::Span => {
                let state = self.copy_state(topic, partition)?;
                Said::Span { start: state.start, tail: state.flushed }
            }
            Ask::Begin { at, term } => {
                self.check_term(topic, partition, term)?;
                self.restart_copy(topic, partition, at).await?;
                Said::Done
            }
            Ask::Append { at, term } => {
                self.check_term(topic, partition, term)?;
                self.append_restored(topic, partition, at, batches).await?;
                Said::Done
            }
            Ask::Finish { start, term } => {
                self.check_term(topic, partition, term)?;
                self.raise_copy_start(topic, partition, start).await?;
                Said::Done
            }
            Ask::HeldCommits { group } => {
                Said::Commits(self.commits_in(&group, partition).map_err(ShelfError::NotReady)?)
            }
            Ask::RestoreCommits { commits } => {
                Said::Restored(self.restore_commits(commits).await.map_err(ShelfError::NotReady)?)
            }
        };
        Ok((Answer(said), Bytes::new()))
    }

    fn check_led(&self, topic: TopicId, partition: PartitionId) -> Result<Arc<Partition>, ShelfError> {
        let found = self.shelved(topic, partition)?;
        let leads = found.standing().leads();
        leads.then_some(found).ok_or_else(|| ShelfError::NotReady(format!("{topic}-{partition} is led elsewhere")))
    }

    fn check_term(&self, topic: TopicId, partition: PartitionId, named: CopyTerm) -> Result<(), ShelfError> {
        let found = self.shelved(topic, partition)?;
        match found.standing() {
            Standing::Copy { term, .. } if term == named => Ok(()),
            Standing::Copy { term, .. } => {
                Err(ShelfError::NotReady(format!("{} is led under copy term {term}, not {named}", found.name)))
            }
            _ => Err(ShelfError::NotReady(format!("{} is no copy that is led here", found.name))),
        }
    }

    /// Appends batches and makes them durable. Those whose answer was lost are there already.
    async fn append_restored(
        &self,
        topic: TopicId,
        partition: PartitionId,
        at: Offset,
        batches: Bytes,
    ) -> Result<(), ShelfError> {
        let tail = self.copy_state(topic, partition)?.tail;
        let end = Batches::new(&batches).last().and_then(|batch| Some(batch.ok()?.next_offset()));
        if tail == at || end != Some(tail) {
            self.append_copy(topic, partition, at, batches).await?;
        }
        let tail = self.copy_state(topic, partition)?.tail;
        Ok(self.copy_flushed(topic, partition, tail).await?)
    }
}

/// What is answered, for whoever only passes it on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Answer(pub(super) Said);

impl From<CopyFailure> for ShelfError {
    fn from(failure: CopyFailure) -> Self {
        match failure {
            CopyFailure::NotReady(reason) => Self::NotReady(reason),
            CopyFailure::Sealed | CopyFailure::Failed(_) => Self::Failed(failure.to_string()),
        }
    }
}
