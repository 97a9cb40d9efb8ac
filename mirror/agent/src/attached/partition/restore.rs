//! Which account of a partition its copy goes on from, and how it catches up with a target that has more than the account
//! tells of.

use super::{AttachedError, Entry, Identity, Journal, PartitionCopy, Running, carried};
use mirror_core::attached::Copy;
use mirror_core::attached::keep::{Facts, Home, longest};
use model::Offset;
use record::{Batches, Header};
use wire::api::list_offsets::LATEST;

impl PartitionCopy {
    /// The account that stands: of the journal, or of the map in one of the clusters when it reaches further.
    pub(super) async fn account(&self) -> Result<Option<Copy>, AttachedError> {
        let journal = Journal::read(&self.path)?;
        if let Some(copy) = &journal {
            let begin = copy.begin();
            if let Some(difference) = self.pair.difference(begin.source_topic, begin.target_topic) {
                return Err(AttachedError::Refused(difference));
            }
        }
        if self.known.is_empty() {
            return Ok(journal);
        }
        let facts = self.facts().await?;
        // A target that has lost what it acknowledged is told as such, not papered over.
        if journal.as_ref().is_some_and(|copy| copy.map().target_end() > facts.target_tail) {
            return Ok(journal);
        }
        let accounts = journal.map(|copy| (Home::Journal, copy)).into_iter().chain(self.known.iter().cloned());
        self.judged(accounts.collect(), facts)
    }

    async fn facts(&self) -> Result<Facts, AttachedError> {
        let tail = self.target.list_offset(&self.pair.name, self.partition, LATEST).await;
        let target_tail = Offset(tail.map_err(AttachedError::of_target)?.offset);
        Ok(Facts { source_topic: self.pair.source, target_topic: self.pair.target, target_tail })
    }

    fn judged(&self, accounts: Vec<(Home, Copy)>, facts: Facts) -> Result<Option<Copy>, AttachedError> {
        let (topic, partition) = (&self.pair.name, self.partition);
        let found = longest(accounts, facts).map_err(|contradiction| {
            AttachedError::Refused(format!(
                "{contradiction}, so one of them is damaged. Delete the one that is wrong (a journal is {}, a map is a topic \
                 farshore.map.… of its cluster), or the topic in the target cluster to copy it anew",
                self.path.display()
            ))
        })?;
        if let Some((home, copy)) = found.as_ref().filter(|(home, _)| *home != Home::Journal) {
            tracing::warn!(topic, partition, position = %copy.position(), "the copy goes on from {home}");
        }
        Ok(found.map(|(_, copy)| copy))
    }
}

impl Running<'_> {
    /// Takes note of a batch of our producer in the target of which the account knows nothing, if it is, bit for bit, what
    /// would be sent next. Then it was sent after the account was written.
    pub(super) async fn adopt(&mut self, header: &Header) -> Result<bool, AttachedError> {
        if !self.is_next(header) {
            return Ok(false);
        }
        loop {
            let from = self.with(Copy::position);
            let fetched = self.task.fetch(from).await.map_err(AttachedError::of_source)?;
            let load = carried(&fetched, from)?;
            let Some(parcel) = load.parcels.into_iter().next() else {
                if load.end <= from {
                    return Ok(false);
                }
                self.note(Entry::Passed { end: load.end })?;
                continue;
            };
            let plan = self.with(|copy| copy.plan(parcel.runs.clone(), parcel.end));
            let batch = self.batch_of(parcel, header.base_sequence);
            if !Batches::new(&batch).any(|batch| batch.is_ok_and(|batch| batch.crc == header.crc)) {
                return Ok(false);
            }
            self.note(plan)?;
            self.note(Entry::Landed { base: header.base_offset })?;
            return Ok(true);
        }
    }

    fn is_next(&self, header: &Header) -> bool {
        let identity = Identity { producer: header.producer_id, epoch: header.producer_epoch };
        self.with(|copy| {
            let is_ours = copy.identity() == Some(identity) && copy.next_sequence() == header.base_sequence;
            is_ours && copy.planned().is_empty()
        })
    }
}
