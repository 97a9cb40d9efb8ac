use super::RestoredLog;
use crate::CopyKey;
use crate::archive::READ_BYTES;
use crate::archive::failure::ArchiveFailure;
use crate::archive::objects::Objects;
use crate::archive::patience::patiently;
use crate::archive::pool::{Tracker, compute, finished};
use crate::archive::ports::{LogSpan, RestoreTarget};
use crate::archive::proof::Proof;
use bytes::Bytes;
use mirror_core::archive::{ContentHasher, ObjectRef, PartitionManifest, PartitionReader};
use model::{Offset, OffsetRange, TopicName};
use record::Batches;
use std::sync::Arc;
use std::vec;
use tokio::task::JoinSet;

/// The restore of one partition: fetches a segment while the one before is written.
pub(super) struct PartitionRestore {
    pub(super) target: Arc<dyn RestoreTarget>,
    pub(super) objects: Objects,
    pub(super) tracker: Tracker,
    pub(super) key: CopyKey,
    /// The name it gets.
    pub(super) topic: TopicName,
    /// The manifest's name.
    pub(super) name: String,
}

impl PartitionRestore {
    pub(super) async fn run(self, manifest: PartitionManifest) -> Result<RestoredLog, ArchiveFailure> {
        let manifest = without_lost_end(manifest);
        let restored = RestoredLog {
            topic: self.topic.clone(),
            topic_id: self.key.0,
            partition: self.key.1,
            range: manifest.range,
            records: manifest.records,
            bytes: manifest.batch_bytes,
            content_hash: manifest.content_hash,
            missing: manifest.gaps.clone(),
        };
        let span = patiently(|| self.target.span(self.key)).await?;
        let span = self.fill(span, manifest).await?;
        self.prove(span, &restored).await?;
        patiently(|| self.target.finish(self.key, restored.range)).await?;
        Ok(restored)
    }

    /// Appends what the log lacks.
    async fn fill(&self, mut span: LogSpan, manifest: PartitionManifest) -> Result<LogSpan, ArchiveFailure> {
        if manifest.segments.is_empty() {
            return self.begin(span, manifest.range.start).await;
        }
        // What is there already is not fetched again; it is proven with everything else when it is read back.
        let held = |end: Offset| !span.is_empty() && end <= span.tail;
        let (there, lacking): (Vec<_>, _) = manifest.segments.into_iter().partition(|found| held(found.range.end));
        there.iter().for_each(|segment| self.tracker.add_bytes(segment.object.bytes));
        let wanted: Vec<_> = lacking.iter().map(|segment| segment.object.clone()).collect();
        let mut fetching = Fetching::new(self.objects.clone(), wanted);
        let mut reader = PartitionReader::new(&self.name, PartitionManifest { segments: lacking, ..manifest });
        while let Some(body) = fetching.next().await {
            let (body, accepted) = (body?, reader);
            let bytes = body.len() as u64;
            let chunks;
            (reader, chunks) = accept(accepted, body).await?;
            for chunk in chunks {
                span = self.append(span, chunk).await?;
            }
            self.tracker.add_bytes(bytes);
        }
        Ok(span)
    }

    /// Makes the log, unless something is in it, begin at `at`.
    async fn begin(&self, span: LogSpan, at: Offset) -> Result<LogSpan, ArchiveFailure> {
        if !span.is_empty() || span.tail == at {
            return Ok(span);
        }
        patiently(|| self.target.begin(self.key, at)).await?;
        Ok(LogSpan { start: at, tail: at })
    }

    async fn append(&self, mut span: LogSpan, chunk: Bytes) -> Result<LogSpan, ArchiveFailure> {
        let Some((batches, range)) = behind(&chunk, span) else { return Ok(span) };
        span = self.begin(span, range.start).await?;
        if range.start < span.tail {
            return Err(self.foreign(span.tail, range.start));
        }
        patiently(|| self.target.append(self.key, span.tail, batches.clone())).await?;
        Ok(LogSpan { tail: range.end, ..span })
    }

    fn foreign(&self, tail: Offset, base: Offset) -> ArchiveFailure {
        ArchiveFailure::Foreign { topic: self.topic.clone(), partition: self.key.1, tail, base }
    }

    /// Reads the whole log back.
    async fn prove(&self, span: LogSpan, restored: &RestoredLog) -> Result<(), ArchiveFailure> {
        if span.tail > restored.range.end {
            return Err(self.foreign(span.tail, restored.range.end));
        }
        let mut proof = Proof::new(span.start);
        while proof.tail() < span.tail {
            let from = proof.tail();
            let batches = patiently(|| self.target.read(self.key, from, READ_BYTES)).await?;
            proof = compute(move || {
                proof.take(&batches);
                proof
            })
            .await;
            if proof.tail() == from {
                let (topic, partition) = (self.topic.clone(), self.key.1);
                return Err(ArchiveFailure::Stalled { topic, partition, from, until: span.tail });
            }
        }
        let (found, expected) = (proof.hash(), restored.content_hash);
        let differs = || ArchiveFailure::Differs { topic: self.topic.clone(), partition: self.key.1, expected, found };
        if found == expected { Ok(()) } else { Err(differs()) }
    }
}

/// A log whose last offsets are lost must not give them out again: it is restored empty and begins behind them.
fn without_lost_end(manifest: PartitionManifest) -> PartitionManifest {
    let OffsetRange { start, end } = manifest.range;
    let kept = manifest.segments.last().map_or(start, |segment| segment.range.end);
    if kept == end {
        return manifest;
    }
    PartitionManifest {
        range: OffsetRange::new(end, end),
        gaps: vec![manifest.range],
        records: 0,
        batch_bytes: 0,
        content_hash: ContentHasher::default().hash(),
        segments: Vec::new(),
        ..manifest
    }
}

async fn accept(mut reader: PartitionReader, body: Bytes) -> Result<(PartitionReader, Vec<Bytes>), ArchiveFailure> {
    let (reader, accepted) = compute(move || {
        let accepted = reader.accept(body);
        (reader, accepted)
    })
    .await;
    Ok((reader, accepted?))
}

/// The batches of `chunk` that are not in the log yet, and from where to where they reach.
fn behind(chunk: &Bytes, span: LogSpan) -> Option<(Bytes, OffsetRange)> {
    let (mut at, mut range) = (0, None);
    let mut batches = Batches::new(chunk);
    while let Some(Ok(batch)) = batches.next() {
        match &mut range {
            None if !span.is_empty() && batch.next_offset() <= span.tail => at = batches.position(),
            None => range = Some(OffsetRange::new(batch.base_offset, batch.next_offset())),
            Some(range) => range.end = batch.next_offset(),
        }
    }
    range.map(|range| (chunk.slice(at..), range))
}

/// Fetches objects in order, one ahead.
struct Fetching {
    objects: Objects,
    wanted: vec::IntoIter<ObjectRef>,
    under_way: JoinSet<Result<Bytes, ArchiveFailure>>,
}

impl Fetching {
    fn new(objects: Objects, wanted: Vec<ObjectRef>) -> Self {
        let mut fetching = Self { objects, wanted: wanted.into_iter(), under_way: JoinSet::new() };
        fetching.start();
        fetching
    }

    fn start(&mut self) {
        if let Some(object) = self.wanted.next() {
            let objects = self.objects.clone();
            self.under_way.spawn(async move { objects.read(&object).await });
        }
    }

    async fn next(&mut self) -> Option<Result<Bytes, ArchiveFailure>> {
        let body = finished(self.under_way.join_next().await?);
        self.start();
        Some(body)
    }
}
