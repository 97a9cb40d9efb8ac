//! Small batches that grow to a gigabyte.

use broker_record::{BatchBuilder, BatchView, Compression, HEADER_BYTES, RecordError, SIZE_PREFIX_BYTES};
use model::ByteCount;
use std::io::Write;

const CAP: ByteCount = ByteCount::mib(32);

/// One record of a mebibyte, as it stands in a batch.
fn record() -> Vec<u8> {
    BatchBuilder::new().record(0, None, Some(&vec![0; 1 << 20]), &[]).build().split_off(HEADER_BYTES)
}

/// Far more records of a mebibyte than the cap allows: a gigabyte of them, or 64 MiB where compressing takes long.
fn bomb(compression: Compression) -> Vec<u8> {
    let record = record();
    match compression {
        Compression::None => unreachable!("nothing grows"),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(&record).unwrap();
            encoder.finish().unwrap().repeat(1024)
        }
        Compression::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            (0..64).for_each(|_| encoder.write_all(&record).unwrap());
            encoder.finish().unwrap()
        }
        Compression::Zstd => zstd::encode_all(&record[..], 3).unwrap().repeat(1024),
        Compression::Snappy => {
            let chunk = snap::raw::Encoder::new().compress_vec(&record).unwrap();
            let chunk = [(chunk.len() as i32).to_be_bytes().to_vec(), chunk].concat();
            [b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec(), chunk.repeat(1024)].concat()
        }
    }
}

/// A batch that says `count` records lie in `payload`.
fn batch(compression: Compression, count: i32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = BatchBuilder::new().compression(compression).build();
    bytes.truncate(HEADER_BYTES);
    bytes.extend(payload);
    let length = (bytes.len() - SIZE_PREFIX_BYTES) as i32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[23..27].copy_from_slice(&(count - 1).to_be_bytes());
    bytes[57..61].copy_from_slice(&count.to_be_bytes());
    bytes
}

/// The most memory this process ever had, in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() << 10
}

#[test]
fn a_gigabyte_in_a_small_batch_is_refused_with_little_memory() {
    let bombs: Vec<_> = Compression::ALL.into_iter().skip(1).map(|kind| (kind, bomb(kind))).collect();
    let before = peak_memory();
    for (kind, payload) in &bombs {
        let bytes = batch(*kind, 1 << 20, payload);
        let mut records = BatchView::parse(&bytes).unwrap().records(CAP).unwrap();
        let sound = records.by_ref().take_while(Result::is_ok).count();
        assert_eq!(sound, 31, "{kind}: as many as fit");
        assert!(records.next().is_none(), "{kind}: an error is the last item");
    }
    let grown = peak_memory() - before;
    assert!(grown < 48 << 20, "{grown} bytes for bombs");
}

#[test]
fn a_record_that_says_it_is_larger_than_the_cap_is_refused_unread() {
    for kind in Compression::ALL.into_iter().skip(1) {
        let bytes = BatchBuilder::new().compression(kind).record(0, None, Some(&[0; 3000]), &[]).build();
        let error = BatchView::parse(&bytes).unwrap().records(ByteCount(2000)).unwrap().find_map(Result::err).unwrap();
        assert!(matches!(error, RecordError::TooLarge(ByteCount(2000))), "{kind}: {error}");
    }
}
