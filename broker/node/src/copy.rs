//! What links and restores do to this region's copies.

use crate::Broker;
use crate::replica::{CopyError, Ear, Partition, Standing, SyncTerms};
use bytes::Bytes;
use log::EpochStart;
use model::{
    Baseline, ByteCount, CopyTerm, DivergedTail, Gap, Offset, OffsetRange, OwnershipEpoch, PartitionId, Timestamp,
    TopicId, copy_states,
};
use record::Batches;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;

/// How much is looked at at once when a tail is counted.
const SCAN_BYTES: ByteCount = ByteCount::mib(1);

/// How much of a diverged file is read at once, at most.
const DIVERGED_BYTES_MAX: u32 = 1 << 20;

/// What a copy holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyState {
    /// The first offset kept.
    pub start: Offset,
    /// The next offset.
    pub tail: Offset,
    /// Everything below is on disk, on all of its replicas that are in sync.
    pub flushed: Offset,
    /// What readers were shown.
    pub high_watermark: Offset,
    /// The leader epochs of its batches: epoch, start, base.
    pub epochs: Vec<EpochStart>,
    /// What it does not hold although nothing in it says so.
    pub baseline: Baseline,
}

/// Why a copy was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CopyFailure {
    /// It is not there, or no copy here; look again later.
    #[error("{0}")]
    NotReady(String),
    /// Nothing more is taken from any link.
    #[error("the copy is sealed")]
    Sealed,
    /// It cannot be written.
    #[error("{0}")]
    Failed(String),
}

impl From<CopyError> for CopyFailure {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::Sealed => Self::Sealed,
            CopyError::NotCopy | CopyError::Closed(_) | CopyError::NoRoom | CopyError::Remade => {
                Self::NotReady(error.to_string())
            }
            CopyError::Failed(_)
            | CopyError::Log(_)
            | CopyError::Truncate(_)
            | CopyError::Read(_)
            | CopyError::File(_) => Self::Failed(error.to_string()),
        }
    }
}

impl From<io::Error> for CopyFailure {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Broker {
    fn copy(&self, topic: TopicId, partition: PartitionId) -> Result<Arc<Partition>, CopyFailure> {
        let held = self.0.partitions.held();
        let found = held.partition(topic, partition).cloned();
        let found = found.ok_or_else(|| CopyFailure::NotReady(format!("no partition {partition} of topic {topic}")))?;
        match found.standing() {
            Standing::Copy { sealed: true, .. } => Err(CopyFailure::Sealed),
            Standing::Copy { .. } => Ok(found),
            _ => Err(CopyFailure::NotReady(format!("{} is no copy here", found.name))),
        }
    }

    /// Whether this broker leads the partition as a copy, so that a link may write to it.
    pub fn leads_copy(&self, topic: TopicId, partition: PartitionId) -> bool {
        let held = self.0.partitions.held();
        held.partition(topic, partition).is_some_and(|held| matches!(held.standing(), Standing::Copy { .. }))
    }

    /// Moves whenever this broker may have become something else to some partition.
    pub fn standing_changes(&self) -> watch::Receiver<u64> {
        self.0.partitions.changes()
    }

    /// What a copy holds.
    ///
    /// # Errors
    /// [`CopyFailure::NotReady`] while there is no such copy.
    pub fn copy_state(&self, topic: TopicId, partition: PartitionId) -> Result<CopyState, CopyFailure> {
        let copy = self.copy(topic, partition)?;
        let marks = copy.marks();
        Ok(CopyState {
            start: marks.start,
            tail: marks.tail,
            flushed: marks.copy_watermark,
            high_watermark: marks.high_watermark,
            epochs: copy.epochs(),
            baseline: copy.reader.baseline(),
        })
    }

    /// Why a copy that is led here is no standby, as far as is known beside its log.
    pub(crate) fn copy_defect(&self, topic: TopicId, partition: PartitionId) -> Option<&'static str> {
        let held = self.0.partitions.held();
        let copy = held.partition(topic, partition).filter(|held| matches!(held.standing(), Standing::Copy { .. }))?;
        // The log first: what is on disk by then has at least what it lacked.
        let baseline = copy.reader.baseline();
        if baseline.different.is_some() {
            return Some(copy_states::DIFFERENT);
        }
        match baseline.missed {
            Some(_) => Some(copy_states::MUST_REBUILD),
            None => (!baseline.is_whole(copy.marks().copy_watermark)).then_some(copy_states::INCOMPLETE),
        }
    }

