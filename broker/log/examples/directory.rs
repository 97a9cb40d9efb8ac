//! Writes a partition directory with a bit of everything, for Apache Kafka's own tool to look at:
//!
//! ```sh
//! cargo run -p broker-log --example directory -- /tmp/orders-0
//! java ... org.apache.kafka.tools.DumpLogSegments --deep-iteration --files $(ls -d /tmp/orders-0/*.log | paste -sd,)
//! java ... org.apache.kafka.tools.DumpLogSegments --index-sanity-check --files $(ls -d /tmp/orders-0/*index | paste -sd,)
//! ```

use broker_log::{Config, Log};
use model::{ByteCount, LeaderEpoch, Offset, ProducerId, Timestamp, TopicId, limits};
use record::{BatchBuilder, CheckedBatch, Compression, ProduceRules, end_txn_marker};
use std::error::Error;

const START_MS: i64 = 1_700_000_000_000;
const EPOCH: LeaderEpoch = LeaderEpoch(4097);
const NEXT_EPOCH: LeaderEpoch = LeaderEpoch(2 * 4096);

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args().nth(1).ok_or("name the directory to write, for example /tmp/orders-0")?;
    let config = Config { segment_bytes: ByteCount::kib(256), ..Config::default() };
    let (mut log, _) = Log::open(&dir, TopicId(uuid::Uuid::from_u128(7)), config)?;
    for n in 0..2000 {
        append(&mut log, data(n, n % 3 == 0), EPOCH)?;
        if n % 50 == 49 {
            append(&mut log, end_txn_marker(n % 100 == 49, ProducerId(9), 0, 0, Timestamp(START_MS + n * 10)), EPOCH)?;
        }
    }
    let end = log.tail();
    let base = end.plus(limits::PROMOTE_HOLE_OFFSETS);
    log.open_epoch_across_hole(end, base, NEXT_EPOCH, 1, Timestamp(START_MS + 20_000))?;
    for n in 2000..2400 {
        append(&mut log, data(n, n == 2399), NEXT_EPOCH)?;
    }
    println!("{} segments, [{}, {}), hole [{end}, {base})", log.segment_count(), log.start(), log.tail());
    Ok(log.close()?)
}

fn append(log: &mut Log, batch: Vec<u8>, epoch: LeaderEpoch) -> Result<Offset, Box<dyn Error>> {
    let batch = CheckedBatch::check(batch.into(), &ProduceRules::BROKER)?;
    Ok(log.append(&batch, epoch, Timestamp(0))?.first_offset)
}

fn data(n: i64, transactional: bool) -> Vec<u8> {
    let sequence = (n / 3 * 4) as i32;
    let builder = BatchBuilder::new().compression(Compression::ALL[n as usize % 5]);
    let builder = if transactional { builder.producer(ProducerId(9), 0, sequence).transactional() } else { builder };
    let value = format!("value {n} ").repeat(30);
    let headers: &[(&str, Option<&[u8]>)] = &[("trace", Some(b"abc")), ("trace", None)];
    let time = START_MS + n * 10;
    let count = if transactional { 4 } else { 1 + n as usize % 4 };
    (0..count).fold(builder, |b, at| b.record(time - at as i64, Some(b"key"), Some(value.as_bytes()), headers)).build()
}
