use super::limits::FILE_BYTES_MAX;
use super::{Checkpoint, Interval};
use crc_fast::{CrcAlgorithm, checksum};
use model::{Offset, PartitionId, TopicId};

const MAGIC: &[u8; 8] = b"FARSHCHK";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 34;
const ENTRY_BYTES: usize = 32;

/// Whose checkpoints a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileIdentity {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionId,
}

/// Why a side file says nothing. It is then written anew from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileDefect {
    /// Something else, or damaged at its beginning.
    #[error("it does not begin as the checkpoints of a partition do")]
    Kind,
    /// Written by a newer Farshore.
    #[error("it has format {0}; this version reads up to {VERSION}")]
    Format(u16),
    /// Of another partition.
    #[error("it belongs to partition {} of topic {}", .0.partition, .0.topic)]
    Identity(FileIdentity),
    /// More than is ever written.
    #[error("it has {0} bytes; at most {FILE_BYTES_MAX} are read")]
    TooLarge(usize),
}

/// The checkpoints of one log in order, as its side file holds them.
///
/// ```text
/// header  magic 8, version 2, topic 16, partition 4, crc32c 4
/// entry   interval 8, from 8, batches 4, hash 8, crc32c 4
/// ```
///
/// All big-endian. An entry replaces those of its interval and of later ones: that is how a cut log's are written
/// again. What follows a torn or damaged entry does not count; it is cut off before anything is added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoints(Vec<Checkpoint>);

impl Checkpoints {
    /// Those of the intervals; an entry replaces those of its interval and of later ones.
    pub fn add(&mut self, checkpoint: Checkpoint) {
        self.truncate(checkpoint.interval.range().start);
        self.0.push(checkpoint);
    }

    /// Puts a checkpoint in the place of that of its interval, if there is one, and leaves all others.
    pub fn replace(&mut self, checkpoint: Checkpoint) {
        if let Ok(at) = self.0.binary_search_by_key(&checkpoint.interval, |entry| entry.interval) {
            self.0[at] = checkpoint;
        }
    }

    /// Forgets the intervals that end above `to`, where the log was cut off.
    pub fn truncate(&mut self, to: Offset) {
        self.0.truncate(self.0.partition_point(|entry| entry.interval.range().end <= to));
    }

    /// Forgets the intervals that lie below the log start whole.
    pub fn raise_start(&mut self, start: Offset) {
        self.0.drain(..self.0.partition_point(|entry| entry.interval.range().end <= start));
    }

    /// All of them, in order.
    pub fn entries(&self) -> &[Checkpoint] {
        &self.0
    }

    /// The first interval that was not looked at: of those below it, what is not here has no batch.
    pub fn written(&self) -> Interval {
        self.0.last().map_or(Interval(0), |last| last.interval.next())
    }

    /// The beginning of a side file.
    pub fn header(identity: &FileIdentity) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_be_bytes());
        bytes.extend(identity.topic.0.as_bytes());
        bytes.extend(identity.partition.0.to_be_bytes());
        with_crc(bytes)
    }

    /// A checkpoint as it goes to the file.
    pub fn entry(checkpoint: &Checkpoint) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(ENTRY_BYTES);
        bytes.extend(checkpoint.interval.0.to_be_bytes());
        bytes.extend(checkpoint.from.0.to_be_bytes());
        bytes.extend(checkpoint.batches.to_be_bytes());
        bytes.extend(checkpoint.hash.to_be_bytes());
        with_crc(bytes)
    }

    /// A side file that holds just these.
    pub fn file(&self, identity: &FileIdentity) -> Vec<u8> {
        self.0.iter().fold(Self::header(identity), |mut bytes, entry| {
            bytes.extend(Self::entry(entry));
            bytes
        })
    }

    /// Reads a side file back, and says how many of its bytes are whole.
    ///
    /// # Errors
    /// [`FileDefect`] when it is not the file of `identity`.
    pub fn read(identity: &FileIdentity, bytes: &[u8]) -> Result<(Self, usize), FileDefect> {
        if bytes.len() as u64 > FILE_BYTES_MAX.0 {
            return Err(FileDefect::TooLarge(bytes.len()));
        }
        let (header, entries) = bytes.split_at_checked(HEADER_BYTES).ok_or(FileDefect::Kind)?;
        check_header(identity, header)?;
        let mut checkpoints = Self::default();
        let mut whole = HEADER_BYTES;
        for entry in entries.chunks_exact(ENTRY_BYTES).map_while(parse_entry) {
            checkpoints.add(entry);
            whole += ENTRY_BYTES;
        }
        Ok((checkpoints, whole))
    }
}

fn with_crc(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend((checksum(CrcAlgorithm::Crc32Iscsi, &bytes) as u32).to_be_bytes());
    bytes
}

