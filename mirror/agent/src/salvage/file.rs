//! The file of a diverged tail, batch by batch.

use super::SalvageFailure;
use bytes::{Buf, Bytes, BytesMut};
use env::PortFuture;
use mirror_core::salvage::{SalvageError, Shared, Transactions, records, verified};
use model::{Offset, OffsetRange};
use record::{BatchView, Batches, Header, Record};
use std::cmp::Ordering;
use std::collections::VecDeque;

/// How much of a file is read at a time.
const CHUNK_BYTES: u32 = 128 << 10;
/// The largest batch of a tail.
const BATCH_BYTES_MAX: usize = 64 << 20;

/// The file of a diverged tail, or another log, wherever it is.
pub trait TailFile: Send + Sync {
    /// Some bytes from `at` on, at most `max`; none at the end of the file.
    fn read(&self, at: u64, max: u32) -> PortFuture<'_, Result<Bytes, String>>;
}

/// The offsets of the batches of a file, and how many records it has.
///
/// # Errors
/// [`SalvageFailure`] when it cannot be read.
pub async fn extent(file: &dyn TailFile) -> Result<(OffsetRange, u64), SalvageFailure> {
    let (mut range, mut records, mut batches) = (None, 0, FileBatches::new(file));
    while batches.fill().await? {
        for batch in batches.whole() {
            let header = batch.header();
            let start = range.map_or(header.base_offset, |range: OffsetRange| range.start);
            range = Some(OffsetRange::new(start, header.next_offset()));
            let is_data = !header.attributes.is_control();
            records += u64::try_from(header.count).unwrap_or(0) * u64::from(is_data);
        }
        batches.advance()?;
    }
    Ok((range.unwrap_or(OffsetRange::new(Offset::ZERO, Offset::ZERO)), records))
}

/// Shows every record of a data batch.
pub(super) fn each_record(batch: &BatchView<'_>, mut see: impl FnMut(&Record)) -> Result<(), SalvageError> {
    if batch.attributes.is_control() {
        return Ok(());
    }
    for record in records(batch)? {
        see(&record?);
    }
    Ok(())
}

/// How the transactions of a tail ended. All of its batches are what was written.
pub(super) async fn transactions(file: &dyn TailFile) -> Result<Transactions, SalvageFailure> {
    let (mut transactions, mut batches) = (Transactions::default(), FileBatches::new(file));
    while batches.fill().await? {
        for batch in batches.whole() {
            verified(&batch)?;
            transactions.note(&batch)?;
        }
        batches.advance()?;
    }
    Ok(transactions)
}

/// What of a tail, whose transactions are known, another one has, too, as far as it was sent from there.
pub(super) async fn shared(
    (ours, ended): (&dyn TailFile, &Transactions),
    theirs: &dyn TailFile,
) -> Result<Shared, SalvageFailure> {
    let ended_there = transactions(theirs).await?;
    let (mut ours, mut theirs) = (Committed::new(ours, ended), Committed::new(theirs, &ended_there));
    let (mut our, mut their, mut shared) = (ours.next().await?, theirs.next().await?, Shared::default());
    while let (Some(here), Some(there)) = (&our, &their) {
        let order = shared.meet(here, there);
        if order != Ordering::Greater {
            our = ours.next().await?;
        }
        if order != Ordering::Less {
            their = theirs.next().await?;
        }
    }
    Ok(shared)
}

/// The headers of those batches of a file that readers of what was committed see.
struct Committed<'f> {
    batches: FileBatches<'f>,
    transactions: &'f Transactions,
    held: VecDeque<Header>,
}

impl<'f> Committed<'f> {
    fn new(file: &'f dyn TailFile, transactions: &'f Transactions) -> Self {
        Self { batches: FileBatches::new(file), transactions, held: VecDeque::new() }
    }

    async fn next(&mut self) -> Result<Option<Header>, SalvageFailure> {
        while self.held.is_empty() && self.batches.fill().await? {
            let whole = self.batches.whole().filter(|batch| !batch.attributes.is_control());
            let committed = whole.filter(|batch| self.transactions.fate(batch).is_none());
            self.held.extend(committed.map(|batch| *batch.header()));
            self.batches.advance()?;
        }
        Ok(self.held.pop_front())
    }
}

/// The batches of a file, a chunk at a time.
pub(super) struct FileBatches<'f> {
    file: &'f dyn TailFile,
    held: BytesMut,
    /// Where in the file the held bytes begin.
    at: u64,
}

impl<'f> FileBatches<'f> {
    pub(super) fn new(file: &'f dyn TailFile) -> Self {
        Self { file, held: BytesMut::new(), at: 0 }
    }

    /// Reads on until at least one whole batch is held; false at the end of the file.
    pub(super) async fn fill(&mut self) -> Result<bool, SalvageFailure> {
        loop {
            let next = self.at + self.held.len() as u64;
            let chunk = self.file.read(next, CHUNK_BYTES).await.map_err(SalvageFailure::File)?;
            if chunk.is_empty() && self.held.is_empty() {
                return Ok(false);
            }
            if chunk.is_empty() {
                return Err(self.damaged("it ends within a batch"));
            }
            self.held.extend_from_slice(&chunk);
            if let Some(first) = Batches::new(&self.held).next() {
                first.map_err(|error| self.damaged(error))?;
                return Ok(true);
            }
            if self.held.len() > BATCH_BYTES_MAX {
                return Err(self.damaged(format!("no batch of at most {BATCH_BYTES_MAX} bytes")));
            }
        }
    }

