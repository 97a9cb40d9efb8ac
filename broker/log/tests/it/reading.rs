use crate::support::*;
use broker_log::{Config, Log, ReadError};
use model::{ByteCount, Offset};

#[test]
fn every_offset_is_read_as_the_batch_that_holds_it() {
    let dir = dir();
    let mut log = open(dir.path(), small());
    let appended: Vec<_> = (0..60).map(|n| append(&mut log, 1 + n % 4, n as i64)).collect();
    assert!(log.segment_count() > 3);
    for log in [&log] {
        for offset in 0..log.tail().0 {
            let slice = log.reader().read(Offset(offset), log.tail(), ByteCount(1), true).unwrap().unwrap();
            let batch = appended.iter().find(|a| a.next_offset.0 > offset).unwrap();
            assert_eq!((slice.first_offset, slice.next_offset), (batch.first_offset, batch.next_offset));
            slice_bytes(&slice);
        }
    }
}

#[test]
fn a_read_stops_at_whole_batches_below_its_limit_and_its_size() {
    let dir = dir();
    let mut log = open(dir.path(), small());
    let appended: Vec<_> = (0..80).map(|n| append(&mut log, 1 + n % 3, n as i64)).collect();
    let reader = log.reader();
    for from in 0..log.tail().0 {
        for upto in from..=log.tail().0 {
            let whole = appended.iter().filter(|a| a.next_offset.0 > from && a.next_offset.0 <= upto);
            let wanted = whole.clone().next().filter(|first| first.first_offset.0 <= from).map(|a| a.first_offset);
            let slice = reader.read(Offset(from), Offset(upto), MAX, true).unwrap();
            assert_eq!(slice.as_ref().map(|s| s.first_offset), wanted, "[{from}, {upto})");
            if let Some(slice) = slice {
                assert!(slice.next_offset.0 <= upto && whole.clone().any(|a| a.next_offset == slice.next_offset));
                let size = slice_bytes(&slice).len() as u64;
                for max in [0, size / 3, size - 1] {
                    let part = reader.read(Offset(from), Offset(upto), ByteCount(max), false).unwrap();
                    assert!(part.as_ref().is_none_or(|part| part.len <= max && part.next_offset < slice.next_offset));
                    if let Some(part) = part {
                        let bytes = slice_bytes(&part);
                        let last = record::Batches::new(&bytes).last().unwrap().unwrap();
                        assert_eq!(last.next_offset(), part.next_offset);
                        let next = appended.iter().find(|a| a.first_offset == part.next_offset).unwrap();
                        let more = reader.read(next.first_offset, Offset(upto), ByteCount(1), true).unwrap().unwrap();
                        assert!(part.len + more.len > max, "one more batch would have fitted");
                    }
                }
            }
        }
    }
}

#[test]
fn what_was_not_flushed_is_not_cold_however_far_from_the_tail_it_lies() {
    let dir = dir();
    let mut log = open(dir.path(), Config::default());
    let large = checked(record::BatchBuilder::new().record(1, None, Some(&vec![7; 1 << 20]), &[]).build());
    for _ in 0..70 {
        log.append(&large, EPOCH, model::Timestamp(1)).unwrap();
    }
    let is_cold = |log: &Log, from: i64| {
        let slice = log.reader().read(Offset(from), log.tail(), ByteCount(1), true).unwrap().unwrap();
        slice.is_cold()
    };
    assert!(!is_cold(&log, 0));
    log.flush().unwrap();
    assert!(is_cold(&log, 0) && !is_cold(&log, 60));
}

#[test]
fn only_offsets_outside_of_the_log_are_out_of_range() {
    let dir = dir();
    let mut log = open(dir.path(), small());
    append(&mut log, 5, 1);
    let read = |from: i64, upto: i64| log.reader().read(Offset(from), Offset(upto), MAX, true);
    assert!(read(5, 5).unwrap().is_none(), "at the tail");
    assert!(read(3, 0).unwrap().is_none(), "between the limit and the tail");
    assert!(read(0, 4).unwrap().is_none(), "the limit lies within the batch");
    assert!(matches!(read(6, 9), Err(ReadError::OutOfRange { tail: Offset(5), .. })));
    assert!(matches!(read(-1, 9), Err(ReadError::OutOfRange { .. })));
    assert_eq!(read(0, 999).unwrap().unwrap().next_offset, Offset(5), "a limit beyond the tail is the tail");
}

#[test]
fn readers_go_on_while_the_owner_appends_rolls_and_retires() {
    let dir = dir();
    let mut log = open(dir.path(), small());
    append(&mut log, 1, 0);
    let reader = log.reader();
    let reading = std::thread::spawn(move || {
        let (mut seen, mut from) = (0, Offset(0));
        while from < Offset(3000) {
            match reader.read(from, reader.tail(), MAX, true) {
                Ok(Some(slice)) => {
                    seen += slice_bytes(&slice).len();
                    from = slice.next_offset;
                }
                Ok(None) => std::thread::yield_now(),
                Err(ReadError::OutOfRange { start, .. }) => from = start,
                Err(error) => panic!("{error}"),
            }
        }
        seen
    });
    for n in 1..3000 {
        append(&mut log, 1, n);
        if n % 500 == 0 {
            log.set_log_start(Offset(n - 400)).unwrap();
        }
    }
    assert!(reading.join().unwrap() > 0);
}

#[test]
fn a_slice_outlives_its_segment() {
    let dir = dir();
    let mut log = open(dir.path(), small());
    (0..60).for_each(|n| _ = append(&mut log, 1, n));
    let slice = log.reader().read(Offset(0), log.tail(), MAX, true).unwrap().unwrap();
    log.set_log_start(Offset(50)).unwrap();
    assert!(matches!(log.reader().read(Offset(0), log.tail(), MAX, true), Err(ReadError::OutOfRange { .. })));
    slice_bytes(&slice);
}
