//! Compares a diverged tail with the lineage that went on without it, and writes again what that lacks; or publishes all of
//! it, as it is, in a topic of its own.
//!
//! ```text
//!   diverged file --chunks--> batches --+
//!                                       +--> salvage (mirror-core) --> batches of our producer --> owner of the group
//!   owner's log --fetch--> batches -----+
//! ```
//!
//! Whoever is given the same [`Reinjection`] goes on where another stopped: its batches have the same producer id and
//! sequence numbers, so that the owner takes each of them once, also from somebody who was taken for dead.

mod file;

pub use file::{TailFile, extent};

use file::{FileBatches, each_record, shared, transactions};
use mirror_core::salvage::{
    Fate, Findings, Parcel, Places, Provenance, Published, Resume, Salvage, SalvageError, Tally, Wish, Writer,
};
use model::{Offset, OffsetRange, OwnershipEpoch, PartitionId, ProducerId, RegionName, TopicName};
use record::{BatchView, Batches, Record};
use std::sync::Arc;
use std::time::Duration;
use wire::api::list_offsets::{EARLIEST, LATEST};
use wire::client::{ClientError, Cluster, FetchLimits, Options};

/// How much of the owner's log is fetched at a time.
const FETCH_BYTES: i32 = 4 << 20;
const FETCH_WAIT: Duration = Duration::from_millis(200);
/// How often in a row a fetch below the tail may bring nothing.
const EMPTY_FETCHES_MAX: u32 = 25;
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
const DEADLINE: Duration = Duration::from_secs(20);
/// Records are counted by sequence numbers, which must not wrap.
const RECORDS_MAX: u64 = i32::MAX as u64;

/// A diverged tail and where its records are to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The region that archived it.
    pub region: RegionName,
    /// The ownership epoch it was written under.
    pub epoch: OwnershipEpoch,
    /// The topic they go to.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionId,
    /// Its offsets; they begin at the common end.
    pub range: OffsetRange,
    /// How many records it has.
    pub records: u64,
}

/// What was agreed on before the first record was sent; never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reinjection {
    /// The producer of all that is sent.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: i16,
    /// The new lineage is compared below this offset; what is sent lies at or behind it.
    pub until: Offset,
}

impl Reinjection {
    fn writer(&self, provenance: Option<Provenance>) -> Writer {
        Writer { producer_id: self.producer_id, producer_epoch: self.producer_epoch, provenance }
    }
}