    pub(super) fn whole(&self) -> impl Iterator<Item = BatchView<'_>> {
        Batches::new(&self.held).map_while(Result::ok)
    }

    /// Lets go of the whole batches.
    pub(super) fn advance(&mut self) -> Result<(), SalvageFailure> {
        let mut batches = Batches::new(&self.held);
        for batch in batches.by_ref() {
            batch.map_err(|error| self.damaged(error))?;
        }
        let taken = batches.position();
        self.held.advance(taken);
        self.at += taken as u64;
        Ok(())
    }

    fn damaged(&self, what: impl ToString) -> SalvageFailure {
        SalvageFailure::Damaged { at: self.at, what: what.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{LeaderEpoch, ProducerId, Timestamp};
    use record::BatchBuilder;

    /// A file that gives few bytes at a time.
    struct Slow(Vec<u8>);

    impl TailFile for Slow {
        fn read(&self, at: u64, max: u32) -> PortFuture<'_, Result<Bytes, String>> {
            let rest = &self.0[self.0.len().min(at as usize)..];
            let part = Bytes::copy_from_slice(&rest[..rest.len().min(max as usize).min(50)]);
            Box::pin(async move { Ok(part) })
        }
    }

    async fn offsets(bytes: Vec<u8>) -> Result<Vec<i64>, SalvageFailure> {
        let (file, mut offsets) = (Slow(bytes), vec![]);
        let mut batches = FileBatches::new(&file);
        while batches.fill().await? {
            offsets.extend(batches.whole().map(|batch| batch.base_offset.0));
            batches.advance()?;
        }
        Ok(offsets)
    }

    fn batch(offset: i64) -> Vec<u8> {
        batch_with(offset, 7)
    }

    fn batch_with(offset: i64, byte: u8) -> Vec<u8> {
        BatchBuilder::new().base_offset(Offset(offset)).record(1, None, Some(&[byte; 30]), &[]).build()
    }

    fn transactional(offset: i64, producer: i64) -> Vec<u8> {
        let batch = BatchBuilder::new().base_offset(Offset(offset)).producer(ProducerId(producer), 0, 0);
        batch.transactional().record(1, None, Some(b"v"), &[]).build()
    }

    fn marker(offset: i64, commit: bool, producer: i64) -> Vec<u8> {
        let mut marker = record::end_txn_marker(commit, ProducerId(producer), 0, 0, Timestamp(1));
        record::set_base_offset(&mut marker, Offset(offset));
        marker
    }

    /// The offsets up to 20 at which one file has what another has brought.
    async fn shared_offsets(ours: &[Vec<u8>], theirs: &[Vec<u8>]) -> Vec<i64> {
        let (ours, theirs) = (Slow(ours.concat()), Slow(theirs.concat()));
        let ended = transactions(&ours).await.unwrap();
        let shared = shared((&ours, &ended), &theirs).await.unwrap();
        (0..20).filter(|offset| shared.contains(Offset(*offset))).collect()
    }

    #[tokio::test]
    async fn a_file_is_read_batch_by_batch_however_it_is_cut_into_chunks() {
        assert_eq!(offsets([batch(3), batch(9), batch(10)].concat()).await.unwrap(), [3, 9, 10]);
        assert_eq!(offsets(vec![]).await.unwrap(), [0; 0]);
    }

    #[tokio::test]
    async fn a_file_that_ends_within_a_batch_is_damaged() {
        let (first, mut torn) = (batch(3), batch(9));
        torn.pop();
        let at = first.len() as u64;
        let failure = offsets([first, torn].concat()).await.unwrap_err();
        assert!(matches!(failure, SalvageFailure::Damaged { at: found, .. } if found == at), "{failure}");
    }

    #[tokio::test]
    async fn what_a_longer_tail_of_another_region_has_is_known_again() {
        let (short, long) = ([batch(3), batch(4)], [batch(3), batch(4), batch(6)]);
        assert_eq!(shared_offsets(&long, &short).await, [3, 4]);
        assert_eq!(shared_offsets(&short, &long).await, [3, 4]);
        assert_eq!(shared_offsets(&long, &[batch(2), batch(6), batch(9)]).await, [6]);
        assert_eq!(shared_offsets(&long, &[]).await, [0; 0]);
    }

    #[tokio::test]
    async fn another_batch_at_the_same_offset_is_another() {
        assert_eq!(shared_offsets(&[batch(3), batch(4)], &[batch_with(3, 8), batch(4)]).await, [4]);
        let mut led_by_another = batch(3);
        record::set_leader_epoch(&mut led_by_another, LeaderEpoch(9));
        assert_eq!(shared_offsets(&[batch(3)], &[led_by_another]).await, [3], "wherever it was stored");
    }

    #[tokio::test]
    async fn what_the_other_tail_did_not_send_is_not_there() {
        let (open, ended) = ([transactional(3, 7), batch(4)], [transactional(3, 7), batch(4), marker(5, true, 7)]);
        assert_eq!(shared_offsets(&ended, &open).await, [4], "the other one could not tell that it was committed");
        assert_eq!(shared_offsets(&ended, &ended).await, [3, 4]);
        let aborted = [transactional(3, 7), batch(4), marker(5, false, 7)];
        assert_eq!(shared_offsets(&aborted, &aborted).await, [4]);
    }
}