    /// Where a copy is known not to hold what its source holds, though that was found long ago.
    pub(crate) fn copy_difference(&self, topic: TopicId, partition: PartitionId) -> Option<OffsetRange> {
        self.0.partitions.held().partition(topic, partition)?.reader.baseline().different
    }

    /// Follows how far a copy is on the disks of its whole in-sync set; the sender is dropped when it is a copy no more, or
    /// under another term.
    ///
    /// # Errors
    /// [`CopyFailure::NotReady`] while there is no such copy.
    pub fn watch_copy(&self, topic: TopicId, partition: PartitionId) -> Result<watch::Receiver<Offset>, CopyFailure> {
        let copy = self.copy(topic, partition)?;
        let (flushed, watched) = watch::channel(copy.marks().copy_watermark);
        let term = copy_term(&copy);
        self.spawn(tell_flushed(self.clone(), copy, term, flushed));
        Ok(watched)
    }

    /// Appends whole batches at the copy's tail, which has to be `at`.
    ///
    /// # Errors
    /// [`CopyFailure`] says whether it may be tried again.
    pub async fn append_copy(
        &self,
        topic: TopicId,
        partition: PartitionId,
        at: Offset,
        batches: Bytes,
    ) -> Result<(), CopyFailure> {
        let copy = self.copy(topic, partition)?;
        let tail = copy.marks().tail;
        if tail != at {
            return Err(CopyFailure::NotReady(format!("{} ends at {tail}, not at {at}", copy.name)));
        }
        // The kernel may take its time when the disk is far behind.
        let appended = tokio::task::spawn_blocking(move || copy.append_copy(&batches)).await;
        appended.map_err(|error| CopyFailure::Failed(error.to_string()))??;
        Ok(())
    }

    /// Waits until everything below `offset` of a copy is on disk.
    ///
    /// # Errors
    /// When it will not be.
    pub async fn copy_flushed(
        &self,
        topic: TopicId,
        partition: PartitionId,
        offset: Offset,
    ) -> Result<(), CopyFailure> {
        let copy = self.copy(topic, partition)?;
        copy.flush_soon();
        copy.flushed(offset).await.map_err(|lost| CopyFailure::Failed(lost.to_string()))
    }

    /// Under what this copy speaks to its source; `None` where that does not wait for it.
    pub fn sync_terms(&self, topic: TopicId, partition: PartitionId) -> Option<SyncTerms> {
        let incarnation = self.image().region()?.incarnation;
        self.copy(topic, partition).ok()?.sync_terms(&self.0.config.region, incarnation)
    }

    /// The leadership of a copy.
    ///
    /// # Errors
    /// [`CopyFailure::NotReady`] while there is no such copy.
    pub fn copy_term(&self, topic: TopicId, partition: PartitionId) -> Result<CopyTerm, CopyFailure> {
        let copy = self.copy(topic, partition)?;
        copy_term(&copy).ok_or_else(|| CopyFailure::NotReady(format!("{} is no copy here", copy.name)))
    }

    /// Takes note of what a copy's source said under a grant.
    pub fn mark_source(
        &self,
        topic: TopicId,
        partition: PartitionId,
        epoch: OwnershipEpoch,
        marks: crate::SourceMarks,
    ) {
        let Ok(copy) = self.copy(topic, partition) else { return };
        let is_current = |group: &model::ProtectionGroup| {
            self.image().group(group).is_some_and(|known| known.obeyed() == epoch && !known.owned)
        };
        let group = self.0.partitions.held().with_id(topic).and_then(|topic| topic.group.clone());
        if group.is_some_and(|group| is_current(&group)) {
            copy.mark_source(marks);
        }
    }

    /// Copies everything of a copy from `from` on to a file of its own, and keeps the fact for the council; both durably.
    ///
    /// # Errors
    /// [`CopyFailure`]; nothing may be cut off then.
    pub async fn archive_tail(
        &self,
        topic: TopicId,
        partition: PartitionId,
        from: Offset,
    ) -> Result<DivergedTail, CopyFailure> {
        let (copy, broker) = (self.copy(topic, partition)?, self.clone());
        let archived = tokio::task::spawn_blocking(move || broker.archive(&copy, from)).await;
        archived.map_err(|error| CopyFailure::Failed(error.to_string()))?
    }

