//! The journal of one partition's copy: a file of entries, each with its size and a checksum, big-endian.
//!
//! ```text
//! entry   size u32, crc32c u32, then one of
//!   1 begin      source topic 16, target topic 16, source 8, target 8
//!   2 identity   producer 8, epoch 2, sequence 4
//!   3 plan       sequence 4, end 8, how many 4, then (source 8, count 4) each
//!   4 landed     target 8
//!   5 passed     end 8
//!   6 gap        start 8, end 8
//!   7 runs       how many 4, then (source 8, target 8, count 8) each
//!   8 thinned    below 8
//! ```
//!
//! A plan is on disk before its batch is sent. Everything else may be lost with the machine: what has landed is found
//! again in the target. An end that is torn or damaged is left off; should a plan have been lost with it whose batch was
//! sent, the batch in the target is recognised as a stranger ([`super::Copy::recognise`]).

use super::copy::{Begin, Identity, Planned};
use super::{Run, carry};
use model::{Offset, OffsetRange, ProducerId, TopicId};
use std::fmt;
use uuid::Uuid;

/// How many runs one entry may have.
pub const RUNS_MAX: usize = carry::RECORDS_MAX;
/// Size and checksum.
const HEAD_BYTES: usize = 8;
/// The largest entry: one of [`RUNS_MAX`] runs.
const BODY_BYTES_MAX: usize = 64 + RUNS_MAX * 24;

/// A change of the copy of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// What is copied to where.
    Begin(Begin),
    /// From now on under these numbers, the next record under this sequence number. What was planned is so no more.
    Identity {
        /// The producer.
        identity: Identity,
        /// The next sequence number.
        sequence: i32,
    },
    /// This batch will be sent.
    Plan(Planned),
    /// The oldest planned batch is in the target.
    Landed {
        /// At this offset.
        base: Offset,
    },
    /// Nothing up to here is to be sent.
    Passed {
        /// The source offset behind it.
        end: Offset,
    },
    /// The source has dropped these offsets before they were copied.
    Gap(OffsetRange),
    /// Where records went, when the journal was written anew.
    Runs(Vec<Run>),
    /// Below this source offset runs were left out.
    Thinned {
        /// The offset.
        below: Offset,
    },
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runs(runs) => write!(f, "runs ({})", runs.len()),
            other => write!(f, "{other:?}"),
        }
    }
}

impl Entry {
    /// The entry as it goes to the file.
    ///
    /// # Panics
    /// When it has more than [`RUNS_MAX`] runs: whoever makes entries keeps to it.
    pub fn encode(&self) -> Vec<u8> {
        let body = self.body();
        assert!(body.len() <= BODY_BYTES_MAX, "an entry of {} bytes", body.len());
        let mut out = Vec::with_capacity(HEAD_BYTES + body.len());
        out.extend((body.len() as u32).to_be_bytes());
        out.extend(record::crc32c(&body).to_be_bytes());
        out.extend(body);
        out
    }

    fn body(&self) -> Vec<u8> {
        let mut out = Body(Vec::with_capacity(64));
        match self {
            Self::Begin(begin) => out
                .byte(1)
                .bytes(begin.source_topic.0.as_bytes())
                .bytes(begin.target_topic.0.as_bytes())
                .offset(begin.source)
                .offset(begin.target),
            Self::Identity { identity, sequence } => out
                .byte(2)
                .bytes(&identity.producer.0.to_be_bytes())
                .bytes(&identity.epoch.to_be_bytes())
                .bytes(&sequence.to_be_bytes()),
            Self::Plan(planned) => {
                out.byte(3).bytes(&planned.sequence.to_be_bytes()).offset(planned.end);
                out.each(&planned.runs, |out, (source, count)| _ = out.offset(*source).bytes(&count.to_be_bytes()))
            }
            Self::Landed { base } => out.byte(4).offset(*base),
            Self::Passed { end } => out.byte(5).offset(*end),
            Self::Gap(range) => out.byte(6).offset(range.start).offset(range.end),
            Self::Runs(runs) => out.byte(7).each(runs, |out, run| {
                out.offset(run.source).offset(run.target).bytes(&run.count.to_be_bytes());
            }),
            Self::Thinned { below } => out.byte(8).offset(*below),
        };
        out.0
    }

