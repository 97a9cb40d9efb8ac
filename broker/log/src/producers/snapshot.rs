//! Producer state as a file: Kafka's `.snapshot` format, and behind it what Kafka does not keep.
//!
//! Kafka's part: version (`i16`, 1), CRC-32C of all that follows, a count (`i32`), and per producer 46 bytes of which
//! the sequence number is that of its last batch only. Kafka's reader checks the CRC to the end of the file and ignores
//! what follows its entries; so behind them, in the same order, stand each producer's other batches and whether its
//! jump is open, and then the transactions whose markers may not be committed.

use super::entry::{Entry, Kept};
use super::{Producers, Transactions};
use model::{Offset, ProducerId, Timestamp, limits};
use record::crc32c;

const VERSION: i16 = 1;
const CRC_AT: usize = 2;
const ENTRIES_AT: usize = 6;
const ENTRY_BYTES: usize = 46;
const EXTENSION: &[u8; 4] = b"FSH1";

impl Producers {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_unstable_by_key(|(id, _)| **id);
        let mut out = VERSION.to_be_bytes().to_vec();
        out.extend([0; 4]);
        out.extend((entries.len() as i32).to_be_bytes());
        entries.iter().for_each(|(id, entry)| put_entry(&mut out, **id, entry));
        out.extend(EXTENSION);
        entries.iter().for_each(|(_, entry)| put_extension(&mut out, entry));
        out.extend((self.transactions.ended().len() as i32).to_be_bytes());
        for (first, last) in self.transactions.ended() {
            put_numbers(&mut out, [first.0, last.0]);
        }
        let crc = crc32c(&out[ENTRIES_AT..]);
        out[CRC_AT..ENTRIES_AT].copy_from_slice(&crc.to_be_bytes());
        out
    }

    /// Reads what [`encode`](Self::encode) or Apache Kafka wrote; `None` when it is damaged.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = Rest(bytes);
        if rest.i16()? != VERSION || rest.u32()? != crc32c(bytes.get(ENTRIES_AT..)?) {
            return None;
        }
        let count = usize::try_from(rest.i32()?).ok().filter(|count| *count <= rest.0.len() / ENTRY_BYTES)?;
        let mut entries: Vec<_> = (0..count).map(|_| take_entry(&mut rest)).collect::<Option<_>>()?;
        let mut transactions = Transactions::default();
        if !rest.0.is_empty() {
            take_extension(&mut rest, &mut entries, &mut transactions)?;
        }
        for (id, entry) in &entries {
            entry.transaction.iter().for_each(|first| transactions.begin(*first, *id));
        }
        Some(Self { entries: entries.into_iter().collect(), transactions, roam: false })
    }
}

fn put_numbers<const N: usize>(out: &mut Vec<u8>, numbers: [i64; N]) {
    numbers.iter().for_each(|number| out.extend(number.to_be_bytes()));
}

fn put_entry(out: &mut Vec<u8>, id: ProducerId, entry: &Entry) {
    let last = entry.batches.back();
    out.extend(id.0.to_be_bytes());
    out.extend(entry.epoch.to_be_bytes());
    out.extend(last.map_or(-1, |kept| kept.last_sequence).to_be_bytes());
    out.extend(last.map_or(-1, |kept| kept.last_offset.0).to_be_bytes());
    out.extend(last.map_or(0, |kept| kept.offset_delta).to_be_bytes());
    out.extend(entry.last_timestamp.0.to_be_bytes());
    out.extend(entry.coordinator_epoch.to_be_bytes());
    out.extend(entry.transaction.map_or(-1, |first| first.0).to_be_bytes());
}

fn put_extension(out: &mut Vec<u8>, entry: &Entry) {
    out.push(u8::from(entry.jump_open));
    out.push(entry.batches.len() as u8);
    for kept in &entry.batches {
        out.extend(kept.last_sequence.to_be_bytes());
        out.extend(kept.offset_delta.to_be_bytes());
        put_numbers(out, [kept.last_offset.0, kept.timestamp.0]);
    }
}

