//! One partition, copied.

mod restore;

use super::journal::Journal;
use super::reader::Reader;
use super::topics::Pair;
use super::{AttachedError, Settings, Shared, Side, look};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use mirror_core::attached::carry::{Aborted, Load, Parcel, carry};
use mirror_core::attached::keep::Home;
use mirror_core::attached::{Begin, Copy, Entry, Identity, Planned};
use model::limits::PRODUCER_BATCHES_KEPT;
use model::{Offset, OffsetRange, ProducerId};
use record::Batches;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use wire::ErrorCode;
use wire::api::list_offsets::{EARLIEST, LATEST};
use wire::client::{ClientError, Cluster, FetchLimits, Fetched};

const RETRY_PAUSE: Duration = Duration::from_secs(1);
const FETCH_BYTES: i32 = 4 << 20;

/// How to read the source again: what is committed, waiting a little for more.
const OF_SOURCE: FetchLimits =
    FetchLimits { wait_max: Duration::from_millis(500), bytes_min: 1, bytes_max: FETCH_BYTES, committed_only: true };
/// How to look for our own batches in the target.
const OF_TARGET: FetchLimits =
    FetchLimits { wait_max: Duration::ZERO, bytes_min: 0, bytes_max: FETCH_BYTES, committed_only: false };

/// The copy of one partition, with connections of its own: a fetch that waits holds up nobody else's.
pub(super) struct PartitionCopy {
    pair: Pair,
    partition: i32,
    side: Side,
    source: Cluster,
    target: Cluster,
    room: Arc<Semaphore>,
    path: PathBuf,
    /// What the clusters told of it when the link began.
    known: Vec<(Home, Copy)>,
    view: Shared,
}

/// A copy whose journal is open.
struct Running<'a> {
    task: &'a PartitionCopy,
    journal: Journal,
    reader: Reader,
    log_start: Offset,
}

impl PartitionCopy {
    /// A copy that has not begun; `room` is what fetches ahead of their turn may take, of all copies together, and `known` what
    /// the clusters tell of it.
    pub(super) fn new(
        pair: &Pair,
        partition: i32,
        settings: &Settings,
        room: &Arc<Semaphore>,
        known: Vec<(Home, Copy)>,
        view: Shared,
    ) -> Self {
        Self {
            partition,
            side: settings.source.clone(),
            source: settings.source.cluster(),
            target: settings.target.cluster(),
            room: room.clone(),
            path: Journal::path(&settings.directory, &pair.name, partition),
            pair: pair.clone(),
            known,
            view,
        }
    }

