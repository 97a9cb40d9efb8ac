//! Retiring, deleting and compacting records.

use super::{Gate, Partition, Shut, Standing};
use broker_core::metadata::Role;
use broker_core::retention::{Hold, Keep, Pass};
use env::BootInstant;
use log::{Compacted, Compaction, Log, ReadError, Retention, Retired, TruncateError};
use model::{Offset, RegionName, Timestamp};
use std::time::Duration;

/// Why records were not deleted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeleteError {
    /// This broker does not own the partition.
    #[error("the partition is not led here")]
    NotOwner,
    /// The gate is shut.
    #[error("writes are not taken now ({0:?})")]
    Shut(Shut),
    /// Records that are not committed cannot be deleted.
    #[error("offset {offset} is above the high watermark {high_watermark}")]
    AboveWatermark {
        /// The first offset that was to be kept.
        offset: Offset,
        /// What is committed.
        high_watermark: Offset,
    },
    /// The log could not do it.
    #[error(transparent)]
    Log(#[from] TruncateError),
}

/// Why a log was not compacted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompactError {
    /// It cannot be read, or what is left of it cannot be written.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The compacted segments could not be put in place.
    #[error(transparent)]
    Swap(#[from] TruncateError),
}

impl Partition {
    /// Notes how far the link of another region has everything on disk.
    pub(crate) fn note_link(&self, region: &RegionName, durable: Offset) {
        if durable >= Offset::ZERO {
            self.links().note(region.clone(), durable);
        }
    }

    /// Below it every one of `standbys` has everything on disk.
    pub(crate) fn links_floor(&self, standbys: &[RegionName]) -> Offset {
        self.links().floor(standbys)
    }

    /// Whether this broker decides when records are retired: replicas and copies follow its log start.
    pub(crate) fn is_retired_here(&self) -> bool {
        matches!(self.standing(), Standing::Owner { .. }) && self.failed().is_none()
    }

    /// Whether its log is compacted: what is committed says the same on every replica of an owner. Copies, and their
    /// replicas, keep what their source has sent them.
    pub(crate) fn is_compacted_here(&self) -> bool {
        let stands = match self.standing() {
            Standing::Owner { .. } => true,
            Standing::Replica { leader } => matches!(leader.role, Role::Owner { .. }),
            Standing::Copy { .. } | Standing::Idle => false,
        };
        stands && self.failed().is_none() && self.settings().is_compacted
    }

    /// Below it nothing is held any more for links.
    pub(crate) fn hold_expired(&self, hold: Hold, now: Timestamp) -> Offset {
        self.held().log.as_ref().map_or(Offset::ZERO, |log| log.expired(hold.age, hold.bytes, now))
    }

    /// Retires what has outlived a pass of retention. It may block.
    ///
    /// # Errors
    /// What the system says; the log starts where it did.
    pub(crate) fn retain(&self, pass: &Pass, now: Timestamp) -> Result<Retired, TruncateError> {
        let Keep { age_max, bytes_max } = pass.keep;
        let mut held = self.held();
        let limit = pass.limit.min(self.marks().high_watermark);
        let Some(log) = &mut held.log else { return Ok(Retired::default()) };
        let retired = log.retain(&Retention { age_max, bytes_max }, now, limit);
        self.publish(&mut held);
        retired
    }

    /// Deletes the records below `upto`, or all that are committed, as the owner; gives the log start. It may block.
    ///
    /// # Errors
    /// [`DeleteError`]: the log starts where it did.
    pub(crate) fn delete_records(&self, upto: Option<Offset>, boot: BootInstant) -> Result<Offset, DeleteError> {
        let mut held = self.held();
        let Standing::Owner { gate, .. } = &held.standing else { return Err(DeleteError::NotOwner) };
        let _pass = Gate::enter(gate, boot).map_err(DeleteError::Shut)?;
        let high_watermark = self.marks().high_watermark;
        let offset = upto.unwrap_or(high_watermark);
        if offset > high_watermark {
            return Err(DeleteError::AboveWatermark { offset, high_watermark });
        }
        let log = held.log.as_mut().ok_or(DeleteError::NotOwner)?;
        let start = log.set_log_start(offset);
        self.publish(&mut held);
        Ok(start?)
    }

    /// Keeps the last record of each key of what is decided and lies below `limit`, if that is due. It may block; only
    /// the swap keeps others waiting.
    ///
    /// # Errors
    /// [`CompactError`]: the log says what it said.
    pub(crate) fn compact(
        &self,
        policy: &Compaction,
        now: Timestamp,
        limit: Offset,
    ) -> Result<Option<Compacted>, CompactError> {
        let limit = self.marks().last_stable.min(limit);
        let job = self.held().log.as_ref().map(|log| log.compaction_job(policy, now, limit));
        let Some(cleaned) = job.map(log::CompactionJob::run).transpose()?.flatten() else { return Ok(None) };
        let mut held = self.held();
        let Some(log) = &mut held.log else { return Ok(None) };
        let swapped = log.swap_in(cleaned);
        if let Err(error) = &swapped {
            self.fail(&mut held, error);
        }
        Ok(Some(swapped?))
    }

    /// Begins a new segment if the active one is `age_max` old. It may block.
    ///
    /// # Errors
    /// What the system says; the log goes on in the old one.
    pub(crate) fn roll_if_older(&self, age_max: Duration, now: Timestamp) -> Result<bool, TruncateError> {
        let rolled = self.held().log.as_mut().map_or(Ok(false), |log: &mut Log| log.roll_if_older(age_max, now))?;
        if rolled {
            // Nothing is compacted before the marks on disk have left it.
            self.flush();
        }
        Ok(rolled)
    }
}
