use super::contents::{decode, encode};
use super::error::{ArchiveError, Defect, same};
use super::hash::{ContentHasher, ObjectHash, ObjectRef};
use super::keys::Layout;
use super::limits::{CHUNK_BYTES_DEFAULT, SEGMENT_BYTES_DEFAULT};
use super::segment::{SegmentIdentity, SegmentWriter};
use crate::EpochList;
use bytes::Bytes;
use model::{ByteCount, LeaderEpoch, Offset, OffsetRange, PartitionId, Timestamp, TopicId, TopicName};
use record::{BatchView, Batches};
use serde::{Deserialize, Serialize};

/// One segment of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRef {
    /// The object.
    #[serde(flatten)]
    pub object: ObjectRef,
    /// The offsets it covers.
    pub range: OffsetRange,
    /// Data records in it.
    pub records: u64,
    /// Bytes of its batches.
    pub batch_bytes: u64,
    /// The smallest time a batch begins with.
    pub first_time: Timestamp,
    /// The largest time.
    pub last_time: Timestamp,
}

/// Everything of one partition up to the cut: flat, so that a restore never follows a chain of backups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionManifest {
    /// The format of this object.
    pub format: u32,
    /// The topic it was.
    pub topic_id: TopicId,
    /// Its name.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionId,
    /// From the log start to the cut.
    pub range: OffsetRange,
    /// The leader epochs of its batches: a restored partition's begin above them.
    pub epochs: EpochList,
    /// Offsets the source dropped before they were read.
    pub gaps: Vec<OffsetRange>,
    /// Data records.
    pub records: u64,
    /// Bytes of its batches.
    pub batch_bytes: u64,
    /// The hash over its batches, see [`ContentHasher`].
    pub content_hash: ObjectHash,
    /// Its segments in order.
    pub segments: Vec<SegmentRef>,
}

impl PartitionManifest {
    /// The newest format.
    pub const FORMAT: u32 = 1;

    /// Reads the manifest called `name`.
    ///
    /// # Errors
    /// [`ArchiveError`] when it is not readable or its parts do not fit together.
    pub fn decode(name: &str, bytes: &[u8]) -> Result<Self, ArchiveError> {
        let manifest: Self = decode(name, bytes, Self::FORMAT)?;
        manifest.check().map_err(|defect| defect.of(name))?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), Defect> {
        let mut tail = self.range.start;
        for segment in &self.segments {
            self.check_explained(OffsetRange::new(tail, segment.range.start))?;
            if segment.range.start < tail || segment.range.is_empty() {
                return Err(Defect::Order { tail, found: segment.range.start });
            }
            tail = segment.range.end;
        }
        self.check_explained(OffsetRange::new(tail, self.range.end))?;
        same("the end of the last segment", self.range.end, tail.max(self.range.end))?;
        same("the records of all segments", self.records, self.segments.iter().map(|segment| segment.records).sum())?;
        same(
            "the bytes of all segments",
            self.batch_bytes,
            self.segments.iter().map(|segment| segment.batch_bytes).sum(),
        )
    }

    fn check_explained(&self, missing: OffsetRange) -> Result<(), Defect> {
        let explained = missing.is_empty() || self.gaps.contains(&missing);
        if explained { Ok(()) } else { Err(Defect::Hole { missing }) }
    }

    /// The epoch of its last batch; a restored topic's epochs begin above it.
    pub fn last_epoch(&self) -> LeaderEpoch {
        self.epochs.last_epoch()
    }

    /// How many bytes its objects have.
    pub fn stored_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.object.bytes).sum()
    }
}

/// An object that has to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewObject {
    /// Its name and hash.
    pub object: ObjectRef,
    /// Its bytes.
    pub body: Bytes,
}

impl NewObject {
    pub(super) fn of(key: impl FnOnce(ObjectHash) -> String, body: Vec<u8>) -> Self {
        let hash = ObjectHash::of(&body);
        let object = ObjectRef { key: key(hash), hash, bytes: body.len() as u64 };
        Self { object, body: body.into() }
    }
}

/// How a partition is cut up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriterSettings {
    /// When a chunk is full.
    pub chunk_bytes: ByteCount,
    /// When a segment is full.
    pub segment_bytes: ByteCount,
}

impl Default for WriterSettings {
    fn default() -> Self {
        Self { chunk_bytes: CHUNK_BYTES_DEFAULT, segment_bytes: SEGMENT_BYTES_DEFAULT }
    }
}

/// Backs up one partition: batches in, objects out.
#[derive(Clone, Debug)]
pub struct PartitionWriter {
    layout: Layout,
    settings: WriterSettings,
    /// What goes into the manifest; its range ends at the cut from the beginning.
    manifest: PartitionManifest,
    tail: Offset,
    segment: Option<(SegmentWriter, Vec<u8>)>,
    content: ContentHasher,
}

