use model::{Offset, ProducerId, Timestamp, limits};
use record::{Header, sequence_after};
use std::collections::VecDeque;

/// A jump of this distance or more is taken for a step back.
const JUMP_DISTANCE_LIMIT: i32 = 1 << 30;
/// How often a producer is made to send again before it is told that it is out of order.
const SENT_BACK_MAX: u8 = 3;

/// One of a producer's last batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) last_sequence: i32,
    pub(crate) last_offset: Offset,
    pub(crate) offset_delta: i32,
    pub(crate) timestamp: Timestamp,
}

impl Kept {
    fn of(batch: &Header) -> Self {
        Self {
            last_sequence: batch.last_sequence(),
            last_offset: batch.last_offset(),
            offset_delta: batch.last_offset_delta,
            timestamp: batch.max_timestamp,
        }
    }

    pub(crate) fn first_sequence(&self) -> i32 {
        sequence_after(self.last_sequence, -self.offset_delta)
    }

    pub(crate) fn first_offset(&self) -> Offset {
        self.last_offset.plus(-i64::from(self.offset_delta))
    }
}

/// A producer skipped sequence numbers after a promote or a restore: what it wrote in between is lost here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Jump {
    /// The producer.
    pub producer_id: ProducerId,
    /// The epoch of its last batch before.
    pub from_epoch: i16,
    /// The sequence number that would have come next.
    pub expected_sequence: i32,
    /// The epoch of the batch that came.
    pub to_epoch: i16,
    /// The first sequence number of the batch that came.
    pub found_sequence: i32,
}

/// What a leader does with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It comes next: append it.
    Next,
    /// It comes next because the producer's one jump is open: append it, and say so.
    Jump(Jump),
    /// It is in the log already: answer as then.
    Duplicate(Kept),
}

/// Why a leader refuses a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Fenced { latest: i16 },
    OutOfOrder { expected: i32 },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) epoch: i16,
    pub(crate) coordinator_epoch: i32,
    pub(crate) last_timestamp: Timestamp,
    /// The last batches of `epoch`, oldest first.
    pub(crate) batches: VecDeque<Kept>,
    pub(crate) jump_open: bool,
    pub(crate) transaction: Option<Offset>,
    /// How often it was made to send again since its last new batch; not kept over a restart.
    pub(crate) sent_back: u8,
}

impl Default for Entry {
    fn default() -> Self {
        Self {
            epoch: -1,
            coordinator_epoch: -1,
            last_timestamp: Timestamp::NONE,
            batches: VecDeque::new(),
            jump_open: false,
            transaction: None,
            sent_back: 0,
        }
    }
}

impl Entry {
    /// Kafka's `ProducerAppendInfo.checkSequence`, and a jump where one is open.
    pub(crate) fn judge(&self, batch: &Header, jump_open: bool) -> Result<Verdict, Refusal> {
        if batch.producer_epoch < self.epoch {
            return Err(Refusal::Fenced { latest: self.epoch });
        }
        if batch.attributes.is_control() {
            return Ok(Verdict::Next);
        }
        if let Some(kept) = self.duplicate_of(batch) {
            return Ok(Verdict::Duplicate(kept));
        }
        let expected = self.next_sequence(batch.producer_epoch);
        match batch.base_sequence {
            found if found == expected => Ok(Verdict::Next),
            found if jump_open && self.is_jump(batch, expected) => Ok(Verdict::Jump(self.jump(batch, found))),
            _ => Err(Refusal::OutOfOrder { expected }),
        }
    }

    fn duplicate_of(&self, batch: &Header) -> Option<Kept> {
        let same =
            |kept: &&Kept| kept.last_sequence == batch.last_sequence() && kept.first_sequence() == batch.base_sequence;
        self.batches.iter().find(same).filter(|_| batch.producer_epoch == self.epoch).copied()
    }

    /// What comes next under `epoch`: a new epoch starts at 0.
    fn next_sequence(&self, epoch: i16) -> i32 {
        let last = self.batches.back().filter(|_| epoch == self.epoch);
        last.map_or(0, |kept| sequence_after(kept.last_sequence, 1))
    }