fn take_entry(rest: &mut Rest<'_>) -> Option<(ProducerId, Entry)> {
    let (id, epoch, last_sequence) = (ProducerId(rest.i64()?), rest.i16()?, rest.i32()?);
    let (last_offset, offset_delta, timestamp) = (Offset(rest.i64()?), rest.i32()?, Timestamp(rest.i64()?));
    let (coordinator_epoch, first) = (rest.i32()?, rest.i64()?);
    let last = (last_sequence >= 0).then_some(Kept { last_sequence, last_offset, offset_delta, timestamp });
    let entry = Entry {
        epoch,
        coordinator_epoch,
        last_timestamp: timestamp,
        batches: last.into_iter().collect(),
        jump_open: false,
        transaction: (first >= 0).then_some(Offset(first)),
        sent_back: 0,
    };
    Some((id, entry))
}

fn take_extension(
    rest: &mut Rest<'_>,
    entries: &mut [(ProducerId, Entry)],
    transactions: &mut Transactions,
) -> Option<()> {
    if rest.take::<4>()? != *EXTENSION {
        return None;
    }
    for (_, entry) in entries {
        entry.jump_open = rest.take::<1>()? != [0];
        let [count] = rest.take()?;
        if usize::from(count) > limits::PRODUCER_BATCHES_KEPT {
            return None;
        }
        entry.batches = (0..count).map(|_| take_kept(rest)).collect::<Option<_>>()?;
    }
    for _ in 0..rest.i32()? {
        transactions.restore_ended(Offset(rest.i64()?), Offset(rest.i64()?));
    }
    rest.0.is_empty().then_some(())
}

fn take_kept(rest: &mut Rest<'_>) -> Option<Kept> {
    let (last_sequence, offset_delta) = (rest.i32()?, rest.i32()?);
    Some(Kept { last_sequence, offset_delta, last_offset: Offset(rest.i64()?), timestamp: Timestamp(rest.i64()?) })
}

/// Bytes not decoded yet.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn i16(&mut self) -> Option<i16> {
        self.take().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> Option<i32> {
        self.take().map(i32::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::{BatchBuilder, BatchView, ControlRecord, end_txn_marker, set_base_offset};

    fn some_state() -> Producers {
        let mut producers = Producers::default();
        let mut offset = 0;
        for producer in [3, 1, 2] {
            for sequence in 0..7 {
                let builder =
                    BatchBuilder::new().base_offset(Offset(offset)).producer(ProducerId(producer), 4, sequence);
                let builder = if producer == 2 { builder } else { builder.transactional() };
                let bytes = builder.record(offset, None, None, &[]).build();
                producers.note(&BatchView::parse(&bytes).unwrap(), None);
                offset += 1;
            }
        }
        let mut marker = end_txn_marker(true, ProducerId(1), 4, 9, Timestamp(5));
        set_base_offset(&mut marker, Offset(offset));
        let view = BatchView::parse(&marker).unwrap();
        producers.note(&view, ControlRecord::of(&view));
        producers.entries.get_mut(&ProducerId(2)).unwrap().jump_open = true;
        producers
    }

    #[test]
    fn a_snapshot_gives_back_all_of_the_state() {
        let state = some_state();
        assert_eq!(state.transactions.ended().count(), 1);
        assert_eq!(Producers::decode(&state.encode()), Some(state));
    }

    #[test]
    fn kafkas_own_snapshot_is_read_with_what_it_has() {
        let state = some_state();
        let mut bytes = state.encode();
        bytes.truncate(ENTRIES_AT + 4 + 3 * ENTRY_BYTES);
        let crc = crc32c(&bytes[ENTRIES_AT..]);
        bytes[CRC_AT..ENTRIES_AT].copy_from_slice(&crc.to_be_bytes());
        let read = Producers::decode(&bytes).unwrap();
        let (full, last) = (&state.entries[&ProducerId(3)], &read.entries[&ProducerId(3)]);
        assert_eq!((last.epoch, last.batches.len()), (4, 1));
        assert_eq!(last.batches.back(), full.batches.back());
        assert_eq!(read.open_transactions(), state.open_transactions());
    }

    #[test]
    fn any_damage_is_noticed() {
        let bytes = some_state().encode();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(Producers::decode(&damaged), None, "byte {at}");
            assert_eq!(Producers::decode(&bytes[..at]), None, "cut at {at}");
        }
    }
}