    fn decode(body: &[u8]) -> Option<Self> {
        let mut rest = Rest(body);
        let entry = match rest.array::<1>()?[0] {
            1 => Self::Begin(Begin {
                source_topic: TopicId(Uuid::from_bytes(rest.array()?)),
                target_topic: TopicId(Uuid::from_bytes(rest.array()?)),
                source: rest.offset()?,
                target: rest.offset()?,
            }),
            2 => {
                let producer = ProducerId(i64::from_be_bytes(rest.array()?));
                let identity = Identity { producer, epoch: i16::from_be_bytes(rest.array()?) };
                Self::Identity { identity, sequence: i32::from_be_bytes(rest.array()?) }
            }
            3 => Self::Plan(Planned {
                sequence: i32::from_be_bytes(rest.array()?),
                end: rest.offset()?,
                runs: rest.each(|rest| Some((rest.offset()?, u32::from_be_bytes(rest.array()?))))?,
            }),
            4 => Self::Landed { base: rest.offset()? },
            5 => Self::Passed { end: rest.offset()? },
            6 => Self::Gap(OffsetRange::new(rest.offset()?, rest.offset()?)),
            7 => Self::Runs(rest.each(|rest| {
                let (source, target) = (rest.offset()?, rest.offset()?);
                Some(Run { source, target, count: u64::from_be_bytes(rest.array()?) })
            })?),
            8 => Self::Thinned { below: rest.offset()? },
            _ => return None,
        };
        rest.0.is_empty().then_some(entry)
    }
}

/// The entries at the start of `bytes`, and how many bytes they take; what follows is torn or damaged.
pub fn read(bytes: &[u8]) -> (Vec<Entry>, usize) {
    let (mut entries, mut position) = (Vec::new(), 0);
    while let Some((entry, size)) = next(&bytes[position..]) {
        entries.push(entry);
        position += size;
    }
    (entries, position)
}

fn next(bytes: &[u8]) -> Option<(Entry, usize)> {
    let mut rest = Rest(bytes);
    let size = u32::from_be_bytes(rest.array()?) as usize;
    let crc = u32::from_be_bytes(rest.array()?);
    let body = rest.0.get(..size).filter(|_| size <= BODY_BYTES_MAX)?;
    let entry = Entry::decode(body).filter(|_| record::crc32c(body) == crc)?;
    Some((entry, HEAD_BYTES + size))
}

struct Body(Vec<u8>);

impl Body {
    fn byte(&mut self, byte: u8) -> &mut Self {
        self.bytes(&[byte])
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend(bytes);
        self
    }

    fn offset(&mut self, offset: Offset) -> &mut Self {
        self.bytes(&offset.0.to_be_bytes())
    }

    fn each<T>(&mut self, items: &[T], mut put: impl FnMut(&mut Self, &T)) -> &mut Self {
        self.bytes(&(items.len() as u32).to_be_bytes());
        items.iter().for_each(|item| put(self, item));
        self
    }
}

struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn offset(&mut self) -> Option<Offset> {
        self.array().map(i64::from_be_bytes).map(Offset)
    }

    fn each<T>(&mut self, take: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = u32::from_be_bytes(self.array()?) as usize;
        if count > RUNS_MAX {
            return None;
        }
        (0..count).map(|_| take(self)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries() -> Vec<Entry> {
        let begin = Begin {
            source_topic: TopicId(Uuid::from_u128(7)),
            target_topic: TopicId(Uuid::from_u128(8)),
            source: Offset(3),
            target: Offset(0),
        };
        vec![
            Entry::Begin(begin),
            Entry::Identity { identity: Identity { producer: ProducerId(4001), epoch: 2 }, sequence: 17 },
            Entry::Plan(Planned { sequence: 17, runs: vec![(Offset(3), 2), (Offset(9), 1)], end: Offset(11) }),
            Entry::Landed { base: Offset(0) },
            Entry::Passed { end: Offset(13) },
            Entry::Gap(OffsetRange::new(Offset(13), Offset(20))),
            Entry::Runs(vec![Run { source: Offset(30), target: Offset(3), count: 5 }]),
            Entry::Thinned { below: Offset(5) },
        ]
    }

    #[test]
    fn what_is_written_is_read_again() {
        let bytes: Vec<u8> = entries().iter().flat_map(Entry::encode).collect();
        assert_eq!(read(&bytes), (entries(), bytes.len()));
    }

    #[test]
    fn the_format_is_pinned() {
        let landed = Entry::Landed { base: Offset(258) }.encode();
        assert_eq!(landed, [0, 0, 0, 9, 0x97, 0xb3, 0x42, 0x10, 4, 0, 0, 0, 0, 0, 0, 1, 2]);
    }

    proptest! {
        #[test]
        fn a_damaged_or_torn_end_is_left_off(at in 0usize..400, flip in 1u8..=255, cut in 0usize..400) {
            let frames: Vec<Vec<u8>> = entries().iter().map(Entry::encode).collect();
            let mut bytes = frames.concat();
            let (at, cut) = (at % bytes.len(), cut % bytes.len());
            bytes[at] ^= flip;
            bytes.truncate(bytes.len() - cut);
            let (found, position) = read(&bytes);
            // Every frame that lies wholly before the damage and the cut is there.
            let mut end = 0;
            let sound = frames.iter().take_while(|frame| { end += frame.len(); end <= at.min(bytes.len()) }).count();
            prop_assert!(found.len() >= sound && position <= bytes.len());
            prop_assert_eq!(&found[..sound], &entries()[..sound]);
            prop_assert!(found.len() == sound || bytes.len() <= at);
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(read(&bytes).1 <= bytes.len());
        }
    }
}