    /// Copies until something is wrong that does not pass by itself.
    pub(super) async fn run(self) {
        loop {
            let Err(error) = self.copy().await else { return };
            let (topic, partition) = (&self.pair.name, self.partition);
            if !error.may_pass() {
                tracing::error!(topic, partition, %error, "this partition is copied no further");
                look(&self.view).failure.get_or_insert(format!("{topic}-{partition}: {error}"));
                return;
            }
            tracing::warn!(topic, partition, %error, "trying again");
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Ends without an error when the view says that the copy has failed.
    async fn copy(&self) -> Result<(), AttachedError> {
        let mut running = self.open().await?;
        running.find_landed().await?;
        loop {
            running.settle().await?;
            if look(&self.view).failure.is_some() {
                return Ok(());
            }
            running.carry_on().await?;
            running.rewrite_if_worn()?;
        }
    }

    async fn open(&self) -> Result<Running<'_>, AttachedError> {
        let copy = match self.account().await? {
            Some(copy) => copy,
            None => Copy::new(self.begin().await?),
        };
        // What was read may not have been flushed yet, and is relied upon from now on.
        let journal = Journal::write(&self.path, &copy)?;
        let is_unnamed = copy.identity().is_none();
        look(&self.view).copy = Some(copy);
        let reader = Reader::new(&self.side, &self.pair.name, self.partition, self.room.clone());
        let mut running = Running { task: self, journal, reader, log_start: Offset::ZERO };
        if is_unnamed {
            running.take_identity().await?;
        }
        Ok(running)
    }

    async fn begin(&self) -> Result<Begin, AttachedError> {
        let (topic, partition) = (&self.pair.name, self.partition);
        let source = self.source.list_offset(topic, partition, EARLIEST).await.map_err(AttachedError::of_source)?;
        let first = self.target.list_offset(topic, partition, EARLIEST).await.map_err(AttachedError::of_target)?;
        let tail = self.target.list_offset(topic, partition, LATEST).await.map_err(AttachedError::of_target)?;
        if first.offset != tail.offset {
            return Err(AttachedError::Refused(format!(
                "the target partition holds offsets {} to {} already, {} does not exist, and no map in the clusters tells what \
                 they are: give the link the data directory it last used, or delete the topic in the target cluster",
                first.offset,
                tail.offset,
                self.path.display()
            )));
        }
        Ok(Begin {
            source_topic: self.pair.source,
            target_topic: self.pair.target,
            source: Offset(source.offset),
            target: Offset(tail.offset),
        })
    }

    async fn fetch(&self, from: Offset) -> Result<Fetched, ClientError> {
        self.source.fetch(&self.pair.name, self.partition, from.0, OF_SOURCE).await
    }
}

impl Running<'_> {
    fn with<T>(&self, read: impl FnOnce(&Copy) -> T) -> T {
        read(look(&self.task.view).copy.as_ref().expect("an open copy is shown"))
    }

    fn note(&mut self, entry: Entry) -> Result<(), AttachedError> {
        let mut view = look(&self.task.view);
        let copy = view.copy.as_mut().expect("an open copy is shown");
        copy.apply(&entry).map_err(|error| AttachedError::Refused(error.to_string()))?;
        drop(view);
        self.journal.append(&entry)
    }

    fn rewrite_if_worn(&mut self) -> Result<(), AttachedError> {
        if self.journal.is_worn() {
            let mut view = look(&self.task.view);
            let copy = view.copy.as_mut().expect("an open copy is shown");
            copy.forget_below(self.log_start);
            self.journal = Journal::write(&self.task.path, copy)?;
        }
        Ok(())
    }

    async fn take_identity(&mut self) -> Result<(), AttachedError> {
        let (producer, epoch) = self.task.target.producer_id().await.map_err(AttachedError::of_target)?;
        self.note(Entry::Identity { identity: Identity { producer, epoch }, sequence: 0 })
    }

    /// Goes on under the next epoch: what was planned and is not in the target is planned anew.
    async fn raise_epoch(&mut self) -> Result<(), AttachedError> {
        let (topic, partition) = (&self.task.pair.name, self.task.partition);
        tracing::warn!(topic, partition, "what was planned has changed in the source; it is planned anew");
        let identity = self.with(Copy::identity).expect("an open copy has an identity");
        match identity.epoch.checked_add(1) {
            Some(epoch) => {
                let identity = Identity { epoch, ..identity };
                self.note(Entry::Identity { identity, sequence: 0 })
            }
            None => self.take_identity().await,
        }
    }

