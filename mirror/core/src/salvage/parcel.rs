use super::Fate;
use super::again::origin;
use model::{Offset, OwnershipEpoch, ProducerId, RegionName};
use record::{BatchBuilder, BatchView, Compression, Record, sequence_after};

/// Header of a re-injected record: the region whose diverged tail it lay in.
pub const REGION_HEADER: &str = "farshore.diverged.region";
/// Header of a re-injected record: the ownership epoch of that tail, in decimal.
pub const EPOCH_HEADER: &str = "farshore.diverged.epoch";
/// Header of a re-injected record: its offset in that tail, in decimal.
pub const OFFSET_HEADER: &str = "farshore.diverged.offset";

/// A batch is sent once it has so many bytes or records.
const PARCEL_BYTES: usize = 128 << 10;
const PARCEL_RECORDS: i32 = 500;

/// Where re-injected records come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// The region that archived the tail.
    pub region: RegionName,
    /// The ownership epoch it was written under.
    pub epoch: OwnershipEpoch,
}

/// Who writes records of a tail, and what is written beside them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// The producer id, the same for all who ever work on it.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: i16,
    /// What headers of ours say of every record, and of its offset; `None` leaves records as they are.
    pub provenance: Option<Provenance>,
}

impl Writer {
    /// Whether it has written these records.
    pub fn has_written(&self, batch: &BatchView<'_>) -> bool {
        let header = batch.header();
        header.producer_id == self.producer_id && !header.attributes.is_control() && header.base_sequence >= 0
    }
}

/// How far a writer is: what a log holds of its producer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resume {
    /// The sequence number of the next record.
    pub sequence: i32,
    /// The last record of the tail that is there; unknown where no header says so, or none of them is left.
    pub last: Option<Offset>,
}

impl Resume {
    /// Takes note of a batch of that log, those of others included.
    pub fn note(&mut self, writer: &Writer, batch: &BatchView<'_>) {
        if !writer.has_written(batch) {
            return;
        }
        self.sequence = sequence_after(batch.header().last_sequence(), 1);
        if writer.provenance.is_none() {
            // Such headers are of somebody else, who has written the same records before.
            return;
        }
        let offsets = super::records(batch).into_iter().flatten().filter_map(|record| origin(&record.ok()?));
        self.last = self.last.max(offsets.max());
    }
}

/// Packs the records to be written into batches. The same records from the same [`Resume`] on make the same batches,
/// so that a broker knows one again that was sent by somebody before.
#[derive(Debug)]
pub struct Parcel {
    writer: Writer,
    resume: Resume,
    /// How many records to pass over where no offset says so.
    passed: i32,
    filling: Option<(BatchBuilder, Offset)>,
}

impl Parcel {
    /// Goes on from `resume`.
    pub fn new(writer: Writer, resume: Resume) -> Self {
        Self { writer, resume, passed: 0, filling: None }
    }

    /// Takes the next record of the tail; gives a batch whenever one is full.
    pub fn push(&mut self, fate: Fate, batch: &BatchView<'_>, record: &Record) -> Option<Vec<u8>> {
        if !fate.is_sent() || self.is_there(record.offset) {
            return None;
        }
        let compression = batch.header().attributes.compression().unwrap_or(Compression::None);
        let fresh = || (BatchBuilder::new().compression(compression), record.offset);
        let (builder, last) = self.filling.get_or_insert_with(fresh);
        append(builder, self.writer.provenance.as_ref(), record);
        *last = record.offset;
        let is_full = builder.plain_bytes() >= PARCEL_BYTES || builder.count() >= PARCEL_RECORDS;
        if is_full { self.seal() } else { None }
    }

    /// Whether an earlier attempt has written it.
    fn is_there(&mut self, offset: Offset) -> bool {
        match self.resume.last {
            Some(last) => offset <= last,
            // What counts is how many there were: no header says so, or its records are there no more, compacted away.
            None if self.passed < self.resume.sequence => {
                self.passed += 1;
                true
            }
            None => false,
        }
    }

    /// The batch that is not full, if there is any.
    pub fn seal(&mut self) -> Option<Vec<u8>> {
        let (builder, last) = self.filling.take()?;
        let (sequence, count) = (self.resume.sequence, builder.count());
        self.resume = Resume { sequence: sequence_after(sequence, count), last: Some(last) };
        Some(builder.producer(self.writer.producer_id, self.writer.producer_epoch, sequence).build())
    }
}

/// Its own headers first, then ours, if any.
fn append(builder: &mut BatchBuilder, provenance: Option<&Provenance>, record: &Record) {
    let mut headers: Vec<_> = record.headers.iter().map(|header| (&header.key[..], header.value.as_deref())).collect();
    let said = provenance.map(|from| (from, from.epoch.0.to_string(), record.offset.0.to_string()));
    if let Some((from, epoch, offset)) = &said {
        headers.push((REGION_HEADER.as_bytes(), Some(from.region.as_str().as_bytes())));
        headers.push((EPOCH_HEADER.as_bytes(), Some(epoch.as_bytes())));
        headers.push((OFFSET_HEADER.as_bytes(), Some(offset.as_bytes())));
    }
    builder.push_raw(record.timestamp, record.key.as_deref(), record.value.as_deref(), &headers);
}