/// Why a tail was not compared or not written again.
#[derive(Debug, thiserror::Error)]
pub enum SalvageFailure {
    /// The file cannot be read.
    #[error("the file cannot be read: {0}")]
    File(String),
    /// The file ends within a batch, or is not what was written.
    #[error("the file is damaged at byte {at}: {what}")]
    Damaged {
        /// Where.
        at: u64,
        /// How.
        what: String,
    },
    /// The owner does not answer as it should.
    #[error(transparent)]
    Owner(#[from] ClientError),
    /// The owner's log does not go on.
    #[error("the owner's log brings nothing at offset {0}, which is below its end")]
    Silent(Offset),
    /// It cannot be judged.
    #[error(transparent)]
    Salvage(#[from] SalvageError),
    /// The file is not all of the tail.
    #[error("the file has {found} of the tail's {expected} records")]
    Incomplete {
        /// How many it has.
        found: u64,
        /// How many lay in the tail.
        expected: u64,
    },
    /// Records that were acknowledged are not there.
    #[error("{found} of {expected} records are in the topic now; the others were lost with an owner, or deleted")]
    Gone {
        /// How many are there.
        found: u64,
        /// How many were written.
        expected: u64,
    },
    /// More than can be numbered.
    #[error("the tail has {0} records; at most {RECORDS_MAX} can be written again at once")]
    TooLarge(u64),
}

/// Works on the tails of the partitions of one region.
#[derive(Clone)]
pub struct Salvor {
    cluster: Arc<Cluster>,
}

impl Salvor {
    /// Reads and writes at the owner's listener `bootstrap`.
    pub fn new(bootstrap: &str) -> Self {
        let client_id = "farshore-salvage".to_owned();
        let options = Options { client_id, call_timeout: CALL_TIMEOUT, deadline: DEADLINE, ..Options::default() };
        Self { cluster: Arc::new(Cluster::new(bootstrap, options)) }
    }

    /// What a re-injection of `tail` that begins now is bound to.
    ///
    /// # Errors
    /// [`SalvageFailure`]; nothing was changed.
    pub async fn agree(&self, tail: &Tail) -> Result<Reinjection, SalvageFailure> {
        if tail.records > RECORDS_MAX {
            return Err(SalvageFailure::TooLarge(tail.records));
        }
        let (producer_id, producer_epoch) = self.cluster.producer_id().await?;
        Ok(Reinjection { producer_id, producer_epoch, until: self.end(tail, LATEST).await? })
    }

    /// What of `tail` the owner's log holds below its end of now, with the `top` keys of which most versions were cut off.
    ///
    /// # Errors
    /// [`SalvageFailure`].
    pub async fn compare(
        &self,
        tail: &Tail,
        wish: Wish,
        file: &dyn TailFile,
        top: usize,
    ) -> Result<Findings, SalvageFailure> {
        let salvage = self.judge(tail, wish, file, self.end(tail, LATEST).await?).await?;
        let mut tally = Tally::default();
        let mut batches = FileBatches::new(file);
        while batches.fill().await? {
            for batch in batches.whole() {
                each_record(&batch, |record| tally.count(salvage.fate(wish, &batch, record)))?;
            }
            batches.advance()?;
        }
        Ok(salvage.findings(tally, top))
    }

    /// Writes again what the owner's log lacks, after what an earlier attempt has written; returns when all of it is
    /// acknowledged by all in-sync replicas.
    ///
    /// # Errors
    /// [`SalvageFailure`]: some of it may have been written; the same call goes on there.
    pub async fn reinject(
        &self,
        tail: &Tail,
        wish: Wish,
        agreed: Reinjection,
        file: &dyn TailFile,
    ) -> Result<Findings, SalvageFailure> {
        let salvage = self.judge(tail, wish, file, agreed.until).await?;
        let writer = agreed.writer(Some(Provenance { region: tail.region.clone(), epoch: tail.epoch }));
        let parcel = Parcel::new(writer.clone(), self.resume(tail, &writer, agreed.until).await?);
        let mut tally = Tally::default();
        let judge = |batch: &BatchView<'_>, record: &Record| salvage.fate(wish, batch, record);
        self.write(tail, file, parcel, judge, |fate, _| tally.count(fate)).await?;
        Ok(salvage.findings(tally, 0))
    }

    /// Writes all of `tail` to the topic, as it is and in its order, but for records of transactions that were not
    /// committed, and for those that `others`, tails whose publication is complete, have brought there; after what an earlier
    /// attempt has written. Returns when all of it is acknowledged by all in-sync replicas and was read back.
    ///
    /// # Errors
    /// [`SalvageFailure`]: some of it may have been written; the same call goes on there.
    pub async fn publish(
        &self,
        tail: &Tail,
        agreed: Reinjection,
        file: &dyn TailFile,
        others: &[&dyn TailFile],
    ) -> Result<Published, SalvageFailure> {
        let (writer, transactions) = (agreed.writer(None), transactions(file).await?);
        let mut brought = Vec::with_capacity(others.len());
        for other in others {
            brought.push(shared((file, &transactions), *other).await?);
        }
        let parcel = Parcel::new(writer.clone(), self.resume(tail, &writer, agreed.until).await?);
        let (mut tally, mut places) = (Tally::default(), Places::default());
        let is_there = |batch: &BatchView<'_>| brought.iter().any(|tail| tail.contains(batch.base_offset));
        let of_committed = |batch: &BatchView<'_>| if is_there(batch) { Fate::Held } else { Fate::Lacking };
        let judge = |batch: &BatchView<'_>, _: &Record| transactions.fate(batch).unwrap_or_else(|| of_committed(batch));
        let see = |fate: Fate, record: &Record| {
            tally.count(fate);
            if fate.is_sent() {
                places.push(record.offset, 1);
            }
        };
        self.write(tail, file, parcel, judge, see).await?;
        if tally.records() != tail.records {
            return Err(SalvageFailure::Incomplete { found: tally.records(), expected: tail.records });
        }
        let there = self.written(tail, &writer, agreed.until).await?;
        if there.count() != places.count() {
            return Err(SalvageFailure::Gone { found: there.count(), expected: places.count() });
        }
        Ok(Published { tally, runs: places.runs_to(&there) })
    }

    /// Shows every record of the tail with its fate, and sends those that are to be.
    async fn write(
        &self,
        tail: &Tail,
        file: &dyn TailFile,
        mut parcel: Parcel,
        judge: impl Fn(&BatchView<'_>, &Record) -> Fate,
        mut see: impl FnMut(Fate, &Record),
    ) -> Result<(), SalvageFailure> {
        let mut batches = FileBatches::new(file);
        while batches.fill().await? {
            let mut full = vec![];
            for batch in batches.whole() {
                each_record(&batch, |record| {
                    let fate = judge(&batch, record);
                    see(fate, record);
                    full.extend(parcel.push(fate, &batch, record));
                })?;
            }
            batches.advance()?;
            for batch in full {
                self.send(tail, batch).await?;
            }
        }
        if let Some(last) = parcel.seal() {
            self.send(tail, last).await?;
        }
        Ok(())
    }

    async fn send(&self, tail: &Tail, batch: Vec<u8>) -> Result<(), SalvageFailure> {
        self.cluster.produce(tail.topic.as_str(), tail.partition.0, batch.into(), -1).await?;
        Ok(())
    }

    async fn judge(
        &self,
        tail: &Tail,
        wish: Wish,
        file: &dyn TailFile,
        until: Offset,
    ) -> Result<Salvage, SalvageFailure> {
        let (mut salvage, mut batches) = (Salvage::of(tail.epoch), FileBatches::new(file));
        while batches.fill().await? {
            for batch in batches.whole() {
                salvage.note_tail(&batch)?;
            }
            batches.advance()?;
        }
        salvage.check(wish)?;
        self.scan(tail, OffsetRange::new(tail.range.start, until), |batch| salvage.note_lineage(batch)).await?;
        Ok(salvage)
    }

    async fn resume(&self, tail: &Tail, writer: &Writer, since: Offset) -> Result<Resume, SalvageFailure> {
        let mut resume = Resume::default();
        let range = self.since(tail, since).await?;
        self.scan(tail, range, |batch| {
            resume.note(writer, batch);
            Ok(())
        })
        .await?;
        Ok(resume)
    }

    /// Where what was written lies.
    async fn written(&self, tail: &Tail, writer: &Writer, since: Offset) -> Result<Places, SalvageFailure> {
        let mut places = Places::default();
        let range = self.since(tail, since).await?;
        self.scan(tail, range, |batch| places.note(writer, batch)).await?;
        Ok(places)
    }

    async fn since(&self, tail: &Tail, since: Offset) -> Result<OffsetRange, ClientError> {
        Ok(OffsetRange::new(since, self.end(tail, LATEST).await?.max(since)))
    }

    async fn end(&self, tail: &Tail, which: i64) -> Result<Offset, ClientError> {
        Ok(Offset(self.cluster.list_offset(tail.topic.as_str(), tail.partition.0, which).await?.offset))
    }

    /// Shows every batch of the owner's log that begins in `range`.
    async fn scan(
        &self,
        tail: &Tail,
        range: OffsetRange,
        mut note: impl FnMut(&BatchView<'_>) -> Result<(), SalvageError>,
    ) -> Result<(), SalvageFailure> {
        let limits = FetchLimits { wait_max: FETCH_WAIT, bytes_max: FETCH_BYTES, ..FetchLimits::default() };
        let mut at = range.start.max(self.end(tail, EARLIEST).await?);
        let end = range.end.min(self.end(tail, LATEST).await?);
        let mut empty = 0;
        while at < end {
            let fetched = self.cluster.fetch(tail.topic.as_str(), tail.partition.0, at.0, limits).await?;
            let before = at;
            for batch in Batches::new(&fetched.records) {
                let batch = batch.map_err(|source| SalvageError::Batch { at, source })?;
                if batch.base_offset >= end {
                    return Ok(());
                }
                if batch.next_offset() > at {
                    note(&batch)?;
                    at = batch.next_offset();
                }
            }
            empty = if at == before { empty + 1 } else { 0 };
            if empty > EMPTY_FETCHES_MAX {
                return Err(SalvageFailure::Silent(at));
            }
        }
        Ok(())
    }
}