/// A partition that is backed up once these objects are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishedPartition {
    /// The last segment, if any, and the manifest.
    pub objects: Vec<NewObject>,
    /// What the backup's manifest says of it.
    pub object: ObjectRef,
    /// The partition's manifest.
    pub manifest: PartitionManifest,
}

impl PartitionWriter {
    /// Begins a backup of `range`: from the log start to the cut.
    pub fn new(
        layout: Layout,
        settings: WriterSettings,
        topic: (TopicId, TopicName),
        partition: PartitionId,
        range: OffsetRange,
    ) -> Self {
        let manifest = PartitionManifest {
            format: PartitionManifest::FORMAT,
            topic_id: topic.0,
            topic: topic.1,
            partition,
            range,
            epochs: EpochList::default(),
            gaps: Vec::new(),
            records: 0,
            batch_bytes: 0,
            content_hash: ContentHasher::default().hash(),
            segments: Vec::new(),
        };
        Self { layout, settings, manifest, tail: range.start, segment: None, content: ContentHasher::default() }
    }

    /// From where to read on.
    pub const fn tail(&self) -> Offset {
        self.tail
    }

    /// Whether everything up to the cut was taken.
    pub fn is_complete(&self) -> bool {
        self.tail >= self.manifest.range.end
    }

    /// Takes what a read from [`Self::tail`] gave: batches that are there already, that lie behind the cut, or that are
    /// torn at the end are left alone. Returns the objects that are ready.
    ///
    /// # Errors
    /// [`Defect`] for damaged batches or ones out of order.
    pub fn push(&mut self, batches: &[u8]) -> Result<Vec<NewObject>, Defect> {
        let mut ready = Vec::new();
        for batch in Batches::new(batches) {
            let batch = batch.map_err(|error| Defect::Batch { chunk: 0, error })?;
            if batch.next_offset() > self.manifest.range.end {
                break;
            }
            if batch.next_offset() > self.tail {
                self.add(&batch)?;
            }
            let is_full = |(segment, _): &(SegmentWriter, _)| segment.is_full(self.settings.segment_bytes);
            if self.segment.as_ref().is_some_and(is_full) {
                ready.extend(self.close());
            }
        }
        Ok(ready)
    }

    fn add(&mut self, batch: &BatchView<'_>) -> Result<(), Defect> {
        let PartitionManifest { topic_id: topic, partition, .. } = self.manifest;
        let identity = SegmentIdentity { topic, partition, first: self.tail };
        let fresh = || (SegmentWriter::new(identity, self.settings.chunk_bytes), Vec::new());
        let (segment, body) = self.segment.get_or_insert_with(fresh);
        segment.push(batch)?;
        body.append(&mut segment.take());
        self.manifest.epochs.note(batch.leader_epoch, self.tail.min(batch.base_offset), batch.base_offset);
        self.content.update(batch.bytes());
        self.tail = batch.next_offset();
        Ok(())
    }

    fn close(&mut self) -> Option<NewObject> {
        let (segment, mut body) = self.segment.take()?;
        let (rest, summary) = segment.finish();
        body.extend(rest);
        let key = self.layout.segment(self.manifest.topic_id, self.manifest.partition, summary.range, summary.hash);
        let object = ObjectRef { key, hash: summary.hash, bytes: summary.bytes };
        self.manifest.records += summary.records;
        self.manifest.batch_bytes += summary.batch_bytes;
        self.manifest.segments.push(SegmentRef {
            object: object.clone(),
            range: summary.range,
            records: summary.records,
            batch_bytes: summary.batch_bytes,
            first_time: summary.first_time,
            last_time: summary.last_time,
        });
        Some(NewObject { object, body: body.into() })
    }

    /// Goes on at `to`: the source dropped what lies between. Returns the object that is ready.
    pub fn skip_to(&mut self, to: Offset) -> Option<NewObject> {
        let to = to.min(self.manifest.range.end);
        if to <= self.tail {
            return None;
        }
        let ready = self.close();
        self.manifest.gaps.push(OffsetRange::new(self.tail, to));
        self.tail = to;
        ready
    }

    /// Ends the backup of this partition.
    ///
    /// # Errors
    /// [`Defect::Hole`] when the cut was not reached.
    pub fn finish(mut self) -> Result<FinishedPartition, Defect> {
        if !self.is_complete() {
            return Err(Defect::Hole { missing: OffsetRange::new(self.tail, self.manifest.range.end) });
        }
        let mut objects: Vec<_> = self.close().into_iter().collect();
        let manifest = PartitionManifest { content_hash: self.content.hash(), ..self.manifest };
        let (topic, partition) = (manifest.topic_id, manifest.partition);
        let written = NewObject::of(|hash| self.layout.partition(topic, partition, hash), encode(&manifest));
        let object = written.object.clone();
        objects.push(written);
        Ok(FinishedPartition { objects, object, manifest })
    }
}