    fn archive(&self, copy: &Partition, from: Offset) -> Result<DivergedTail, CopyFailure> {
        let (mut tail, epoch) = count(copy, from)?;
        let path = self.diverged_path(copy, epoch, from);
        let copied = copy.archive(&path, from)?;
        tail.range = OffsetRange::new(copied.range.start.min(from), copied.range.end);
        tail.bytes = copied.bytes;
        tail.file = path.strip_prefix(&self.0.config.region_dir).unwrap_or(&path).display().to_string();
        if tail.records > 0 {
            self.0.facts.record_diverged(tail.clone())?;
        }
        Ok(tail)
    }

    /// `diverged/<topic>-<partition>-<ownership epoch>.log`, with the offset where another part of it is there already.
    fn diverged_path(&self, copy: &Partition, epoch: OwnershipEpoch, from: Offset) -> PathBuf {
        let dir = self.0.config.diverged_dir();
        let first = dir.join(format!("{}-{epoch}.log", copy.name));
        let is_other = |path: &PathBuf| {
            let begins = std::fs::read(path)
                .ok()
                .and_then(|bytes| Batches::new(&bytes).next()?.ok().map(|batch| batch.header().base_offset));
            begins.is_some_and(|begins| begins != from)
        };
        if is_other(&first) { dir.join(format!("{}-{epoch}-{from}.log", copy.name)) } else { first }
    }

    /// Bytes of a file that this broker archived; `None` when it is another's.
    pub(crate) async fn own_diverged(&self, file: &str, at: u64, max: u32) -> Result<Option<Vec<u8>>, String> {
        let Some(name) = Path::new(file).file_name() else { return Ok(None) };
        let path = self.0.config.diverged_dir().join(name);
        // Nothing else can be read by naming it.
        let is_own = path.strip_prefix(&self.0.config.region_dir).unwrap_or(&path) == Path::new(file);
        if !is_own || !path.is_file() {
            return Ok(None);
        }
        let read = tokio::task::spawn_blocking(move || read_part(&path, at, max.min(DIVERGED_BYTES_MAX))).await;
        let read = read.map_err(|error| error.to_string())?;
        read.map(Some).map_err(|error| format!("{file} cannot be read: {error}"))
    }

    /// Cuts a copy off, durably; gives its tail.
    ///
    /// # Errors
    /// [`CopyFailure`] says whether it may be tried again.
    pub async fn truncate_copy(
        &self,
        topic: TopicId,
        partition: PartitionId,
        to: Offset,
    ) -> Result<Offset, CopyFailure> {
        self.blocking(topic, partition, move |copy| copy.truncate(to)).await
    }

    /// Drops everything of a copy; it begins empty at `at`.
    ///
    /// # Errors
    /// [`CopyFailure`] says whether it may be tried again.
    pub async fn restart_copy(&self, topic: TopicId, partition: PartitionId, at: Offset) -> Result<(), CopyFailure> {
        self.blocking(topic, partition, move |copy| copy.restart_at(at)).await.map(drop)
    }

    /// Keeps what a copy does not hold although nothing in it says so, durably.
    ///
    /// # Errors
    /// [`CopyFailure`] says whether it may be tried again.
    pub async fn inherit_copy(
        &self,
        topic: TopicId,
        partition: PartitionId,
        baseline: Baseline,
    ) -> Result<(), CopyFailure> {
        self.blocking(topic, partition, move |copy| copy.inherit(baseline)).await
    }

    /// Keeps that a copy does not hold in `range` what its source holds, durably, until it is made anew; `remade` says of
    /// which making that was found.
    ///
    /// # Errors
    /// [`CopyFailure`] says whether it may be tried again.
    pub async fn mark_copy_different(
        &self,
        topic: TopicId,
        partition: PartitionId,
        range: OffsetRange,
        remade: u32,
    ) -> Result<(), CopyFailure> {
        self.blocking(topic, partition, move |copy| copy.mark_different(range, remade)).await
    }

