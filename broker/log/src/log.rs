use crate::append_times::AppendTimes;
use crate::epochs::Epochs;
use crate::flush::Unflushed;
use crate::producers::Producers;
use crate::tail::Tail;
use crate::view::{Shared, View};
use crate::{AbortedTransaction, ActiveProducer, Config, EpochEnd, EpochStart, OpenTransaction, Reader, Sealed};
use model::{LeaderEpoch, Offset, ProducerId, Timestamp, TopicId};
use record::Header;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One partition's log, as its owner holds it.
pub struct Log {
    pub(crate) dir: PathBuf,
    pub(crate) topic_id: TopicId,
    pub(crate) config: Config,
    pub(crate) shared: Arc<Shared>,
    pub(crate) tail: Tail,
    pub(crate) producers: Producers,
    pub(crate) times: AppendTimes,
    pub(crate) unflushed: Unflushed,
    /// Everything below was looked at by a compaction.
    pub(crate) cleaned: Offset,
}

impl Log {
    /// Where its files are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The topic it belongs to.
    pub const fn topic_id(&self) -> TopicId {
        self.topic_id
    }

    /// Follows a changed topic configuration, from the next append on.
    pub fn configure(&mut self, config: Config) {
        self.config = config;
    }

    /// A reader that goes on beside the owner.
    pub fn reader(&self) -> Reader {
        Reader { shared: self.shared.clone() }
    }

    /// The first offset kept.
    pub fn start(&self) -> Offset {
        self.shared.read().start
    }

    /// The next offset to be written.
    pub fn tail(&self) -> Offset {
        self.shared.read().tail.offset
    }

    /// Everything below is on disk.
    pub fn flushed(&self) -> Offset {
        self.shared.read().flushed.offset
    }

    /// Bytes of batches on disk.
    pub fn size_bytes(&self) -> u64 {
        self.shared.read().segments.iter().map(|segment| segment.size()).sum()
    }

    /// How many segments it has.
    pub fn segment_count(&self) -> usize {
        self.shared.read().segments.len()
    }

    /// Why it takes no more writes, if so.
    pub fn sealed(&self) -> Option<&Sealed> {
        self.shared.sealed()
    }

    /// The leader epochs, ascending.
    pub fn epochs(&self) -> Vec<EpochStart> {
        self.shared.read().epochs.all().to_vec()
    }

    /// The latest leader epoch; [`LeaderEpoch::NONE`] before the first.
    pub fn latest_epoch(&self) -> LeaderEpoch {
        self.shared.read().epochs.latest()
    }

    /// The epoch of the last batch, or the epoch the log was told of since.
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.shared.read().epochs.at(offset)
    }

    /// See [`Reader::end_of_epoch_for_replica`].
    pub fn end_of_epoch_for_replica(&self, epoch: LeaderEpoch) -> Option<EpochEnd> {
        self.reader().end_of_epoch_for_replica(epoch)
    }

    /// See [`Reader::end_of_epoch_for_client`].
    pub fn end_of_epoch_for_client(&self, epoch: LeaderEpoch) -> Option<EpochEnd> {
        self.reader().end_of_epoch_for_client(epoch)
    }

    /// A leader begins `epoch` at the tail. Nothing is written: the epoch is in the log once its first batch is.
    pub fn begin_epoch(&mut self, epoch: LeaderEpoch) {
        let tail = self.tail();
        self.change_epochs(|epochs| epochs.begin(epoch, tail, tail));
    }

    /// A leader that never wrote leads no more: the epochs it began are another leader's to begin, or an older one's to
    /// go on with.
    pub fn forget_unwritten_epochs(&mut self) {
        let tail = self.tail();
        self.change_epochs(|epochs| epochs.truncate(tail));
    }

    pub(crate) fn change_epochs(&mut self, change: impl FnOnce(&mut Epochs) -> bool) {
        let mut view = self.shared.write();
        if change(Arc::make_mut(&mut view.epochs)) {
            self.unflushed.epochs = true;
        }
    }

    /// The transactions that are neither committed nor aborted, by first offset.
    pub fn open_transactions(&self) -> Vec<OpenTransaction> {
        self.producers.open_transactions()
    }

    /// How far a reader of committed records may see when `high_watermark` is how far others may: every transaction
    /// below it is decided, by a marker below `high_watermark`.
    pub fn last_stable(&self, high_watermark: Offset) -> Offset {
        self.producers.transactions().last_stable(high_watermark)
    }

    /// Says that the watermark will not go back below `high_watermark`, so that decided transactions can be forgotten.
    pub fn forget_stable(&mut self, high_watermark: Offset) {
        self.producers.transactions_mut().forget_stable(high_watermark);
    }

    /// See [`Reader::aborted_transactions`].
    pub fn aborted_transactions(&self, from: Offset, upto: Offset) -> Vec<AbortedTransaction> {
        self.reader().aborted_transactions(from, upto)
    }

    /// From here on producers may skip forward as often as they like, because they write to other logs, too, and know of one
    /// only. Not kept over a restart. A refused batch of theirs must close its connection, as with one jump.
    pub fn let_producers_roam(&mut self) {
        self.producers.let_roam();
    }

    /// Whether a producer may still skip forward once. While it may, a refused batch of it must close its connection,
    /// so that it sends again in order.
    pub fn has_open_jump(&self, producer: ProducerId) -> bool {
        self.producers.has_open_jump(producer)
    }

    /// Whether the producer of a batch that the leader of `epoch` refused as out of order has to send it again behind
    /// those before it, on a new connection: it comes too early, and the producer has written nothing yet under this
    /// leader. Counts: after a few times the answer is no.
    pub fn send_back(&mut self, batch: &Header, epoch: LeaderEpoch) -> bool {
        let begun = self.shared.read().epochs.all().last().filter(|last| last.epoch == epoch).map(|last| last.start);
        let leadership_start = begun.unwrap_or_else(|| self.tail());
        self.producers.send_back(batch, leadership_start)
    }

    /// How many producers the log remembers.
    pub fn producer_count(&self) -> usize {
        self.producers.len()
    }

    /// The producers the log remembers, by id.
    pub fn active_producers(&self) -> Vec<ActiveProducer> {
        self.producers.active()
    }

    /// Forgets producers that wrote nothing since `since`.
    pub fn expire_producers(&mut self, since: Timestamp) {
        self.producers.expire(since);
    }

    /// When the batch that contains `offset`, or is the next behind it, was appended here: exact to 50 ms for recent
    /// appends, the batch's own largest timestamp for those from before the log was opened. `None` at the tail.
    pub fn append_time(&self, offset: Offset) -> Option<Timestamp> {
        if offset >= self.tail() {
            return None;
        }
        self.times.at(offset).or_else(|| self.reader().batch_timestamp(offset).ok().flatten())
    }

    pub(crate) fn view(&self) -> View {
        self.shared.view()
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Log {{ {}: [{}, {}) }}", self.dir.display(), self.start(), self.tail())
    }
}
