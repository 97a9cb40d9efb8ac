use super::*;
use proptest::prelude::*;

/// A log: of each batch how many offsets it has, and how many bytes.
struct Log(Vec<(i64, u64)>);

impl Log {
    fn tail(&self) -> Offset {
        Offset(self.0.iter().map(|(offsets, _)| offsets).sum())
    }

    /// What such a cluster answers: whole batches within the bytes, the first in any case; and how many bytes it sends.
    fn answer(&self, ask: Ask) -> (Sizes, u64) {
        let (mut at, mut left) = (0, u64::from(ask.bytes_max));
        let mut sizes = Sizes { end: ask.from, base: ask.from, tail: self.tail(), ..Sizes::default() };
        for (offsets, bytes) in &self.0 {
            let base = at;
            at += offsets;
            if at <= ask.from.0 {
                continue;
            }
            if sizes.bytes == 0 {
                sizes.base = Offset(base);
            } else if *bytes > left {
                // The last batch is cut off.
                return (sizes, u64::from(ask.bytes_max));
            }
            left = left.saturating_sub(*bytes);
            sizes.end = Offset(at);
            sizes.bytes += bytes;
            sizes.batch_bytes_max = sizes.batch_bytes_max.max(*bytes);
        }
        (sizes, sizes.bytes)
    }
}

/// Reads all of `log`, answers coming in the order that `pick` says; how many fetches it took, and how many bytes came.
fn read(log: &Log, width: usize, mut pick: impl FnMut(usize) -> usize) -> (usize, u64) {
    let mut ahead = Ahead::new(Offset(0), width);
    let (mut asked, mut position, mut fetches, mut sent) = (Vec::new(), Offset(0), 0, 0);
    while position < log.tail() {
        asked.extend(std::iter::from_fn(|| ahead.ask()));
        assert!(ahead.held() <= width && !asked.is_empty(), "nothing is under way at {position:?}");
        let ask: Ask = asked.swap_remove(pick(asked.len()));
        let (sizes, bytes) = log.answer(ask);
        (fetches, sent) = (fetches + 1, sent + bytes);
        ahead.answered(ask.from, sizes, sizes);
        while let Some(came) = ahead.due() {
            assert!(came.base <= position, "offsets from {position:?} to {:?} are left out", came.base);
            position.advance(came.end);
            assert_eq!(position, ahead.next());
        }
    }
    (fetches, sent)
}

#[test]
fn little_comes_twice_of_records_that_are_all_alike() {
    for (offsets, bytes) in [(950, 1_000_000), (16, 17_000), (1, 100)] {
        let count = (400_000_000 / bytes).min(200_000);
        let log = Log(vec![(offsets, bytes); count as usize]);
        let (fetches, sent) = read(&log, 6, |_| 0);
        let least = count * bytes;
        assert!(sent * 100 <= least * 118, "{sent} bytes for {least}");
        assert!(fetches as u64 <= least / RANGE_BYTES * 5 / 4 + 6, "{fetches} fetches for {least} bytes");
    }
}

#[test]
fn at_the_tail_one_fetch_waits() {
    let mut ahead = Ahead::new(Offset(7), 6);
    let at_tail = Sizes { end: Offset(7), base: Offset(7), tail: Offset(7), ..Sizes::default() };
    for _ in 0..3 {
        let ask = ahead.ask().unwrap();
        assert_eq!((ask.from, ahead.ask()), (Offset(7), None));
        ahead.answered(ask.from, at_tail, ());
        assert_eq!(ahead.due(), Some(()), "how far the log goes is told");
    }
    let more = Sizes { end: Offset(9), bytes: 200, batch_bytes_max: 100, tail: Offset(9), ..at_tail };
    let ask = ahead.ask().unwrap();
    ahead.answered(ask.from, more, ());
    assert_eq!((ahead.due(), ahead.next()), (Some(()), Offset(9)));
    assert_eq!((ahead.ask().map(|ask| ask.from), ahead.ask()), (Some(Offset(9)), None));
}

#[test]
fn what_was_asked_for_before_a_restart_counts_no_more() {
    let log = Log(vec![(10, 1_000_000); 100]);
    let mut ahead = Ahead::new(Offset(0), 4);
    let first = ahead.ask().unwrap();
    ahead.answered(first.from, log.answer(first).0, 1);
    assert_eq!(ahead.due(), Some(1));
    let late = ahead.ask().unwrap();
    ahead.restart(Offset(0));
    ahead.answered(late.from, log.answer(late).0, 2);
    assert_eq!((ahead.due(), ahead.held()), (None, 0));
    assert_eq!((ahead.ask().map(|ask| ask.from), ahead.ask()), (Some(Offset(0)), None), "it begins with one");
}

#[test]
fn sizes_are_those_of_whole_batches() {
    let batch = |base: i64| {
        let mut batch = record::BatchBuilder::new();
        (0..3).for_each(|_| batch.push_raw(model::Timestamp(1), None, Some(b"value"), &[]));
        let mut bytes = batch.build();
        record::set_base_offset(&mut bytes, Offset(base));
        bytes
    };
    let bytes = [batch(5), batch(8), batch(11)[..20].to_vec()].concat();
    let size = batch(5).len() as u64;
    let found = Sizes::of(&bytes, Offset(6), Offset(40));
    let expected = Sizes { end: Offset(11), base: Offset(5), bytes: 2 * size, batch_bytes_max: size, tail: Offset(40) };
    assert_eq!(found, expected);
    assert_eq!(Sizes::of(&[], Offset(6), Offset(6)).end, Offset(6));
}

proptest! {
    #[test]
    fn nothing_is_left_out_however_batches_lie_and_answers_come(
        batches in prop::collection::vec((1_i64..2000, 100_u64..3_000_000), 1..200),
        width in 1_usize..8,
        picks in prop::collection::vec(0_usize..8, 1..50),
    ) {
        let mut turn = 0;
        read(&Log(batches), width, |len| {
            turn += 1;
            picks[turn % picks.len()] % len
        });
    }
}