    fn is_jump(&self, batch: &Header, expected: i32) -> bool {
        let forward = sequence_after(batch.base_sequence, -expected) < JUMP_DISTANCE_LIMIT;
        batch.producer_epoch > self.epoch || forward
    }

    fn jump(&self, batch: &Header, found_sequence: i32) -> Jump {
        Jump {
            producer_id: batch.producer_id,
            from_epoch: self.epoch,
            expected_sequence: self.next_sequence(self.epoch),
            to_epoch: batch.producer_epoch,
            found_sequence,
        }
    }

    /// Whether a batch that is out of order is to be sent again behind those before it, `leadership_start` being where
    /// the leadership began. If it comes too early under a leader to which its producer has written nothing yet, those
    /// before it may have been refused a moment ago, while the leader was not ready; and another replica may hold
    /// them. Told that it is out of order, a client goes on under a new epoch, and would write those twice. After a few
    /// attempts it is told: what comes between is missing for good.
    pub(crate) fn send_back(&mut self, batch: &Header, leadership_start: Offset) -> bool {
        let ahead = sequence_after(batch.base_sequence, -self.next_sequence(self.epoch));
        let is_early = batch.producer_epoch == self.epoch && (1..JUMP_DISTANCE_LIMIT).contains(&ahead);
        let is_first = self.batches.back().is_some_and(|last| last.last_offset < leadership_start);
        let sends_back = is_early && is_first && self.sent_back < SENT_BACK_MAX;
        self.sent_back += u8::from(sends_back);
        sends_back
    }

    /// Takes note of a data batch that is in the log. Whatever it was, it is the first new one after a jump opened.
    pub(crate) fn note(&mut self, batch: &Header) {
        self.note_epoch(batch);
        self.jump_open = false;
        self.sent_back = 0;
        self.batches.push_back(Kept::of(batch));
        if self.batches.len() > limits::PRODUCER_BATCHES_KEPT {
            self.batches.pop_front();
        }
    }

    pub(crate) fn note_marker(&mut self, marker: &Header, coordinator_epoch: i32) {
        self.note_epoch(marker);
        self.coordinator_epoch = coordinator_epoch;
    }

