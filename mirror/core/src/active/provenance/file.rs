use super::{Content, Provenance, Run, Written};
use crate::active::limits::ORIGINS_MAX;
use crate::active::{Dot, HybridTime, Vector};
use crc_fast::{CrcAlgorithm, checksum};
use model::{Incarnation, LeaderEpoch, Offset, PartitionId, TopicId};
use std::collections::BTreeMap;
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"FARSHPRV";
const VERSION: u16 = 1;
/// Size of the rest, then CRC-32C of the rest.
const FRAME_HEAD_BYTES: usize = 6;
/// The largest rest: all fields and a whole vector.
const FRAME_BYTES_MAX: usize = 64 + ORIGINS_MAX * 10;

/// Whose story a side log tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SideIdentity {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// The region.
    pub own: Incarnation,
}

/// Why a side log cannot be read at all. A torn end is none: it is left off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// Something else, or damaged at its beginning.
    #[error("it does not begin as the side log of a partition does")]
    Kind,
    /// Written by a newer Farshore.
    #[error("it has format {0}; this version reads up to {VERSION}")]
    Format(u16),
    /// Of another partition or region.
    #[error("it belongs to partition {} of topic {}, region {}", .0.partition, .0.topic, .0.own)]
    Identity(SideIdentity),
    /// Whole and sound, but it does not follow.
    #[error("what byte {0} begins does not follow what is before it")]
    Order(usize),
}

/// Writes and reads the side log of one partition: a header and frames, each with a checksum, big-endian.
///
/// ```text
/// header  magic 8, version 2, topic 16, partition 4, region 2, log start 8, vector; as a frame
/// frame   size u16, crc32c u32, then one of
///   1 written  local 8, count 4, origin 2, start 8, after 8, epoch 4, time 8,
///              vector or 255 for "as the origin's run before"
///   2 repeat   local 8, count 4, origin 2, offset 8
///   3 control  local 8, count 4
/// vector  how many u8, then origin 2, tail 8 each
/// ```
///
/// A run of a batch takes about 50 bytes, and runs that go on alike are joined when the file is written anew. The file
/// is written anew, [`SideFile::header`] and all runs, when the log start has passed half of it.
#[derive(Clone, Debug, Default)]
pub struct SideFile {
    /// The vector each origin's last run in the file had.
    seen: BTreeMap<Incarnation, Arc<Vector>>,
}

impl SideFile {
    /// The beginning of the side log of `provenance`; then its runs follow.
    pub fn header(identity: &SideIdentity, provenance: &Provenance) -> Vec<u8> {
        let mut body = Vec::with_capacity(64);
        body.extend(MAGIC);
        body.extend(VERSION.to_be_bytes());
        body.extend(identity.topic.0.as_bytes());
        body.extend(identity.partition.0.to_be_bytes());
        body.extend(identity.own.0.to_be_bytes());
        body.extend(provenance.start().0.to_be_bytes());
        put_vector(&mut body, provenance.received_at_start());
        frame(&body)
    }

    /// The next run as it goes to the file.
    pub fn run(&mut self, run: &Run) -> Vec<u8> {
        let mut body = Vec::with_capacity(64);
        body.push(match run.content {
            Content::Written(_) => 1,
            Content::Repeat(_) => 2,
            Content::Control => 3,
        });
        body.extend(run.local.0.to_be_bytes());
        body.extend(run.count.to_be_bytes());
        match &run.content {
            Content::Written(written) => self.put_written(&mut body, written),
            Content::Repeat(dot) => {
                body.extend(dot.origin.0.to_be_bytes());
                body.extend(dot.offset.0.to_be_bytes());
            }
            Content::Control => {}
        }
        frame(&body)
    }

    fn put_written(&mut self, body: &mut Vec<u8>, written: &Written) {
        body.extend(written.origin.0.to_be_bytes());
        body.extend(written.start.0.to_be_bytes());
        body.extend(written.after.0.to_be_bytes());
        body.extend(written.epoch.0.to_be_bytes());
        body.extend(written.time.0.to_be_bytes());
        if self.seen.get(&written.origin) == Some(&written.seen) {
            body.push(u8::MAX);
        } else {
            put_vector(body, &written.seen);
            self.seen.insert(written.origin, written.seen.clone());
        }
    }

