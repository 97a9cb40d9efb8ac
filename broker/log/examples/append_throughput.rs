//! How fast one partition takes batches and gives them back: `cargo run --release -p broker-log --example
//! append_throughput -- [DIR] [BATCH_BYTES] [MEBIBYTES]`.

use broker_log::{Config, Log};
use model::{LeaderEpoch, Offset, Timestamp, TopicId, limits};
use record::{BatchBuilder, CheckedBatch, ProduceRules};
use std::error::Error;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().unwrap_or_else(|| "/tmp/append-throughput".into());
    let batch_bytes: usize = args.next().map_or(Ok(16 << 10), |text| text.parse())?;
    let mebibytes: u64 = args.next().map_or(Ok(1024), |text| text.parse())?;
    let records = (batch_bytes / 1024).max(1);
    let value = vec![7; batch_bytes / records];
    let builder = (0..records).fold(BatchBuilder::new(), |b, n| b.record(n as i64, None, Some(&value), &[]));
    let bytes = bytes::Bytes::from(builder.build());
    let count = (mebibytes << 20) / bytes.len() as u64;
    for flush_every in [u64::MAX, (8 << 20) / bytes.len() as u64, 1] {
        let count = if flush_every == 1 { count / 20 } else { count };
        let (mut log, _) = Log::open(&dir, TopicId::ZERO, Config::default())?;
        let start = Instant::now();
        for n in 0..count {
            let batch = CheckedBatch::check(bytes.clone(), &ProduceRules::BROKER)?;
            log.append(&batch, LeaderEpoch(1), Timestamp(n as i64))?;
            if n % flush_every == flush_every - 1 {
                log.flush()?;
            }
        }
        report("append", start, count, count * bytes.len() as u64);
        read_all(&log)?;
        log.delete()?;
    }
    Ok(())
}

fn read_all(log: &Log) -> Result<(), Box<dyn Error>> {
    let (start, reader, mut from, mut reads, mut bytes) = (Instant::now(), log.reader(), Offset(0), 0, 0);
    while let Some(slice) = reader.read(from, log.tail(), limits::BATCH_BYTES_MAX, true)? {
        (from, reads, bytes) = (slice.next_offset, reads + 1, bytes + slice.len);
    }
    report("locate", start, reads, bytes);
    Ok(())
}

fn report(what: &str, start: Instant, count: u64, bytes: u64) {
    let seconds = start.elapsed().as_secs_f64();
    let (rate, micros) = (bytes as f64 / seconds / 1e6, seconds * 1e6 / count as f64);
    println!("{what}: {count} x {} bytes, {rate:.0} MB/s, {micros:.1} us each", bytes / count.max(1));
}
