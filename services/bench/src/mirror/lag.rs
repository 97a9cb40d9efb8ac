//! Lag: a steady load, and for every record the time from its acknowledgement at the source to its arrival at a consumer at
//! the target.

use super::pair::Pair;
use crate::load::{self, RECORD_BYTES};
use anyhow::{Context, bail, ensure};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Message, Offset, TopicPartitionList};
use serde::Serialize;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
/// What comes first does not count: windows grow, JVMs warm up.
const WARM_UP: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Acks(Mutex<Vec<(i64, Instant)>>);

impl ClientContext for Acks {}

impl ProducerContext for Acks {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Ok(message) = result {
            let mut acks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            acks.push((message.offset(), Instant::now()));
        }
    }
}

/// What was found, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Lag {
    /// Half of the records come sooner.
    pub(crate) p50_ms: f64,
    /// 99 of 100 do.
    pub(crate) p99_ms: f64,
}

/// The lag under `rate` megabytes per second.
pub(super) fn run(pair: &mut dyn Pair, rate: f64, length: Duration) -> anyhow::Result<Lag> {
    let topic = pair.topic("paced");
    load::create_with(&pair.source(), &topic, 1, 1)?;
    pair.begin(&topic)?;
    let (source, target, total) = (pair.source(), pair.target(), WARM_UP + length);
    let records = (rate * 1e6 / RECORD_BYTES as f64 * total.as_secs_f64()) as usize;
    let mirrored = topic.clone();
    let reading = thread::spawn(move || read(&target, &mirrored, records));
    let acks = write(&source, &topic, records, total)?;
    let arrivals = match reading.join() {
        Ok(arrivals) => arrivals?,
        Err(_) => bail!("the consumer at the target gave up"),
    };
    let skipped = (records as f64 * WARM_UP.as_secs_f64() / total.as_secs_f64()) as usize;
    let lag = |(offset, acked): &(i64, Instant)| {
        arrivals.get(*offset as usize)?.map(|at| at.saturating_duration_since(*acked))
    };
    let mut lags: Vec<Duration> = acks.iter().skip(skipped).filter_map(lag).collect();
    lags.sort_unstable();
    ensure!(lags.len() > 100, "only {} records were seen at the target", lags.len());
    let percentile = |percent: usize| lags[(lags.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    Ok(Lag { p50_ms: percentile(50), p99_ms: percentile(99) })
}

fn write(bootstrap: &str, topic: &str, records: usize, over: Duration) -> anyhow::Result<Vec<(i64, Instant)>> {
    let config = [("bootstrap.servers", bootstrap), ("acks", "all"), ("linger.ms", "5"), ("batch.size", "1000000")];
    let config: ClientConfig = config.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let producer: ThreadedProducer<Acks> = config.create_with_context(Acks::default())?;
    let (payload, began) = (load::incompressible(), Instant::now());
    for number in 0..records {
        let due = began + over.mul_f64(number as f64 / records as f64);
        // A sleep for each record would be too many of them.
        if due > Instant::now() + Duration::from_millis(1) {
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        let mut record = BaseRecord::<(), [u8], _>::to(topic).partition(0).payload(&payload);
        while let Err((error, unsent)) = producer.send(record) {
            ensure!(error == KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), "cannot produce: {error}");
            thread::sleep(Duration::from_millis(1));
            record = unsent;
        }
    }
    producer.flush(PATIENCE).context("not everything was acknowledged")?;
    let acks = std::mem::take(&mut *producer.context().0.lock().unwrap_or_else(PoisonError::into_inner));
    ensure!(acks.len() == records, "{} of {records} records were acknowledged", acks.len());
    Ok(acks)
}

/// When each offset came.
fn read(bootstrap: &str, topic: &str, records: usize) -> anyhow::Result<Vec<Option<Instant>>> {
    let config = [
        ("bootstrap.servers", bootstrap),
        ("group.id", "bench-lag"),
        ("enable.auto.commit", "false"),
        ("fetch.wait.max.ms", "100"),
        ("fetch.error.backoff.ms", "10"),
        ("topic.metadata.refresh.interval.ms", "500"),
        ("auto.offset.reset", "earliest"),
    ];
    let config: ClientConfig = config.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let consumer: BaseConsumer = config.create()?;
    let mut places = TopicPartitionList::new();
    places.add_partition_offset(topic, 0, Offset::Beginning)?;
    consumer.assign(&places)?;
    let (mut arrivals, mut seen, mut moved_at) = (vec![None; records], 0, Instant::now());
    while seen < records {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                if let Some(place) = usize::try_from(message.offset()).ok().and_then(|at| arrivals.get_mut(at)) {
                    seen += usize::from(place.replace(Instant::now()).is_none());
                }
                moved_at = Instant::now();
            }
            // The topic may not be there yet.
            Some(Err(_)) | None => ensure!(moved_at.elapsed() < PATIENCE, "{seen} of {records} records came"),
        }
    }
    Ok(arrivals)
}