    /// Reads a side log back: what it tells, how many of its bytes are whole, and what to go on writing with. The file
    /// is cut off behind those bytes before anything is added.
    ///
    /// # Errors
    /// [`Defect`] when it is none of `identity`, or its runs do not follow each other.
    pub fn read(identity: &SideIdentity, bytes: &[u8]) -> Result<(Provenance, usize, Self), Defect> {
        let (body, mut at) = next_frame(bytes).ok_or(Defect::Kind)?;
        let mut provenance = parse_header(identity, body)?;
        let mut file = Self::default();
        while let Some((body, size)) = bytes.get(at..).and_then(next_frame) {
            let run = file.parse_run(body).ok_or(Defect::Order(at))?;
            provenance.append(run).map_err(|_| Defect::Order(at))?;
            at += size;
        }
        Ok((provenance, at, file))
    }

    fn parse_run(&mut self, body: &[u8]) -> Option<Run> {
        let mut fields = Fields(body);
        let [kind] = fields.take()?;
        let (local, count) = (Offset(i64::from_be_bytes(fields.take()?)), u32::from_be_bytes(fields.take()?));
        let content = match kind {
            1 => Content::Written(self.parse_written(&mut fields)?),
            2 => Content::Repeat(fields.dot()?),
            3 => Content::Control,
            _ => return None,
        };
        fields.0.is_empty().then_some(Run { local, count, content })
    }

    fn parse_written(&mut self, fields: &mut Fields<'_>) -> Option<Written> {
        let Dot { origin, offset: start } = fields.dot()?;
        let after = Offset(i64::from_be_bytes(fields.take()?));
        let epoch = LeaderEpoch(i32::from_be_bytes(fields.take()?));
        let time = HybridTime(u64::from_be_bytes(fields.take()?));
        let seen = match fields.0 {
            [u8::MAX] => {
                fields.take::<1>()?;
                self.seen.get(&origin)?.clone()
            }
            _ => Arc::new(fields.vector()?),
        };
        self.seen.insert(origin, seen.clone());
        Some(Written { origin, start, after, epoch, time, seen })
    }
}