    /// Looks in the target for batches of ours that have landed without our knowing.
    async fn find_landed(&mut self) -> Result<(), AttachedError> {
        let (target, topic, partition) = (&self.task.target, &self.task.pair.name, self.task.partition);
        let first = target.list_offset(topic, partition, EARLIEST).await.map_err(AttachedError::of_target)?;
        let tail = target.list_offset(topic, partition, LATEST).await.map_err(AttachedError::of_target)?;
        let known = self.with(|copy| copy.map().target_end());
        if tail.offset < known.0 {
            return Err(AttachedError::Refused(format!(
                "the target partition ends at offset {}, but records up to {known} were acknowledged: the target has lost \
                 what it took. Delete the topic in the target cluster and this link's journal to copy it anew",
                tail.offset
            )));
        }
        let mut at = known.0.max(first.offset);
        while at < tail.offset {
            let fetched = target.fetch(topic, partition, at, OF_TARGET).await.map_err(AttachedError::of_target)?;
            let before = at;
            for batch in Batches::new(&fetched.records) {
                let batch = batch.map_err(|error| AttachedError::Refused(format!("target offset {at}: {error}")))?;
                match self.with(|copy| copy.recognise(&batch)) {
                    Ok(Some(landed)) => self.note(landed)?,
                    Ok(None) => {}
                    Err(_) if self.adopt(batch.header()).await? => {}
                    Err(error) => return Err(AttachedError::Refused(error.to_string())),
                }
                at = batch.next_offset().0;
            }
            if at <= before {
                break;
            }
        }
        Ok(())
    }

    /// Brings to an end what was planned: what is not in the target is sent again under its numbers, one by one.
    async fn settle(&mut self) -> Result<(), AttachedError> {
        let mut is_looked = false;
        let mut from = self.with(Copy::position);
        while let Some(planned) = self.with(|copy| copy.planned().front().cloned()) {
            if !std::mem::replace(&mut is_looked, true) {
                self.find_landed().await?;
                continue;
            }
            from.advance(self.with(Copy::position));
            let fetched = match self.task.fetch(from).await {
                Ok(fetched) => fetched,
                Err(error) if error.code() == Some(ErrorCode::OFFSET_OUT_OF_RANGE) => {
                    return self.raise_epoch().await;
                }
                Err(error) => return Err(AttachedError::of_source(error)),
            };
            let load = carried(&fetched, from)?;
            match load.parcels.into_iter().next() {
                Some(parcel) if parcel.is(&planned) => {
                    let batch = self.batch_of(parcel, planned.sequence);
                    self.send_again(&planned, batch).await?;
                }
                None if load.end > from && load.end < planned.end => from = load.end,
                _ => return self.raise_epoch().await,
            }
        }
        Ok(())
    }

    fn batch_of(&self, parcel: Parcel<'_>, sequence: i32) -> Bytes {
        let identity = self.with(Copy::identity).expect("an open copy has an identity");
        parcel.batch(identity, sequence).into()
    }

    async fn send_again(&mut self, planned: &Planned, batch: Bytes) -> Result<(), AttachedError> {
        let (topic, partition) = (&self.task.pair.name, self.task.partition);
        match self.task.target.produce(topic, partition, batch, -1).await {
            Ok(produced) if produced.base_offset >= 0 => {
                self.note(Entry::Landed { base: Offset(produced.base_offset) })
            }
            Ok(_) => self.find_twin(planned).await,
            Err(error) if error.code() == Some(ErrorCode::DUPLICATE_SEQUENCE_NUMBER) => self.find_twin(planned).await,
            Err(error) if error.code() == Some(ErrorCode::UNKNOWN_PRODUCER_ID) => self.raise_epoch().await,
            Err(error) if error.code() == Some(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER) => {
                Err(AttachedError::Refused(format!(
                    "the target does not take sequence {} of this link's producer: it has lost what it took before. Delete \
                     the topic in the target cluster and this link's journal to copy it anew ({error})",
                    planned.sequence
                )))
            }
            Err(error) => Err(AttachedError::of_target(error)),
        }
    }

    /// The target says that it has the batch but not where.
    async fn find_twin(&mut self, planned: &Planned) -> Result<(), AttachedError> {
        self.find_landed().await?;
        match self.with(|copy| copy.planned().front() == Some(planned)) {
            false => Ok(()),
            true => Err(AttachedError::Refused(format!(
                "the target says that it has the batch of sequence {} but does not show it any more; its retention is too \
                 short for the records it is given",
                planned.sequence
            ))),
        }
    }