    /// Drops everything of a copy, which is then copied anew.
    ///
    /// # Errors
    /// [`CopyFailure`] says whether it may be tried again.
    pub(crate) async fn remake_copy(&self, topic: TopicId, partition: PartitionId) -> Result<(), CopyFailure> {
        self.blocking(topic, partition, Partition::remake).await
    }

    /// Follows the source's log start.
    ///
    /// # Errors
    /// [`CopyFailure`] says whether it may be tried again.
    pub async fn raise_copy_start(
        &self,
        topic: TopicId,
        partition: PartitionId,
        to: Offset,
    ) -> Result<(), CopyFailure> {
        self.blocking(topic, partition, move |copy| copy.raise_start(to)).await.map(drop)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        topic: TopicId,
        partition: PartitionId,
        work: impl FnOnce(&Partition) -> Result<T, CopyError> + Send + 'static,
    ) -> Result<T, CopyFailure> {
        let copy = self.copy(topic, partition)?;
        let done = tokio::task::spawn_blocking(move || work(&copy)).await;
        Ok(done.map_err(|error| CopyFailure::Failed(error.to_string()))??)
    }

    /// Keeps a gap for the council, durably.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn record_gap(&self, gap: Gap) -> io::Result<()> {
        self.0.facts.record_gap(gap)
    }
}

/// The term it is led under as a copy, if it is.
fn copy_term(partition: &Partition) -> Option<CopyTerm> {
    match partition.standing() {
        Standing::Copy { term, .. } => Some(term),
        Standing::Owner { .. } | Standing::Replica { .. } | Standing::Idle => None,
    }
}

async fn tell_flushed(broker: Broker, copy: Arc<Partition>, term: Option<CopyTerm>, flushed: watch::Sender<Offset>) {
    let (mut ear, mut stop, remade) = (Ear::new(), broker.0.stop.subscribe(), copy.reader.baseline().remade);
    loop {
        ear.listen(&copy);
        let is_here = broker.0.partitions.held().partition(copy.topic_id, copy.number()).is_some();
        let is_same = copy_term(&copy) == term && copy.reader.baseline().remade == remade;
        if !is_here || term.is_none() || !is_same {
            return;
        }
        let marks = copy.marks();
        flushed.send_if_modified(|known| std::mem::replace(known, marks.copy_watermark) != marks.copy_watermark);
        tokio::select! {
            () = ear.heard() => {}
            () = flushed.closed() => return,
            () = crate::listener::stopped(&mut stop) => return,
        }
    }
}

fn read_part(path: &Path, at: u64, max: u32) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = vec![];
    file.take(max.into()).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Counts the records from `from` on; and under which grant the last of them was written.
fn count(copy: &Partition, from: Offset) -> Result<(DivergedTail, OwnershipEpoch), CopyFailure> {
    let mut tail = DivergedTail {
        topic: copy.topic_id,
        partition: copy.number(),
        ownership_epoch: OwnershipEpoch(0),
        range: OffsetRange::new(from, from),
        records: 0,
        bytes: 0,
        first_time: Timestamp::NONE,
        last_time: Timestamp::NONE,
        file: String::new(),
    };
    let (mut at, end) = (from, copy.marks().tail);
    while at < end {
        let failed = |error: log::ReadError| CopyFailure::Failed(error.to_string());
        let Some(slice) = copy.reader.read(at, end, SCAN_BYTES, true).map_err(failed)? else { break };
        for batch in Batches::new(&slice.to_bytes().map_err(failed)?) {
            let batch = batch.map_err(|error| CopyFailure::Failed(error.to_string()))?;
            tail.note(batch.header());
        }
        at = slice.next_offset;
    }
    let epoch = tail.ownership_epoch;
    Ok((tail, epoch))
}

trait Note {
    fn note(&mut self, batch: &record::Header);
}

impl Note for DivergedTail {
    fn note(&mut self, batch: &record::Header) {
        self.ownership_epoch = batch.leader_epoch.ownership();
        if batch.attributes.is_control() {
            return;
        }
        self.records += u64::try_from(batch.count).unwrap_or(0);
        if self.first_time == Timestamp::NONE {
            self.first_time = batch.max_timestamp;
        }
        self.last_time = batch.max_timestamp;
    }
}