/// The checksum of everything beside such a log.
pub(in crate::active) fn crc(bytes: &[u8]) -> u32 {
    checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

fn frame(body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(FRAME_HEAD_BYTES + body.len());
    frame.extend((body.len() as u16).to_be_bytes());
    frame.extend(crc(body).to_be_bytes());
    frame.extend(body);
    frame
}

/// The body of the frame at the start of `bytes` and the size of the frame, if it is whole and sound.
fn next_frame(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let mut fields = Fields(bytes);
    let (size, expected) = (usize::from(u16::from_be_bytes(fields.take()?)), u32::from_be_bytes(fields.take()?));
    let body = fields.0.get(..size).filter(|body| body.len() <= FRAME_BYTES_MAX && crc(body) == expected)?;
    Some((body, FRAME_HEAD_BYTES + size))
}

fn parse_header(identity: &SideIdentity, body: &[u8]) -> Result<Provenance, Defect> {
    let mut fields = Fields(body);
    if fields.take::<8>().as_ref() != Some(MAGIC) {
        return Err(Defect::Kind);
    }
    let version = fields.take().map(u16::from_be_bytes).ok_or(Defect::Kind)?;
    if version != VERSION {
        return Err(Defect::Format(version));
    }
    let (found, start, received) = header_fields(&mut fields).ok_or(Defect::Kind)?;
    if found != *identity {
        return Err(Defect::Identity(found));
    }
    Ok(Provenance::new(identity.own, start, received))
}

fn header_fields(fields: &mut Fields<'_>) -> Option<(SideIdentity, Offset, Vector)> {
    let topic = TopicId(uuid::Uuid::from_bytes(fields.take()?));
    let partition = PartitionId(i32::from_be_bytes(fields.take()?));
    let own = Incarnation(u16::from_be_bytes(fields.take()?));
    let start = Offset(i64::from_be_bytes(fields.take()?));
    Some((SideIdentity { topic, partition, own }, start, fields.vector()?))
}

fn put_vector(body: &mut Vec<u8>, vector: &Vector) {
    body.push(vector.origins() as u8);
    for (origin, tail) in vector.iter() {
        body.extend(origin.0.to_be_bytes());
        body.extend(tail.0.to_be_bytes());
    }
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn dot(&mut self) -> Option<Dot> {
        let origin = Incarnation(u16::from_be_bytes(self.take()?));
        Some(Dot { origin, offset: Offset(i64::from_be_bytes(self.take()?)) })
    }

    fn vector(&mut self) -> Option<Vector> {
        let [count] = self.take()?;
        let tails = (0..count).map(|_| self.dot().map(|dot| (dot.origin, dot.offset)));
        Vector::new(tails.collect::<Option<_>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{OWN, story, written};
    use super::*;

    const IDENTITY: SideIdentity = SideIdentity { topic: TopicId::ZERO, partition: PartitionId(2), own: OWN };

    fn bytes_of(provenance: &Provenance) -> Vec<u8> {
        let mut file = SideFile::default();
        let mut bytes = SideFile::header(&IDENTITY, provenance);
        provenance.runs().for_each(|run| bytes.extend(file.run(run)));
        bytes
    }

    fn runs(provenance: &Provenance) -> Vec<Run> {
        provenance.runs().cloned().collect()
    }

    #[test]
    fn a_story_is_read_as_it_was_written_and_goes_on() {
        let mut story = story();
        let mut bytes = bytes_of(&story);
        let (read, whole, mut file) = SideFile::read(&IDENTITY, &bytes).unwrap();
        assert_eq!((runs(&read), whole), (runs(&story), bytes.len()));
        assert_eq!(read.received(), story.received());
        let mut next = written(12, 2, 2, 16, 16, 9);
        if let Content::Written(written) = &mut next.content {
            written.seen = Arc::new([(OWN, Offset(5))].into_iter().collect());
        }
        bytes.extend(file.run(&next));
        story.append(next).unwrap();
        assert_eq!(runs(&SideFile::read(&IDENTITY, &bytes).unwrap().0), runs(&story));
    }

    #[test]
    fn a_torn_end_is_left_off_wherever_it_is_torn() {
        let story = story();
        let bytes = bytes_of(&story);
        let header = SideFile::header(&IDENTITY, &story).len();
        for cut in header..bytes.len() {
            let (read, whole, _) = SideFile::read(&IDENTITY, &bytes[..cut]).unwrap();
            assert!(whole <= cut && read.runs().count() < 6);
            assert_eq!(runs(&read)[..], runs(&story)[..read.runs().count()]);
        }
        assert_eq!(SideFile::read(&IDENTITY, &bytes[..header - 1]).unwrap_err(), Defect::Kind);
    }

    #[test]
    fn no_flipped_bit_is_taken_for_another_story() {
        let story = story();
        let bytes = bytes_of(&story);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            if let Ok((read, whole, _)) = SideFile::read(&IDENTITY, &damaged) {
                assert!(whole <= at);
                assert_eq!(runs(&read)[..], runs(&story)[..read.runs().count()]);
            }
        }
    }

    #[test]
    fn the_file_of_another_partition_is_refused() {
        let bytes = bytes_of(&story());
        let other = SideIdentity { partition: PartitionId(3), ..IDENTITY };
        assert_eq!(SideFile::read(&other, &bytes).unwrap_err(), Defect::Identity(IDENTITY));
    }

    #[test]
    fn a_sound_frame_that_does_not_follow_is_no_torn_end() {
        let story = story();
        let mut bytes = bytes_of(&story);
        let at = bytes.len();
        bytes.extend(SideFile::default().run(&written(90, 1, 1, 90, 90, 1)));
        assert_eq!(SideFile::read(&IDENTITY, &bytes).unwrap_err(), Defect::Order(at));
    }
}