    /// Reads what comes next and sends it.
    async fn carry_on(&mut self) -> Result<(), AttachedError> {
        let from = self.with(Copy::position);
        let fetched = match self.reader.next(from).await {
            Ok(fetched) => fetched,
            Err(error) if error.code() == Some(ErrorCode::OFFSET_OUT_OF_RANGE) => return self.pass_gap(from).await,
            Err(error) => return Err(AttachedError::of_source(error)),
        };
        self.log_start = Offset(fetched.log_start_offset);
        let load = carried(&fetched, from)?;
        let (end, tally) = (load.end, load.tally);
        match load.parcels.is_empty() {
            true if end > from => self.note(Entry::Passed { end })?,
            true => {}
            false => self.send(load).await?,
        }
        let mut view = look(&self.task.view);
        view.tally = view.tally.plus(tally);
        view.source_tail = Offset(fetched.last_stable_offset);
        let position = view.copy.as_ref().map(Copy::position);
        view.is_at_end = position >= Some(view.source_tail);
        Ok(())
    }

    /// Plans everything, flushes, and sends it, some batches at a time.
    async fn send(&mut self, load: Load<'_>) -> Result<(), AttachedError> {
        let mut numbered = Vec::with_capacity(load.parcels.len());
        for parcel in load.parcels {
            let plan = self.with(|copy| copy.plan(parcel.runs.clone(), parcel.end));
            let Entry::Plan(planned) = &plan else { unreachable!("a plan is planned") };
            numbered.push((parcel, planned.sequence));
            self.note(plan)?;
        }
        self.journal.flush().await?;
        let (target, topic, partition) = (&self.task.target, &self.task.pair.name, self.task.partition);
        // The first call must not be overtaken while it finds out who leads.
        target.leader(topic, partition).await.map_err(AttachedError::of_target)?;
        let (mut waiting, mut coming) = (FuturesOrdered::new(), numbered.into_iter());
        loop {
            while waiting.len() < PRODUCER_BATCHES_KEPT
                && let Some((parcel, sequence)) = coming.next()
            {
                waiting.push_back(target.try_produce(topic, partition, self.batch_of(parcel, sequence)));
            }
            match waiting.next().await {
                None => return Ok(()),
                Some(Ok(produced)) if produced.base_offset >= 0 => {
                    self.note(Entry::Landed { base: Offset(produced.base_offset) })?;
                }
                // What has landed is found out, and the rest sent again.
                Some(Ok(_)) => return Ok(()),
                Some(Err(error)) => {
                    tracing::warn!(topic, partition, %error, "a batch has no acknowledgement");
                    return Ok(());
                }
            }
        }
    }

    /// The source no longer has `from`: what is missing becomes a stored fact.
    async fn pass_gap(&mut self, from: Offset) -> Result<(), AttachedError> {
        let (topic, partition) = (&self.task.pair.name, self.task.partition);
        let first = self.task.source.list_offset(topic, partition, EARLIEST).await.map_err(AttachedError::of_source)?;
        if first.offset <= from.0 {
            return Err(AttachedError::Refused(format!(
                "the source partition no longer reaches offset {from}: it has lost records that were copied. Compare both \
                 clusters; to copy the source as it is now, delete the topic in the target and this link's journal"
            )));
        }
        let gap = OffsetRange::new(from, Offset(first.offset));
        tracing::error!(topic, partition, %gap, "the source has dropped offsets before they were copied");
        self.note(Entry::Gap(gap))?;
        self.journal.flush().await
    }
}

fn carried(fetched: &Fetched, from: Offset) -> Result<Load<'_>, AttachedError> {
    let aborted = fetched.aborted.iter();
    let aborted: Vec<_> = aborted
        .map(|aborted| Aborted { producer: ProducerId(aborted.producer_id), first: Offset(aborted.first_offset) })
        .collect();
    carry(&fetched.records, from, &aborted).map_err(|error| AttachedError::Refused(error.to_string()))
}