    fn note_epoch(&mut self, batch: &Header) {
        if batch.producer_epoch != self.epoch {
            self.epoch = batch.producer_epoch;
            self.batches.clear();
        }
        self.last_timestamp = batch.max_timestamp;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::{BatchBuilder, BatchView};

    fn batch(epoch: i16, first: i32, count: i32) -> Header {
        let builder = BatchBuilder::new().base_offset(Offset(1000)).producer(ProducerId(7), epoch, first);
        let bytes = (0..count).fold(builder, |b, n| b.record(i64::from(n), None, None, &[])).build();
        *BatchView::parse(&bytes).unwrap().header()
    }

    fn entry(epoch: i16, batches: &[(i32, i32)], jump_open: bool) -> Entry {
        let mut entry = Entry::default();
        batches.iter().for_each(|(first, count)| entry.note(&batch(epoch, *first, *count)));
        entry.jump_open = jump_open;
        entry
    }

    #[derive(Debug, PartialEq)]
    enum Is {
        Next,
        Jump,
        Duplicate,
        Fenced,
        Wants(i32),
    }

    fn judged(entry: &Entry, epoch: i16, first: i32, count: i32) -> Is {
        match entry.judge(&batch(epoch, first, count), entry.jump_open) {
            Ok(Verdict::Next) => Is::Next,
            Ok(Verdict::Jump(_)) => Is::Jump,
            Ok(Verdict::Duplicate(_)) => Is::Duplicate,
            Err(Refusal::Fenced { .. }) => Is::Fenced,
            Err(Refusal::OutOfOrder { expected }) => Is::Wants(expected),
        }
    }

    #[test]
    fn idempotence_table() {
        let known = entry(3, &[(0, 5), (5, 1), (6, 4)], false);
        for (epoch, first, count, verdict) in [
            (3, 10, 1, Is::Next),
            (3, 11, 1, Is::Wants(10)),
            (3, 6, 4, Is::Duplicate),
            (3, 0, 5, Is::Duplicate),
            (3, 6, 3, Is::Wants(10)),
            (3, 7, 3, Is::Wants(10)),
            (2, 10, 1, Is::Fenced),
            (4, 0, 1, Is::Next),
            (4, 10, 1, Is::Wants(0)),
        ] {
            assert_eq!(judged(&known, epoch, first, count), verdict, "epoch {epoch}, {count} from {first}");
        }
    }

    #[test]
    fn only_the_last_five_batches_are_known_as_duplicates() {
        let known = entry(0, &[(0, 1), (1, 1), (2, 1), (3, 1), (4, 1), (5, 1)], false);
        assert_eq!(judged(&known, 0, 0, 1), Is::Wants(6));
        assert_eq!(judged(&known, 0, 1, 1), Is::Duplicate);
    }

    #[test]
    fn sequence_numbers_go_on_at_zero_after_the_largest() {
        let at_end = entry(0, &[(i32::MAX - 1, 2)], false);
        assert_eq!(judged(&at_end, 0, 0, 3), Is::Next);
        assert_eq!(judged(&at_end, 0, 1, 1), Is::Wants(0));
        let across = entry(0, &[(i32::MAX, 3)], false);
        assert_eq!(judged(&across, 0, 2, 1), Is::Next);
        assert_eq!(judged(&across, 0, i32::MAX, 3), Is::Duplicate);
    }

    #[test]
    fn jump_table() {
        let open = entry(3, &[(0, 5), (5, 5)], true);
        for (epoch, first, count, verdict) in [
            (3, 10, 1, Is::Next),
            (3, 11, 1, Is::Jump),
            (3, 10 + (1 << 30) - 1, 1, Is::Jump),
            (3, 10 + (1 << 30), 1, Is::Wants(10)),
            (3, 9, 1, Is::Wants(10)),
            (3, 5, 5, Is::Duplicate),
            (2, 11, 1, Is::Fenced),
            (4, 0, 1, Is::Next),
            (4, 17, 1, Is::Jump),
            (4, i32::MAX, 1, Is::Jump),
        ] {
            assert_eq!(judged(&open, epoch, first, count), verdict, "epoch {epoch}, {count} from {first}");
        }
        let near_the_end = entry(0, &[(i32::MAX - 4, 2)], true);
        assert_eq!(judged(&near_the_end, 0, 100, 1), Is::Jump, "modulo 2^31");
        assert_eq!(judged(&near_the_end, 0, i32::MAX - 3, 1), Is::Wants(i32::MAX - 2));
    }

    #[test]
    fn the_first_new_batch_closes_the_jump_whether_it_jumped_or_not() {
        for first in [10, 400] {
            let mut open = entry(3, &[(0, 10)], true);
            assert_eq!(judged(&open, 3, 0, 10), Is::Duplicate);
            assert!(open.jump_open, "a duplicate leaves it open");
            open.note(&batch(3, first, 1));
            assert_eq!(judged(&open, 3, first + 7, 1), Is::Wants(first + 1));
        }
    }

    #[test]
    fn what_comes_too_early_under_a_new_leader_is_sent_again_a_few_times() {
        let (old, new) = (Offset(1000), Offset(1001));
        let mut known = entry(3, &[(0, 1)], false);
        assert!(
            !known.send_back(&batch(3, 2, 1), old),
            "this leader took its last batch: nothing it sent is elsewhere"
        );
        for (epoch, first) in [(3, 0), (4, 2), (3, 1 + (1 << 30))] {
            assert!(!known.send_back(&batch(epoch, first, 1), new), "epoch {epoch} from {first}");
        }
        for _ in 0..SENT_BACK_MAX {
            assert!(known.send_back(&batch(3, 2, 1), new));
        }
        assert!(!known.send_back(&batch(3, 2, 1), new), "it is missing for good");
        known.note(&batch(3, 1, 1));
        assert!(known.send_back(&batch(3, 3, 1), new), "it goes on");
    }

    #[test]
    fn a_jump_says_where_from_and_where_to() {
        let open = entry(3, &[(0, 10)], true);
        let Ok(Verdict::Jump(jump)) = open.judge(&batch(4, 25, 2), true) else { panic!("no jump") };
        assert_eq!((jump.from_epoch, jump.expected_sequence, jump.to_epoch, jump.found_sequence), (3, 10, 4, 25));
    }
}