/// The fields before the checksum, if it is theirs.
fn sound(bytes: &[u8]) -> Option<&[u8]> {
    let (fields, crc) = bytes.split_last_chunk::<4>()?;
    (checksum(CrcAlgorithm::Crc32Iscsi, fields) as u32 == u32::from_be_bytes(*crc)).then_some(fields)
}

fn check_header(identity: &FileIdentity, header: &[u8]) -> Result<(), FileDefect> {
    let mut fields = Fields(header);
    if fields.take::<8>().as_ref() != Some(MAGIC) || sound(header).is_none() {
        return Err(FileDefect::Kind);
    }
    let version = fields.take().map(u16::from_be_bytes).ok_or(FileDefect::Kind)?;
    if version != VERSION {
        return Err(FileDefect::Format(version));
    }
    let topic = fields.take().map(|bytes| TopicId(uuid::Uuid::from_bytes(bytes))).ok_or(FileDefect::Kind)?;
    let partition = fields.take().map(|bytes| PartitionId(i32::from_be_bytes(bytes))).ok_or(FileDefect::Kind)?;
    let found = FileIdentity { topic, partition };
    if found == *identity { Ok(()) } else { Err(FileDefect::Identity(found)) }
}

fn parse_entry(bytes: &[u8]) -> Option<Checkpoint> {
    let mut fields = Fields(sound(bytes)?);
    let interval = Interval(u64::from_be_bytes(fields.take()?));
    let from = Offset(i64::from_be_bytes(fields.take()?));
    let (batches, hash) = (u32::from_be_bytes(fields.take()?), u64::from_be_bytes(fields.take()?));
    Some(Checkpoint { interval, from, batches, hash })
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: FileIdentity = FileIdentity { topic: TopicId::ZERO, partition: PartitionId(4) };

    fn checkpoint(interval: u64, hash: u64) -> Checkpoint {
        let interval = Interval(interval);
        Checkpoint { interval, from: interval.range().start, batches: 7, hash }
    }

    fn bytes(entries: &[Checkpoint]) -> Vec<u8> {
        let mut bytes = Checkpoints::header(&IDENTITY);
        entries.iter().for_each(|entry| bytes.extend(Checkpoints::entry(entry)));
        bytes
    }

    #[test]
    fn a_file_is_read_as_it_was_written_wherever_it_is_torn() {
        let entries = [checkpoint(0, 5), checkpoint(1, 6), checkpoint(9, 7)];
        let bytes = bytes(&entries);
        for cut in HEADER_BYTES..=bytes.len() {
            let (read, whole) = Checkpoints::read(&IDENTITY, &bytes[..cut]).unwrap();
            assert_eq!(read.entries(), &entries[..(cut - HEADER_BYTES) / ENTRY_BYTES]);
            assert_eq!(whole, HEADER_BYTES + read.entries().len() * ENTRY_BYTES);
        }
        assert_eq!(Checkpoints::read(&IDENTITY, &bytes[..HEADER_BYTES - 1]), Err(FileDefect::Kind));
    }

    #[test]
    fn no_flipped_bit_is_taken_for_another_hash() {
        let entries = [checkpoint(0, 5), checkpoint(1, 6)];
        let bytes = bytes(&entries);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            if let Ok((read, _)) = Checkpoints::read(&IDENTITY, &damaged) {
                assert!(read.entries().len() < 2 && entries.starts_with(read.entries()), "byte {at}");
            }
        }
    }

    #[test]
    fn what_was_cut_off_is_written_again() {
        let entries = [checkpoint(0, 5), checkpoint(1, 6), checkpoint(2, 7), checkpoint(1, 8)];
        let (mut read, _) = Checkpoints::read(&IDENTITY, &bytes(&entries)).unwrap();
        assert_eq!(read.entries(), [entries[0], entries[3]]);
        assert_eq!(read.written(), Interval(2));
        read.truncate(Offset((2 << 16) - 1));
        assert_eq!(read.entries(), [entries[0]]);
        read.raise_start(Offset(1 << 16));
        assert_eq!((read.entries(), read.written()), (&[][..], Interval(0)));
    }

    #[test]
    fn a_file_written_at_once_is_the_one_written_piece_by_piece() {
        let entries = [checkpoint(0, 5), checkpoint(1, 6), checkpoint(4, 7)];
        let (mut read, _) = Checkpoints::read(&IDENTITY, &bytes(&entries)).unwrap();
        assert_eq!(read.file(&IDENTITY), bytes(&entries));
        read.replace(checkpoint(1, 9));
        read.replace(checkpoint(2, 9));
        assert_eq!(read.entries(), [entries[0], checkpoint(1, 9), entries[2]]);
    }

    #[test]
    fn the_file_of_another_partition_is_refused() {
        let other = FileIdentity { partition: PartitionId(5), ..IDENTITY };
        assert_eq!(Checkpoints::read(&other, &bytes(&[])), Err(FileDefect::Identity(IDENTITY)));
    }
}
