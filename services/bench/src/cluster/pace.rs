//! Load at a steady rate, with the time of every acknowledgement.

use crate::load::{PARTITIONS, PATIENCE, incompressible};
use anyhow::{Context, ensure};
use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// When records were sent and acknowledged; a record that was not is not in it.
#[derive(Debug, Default)]
pub(super) struct Paced {
    acks: Vec<(Instant, Instant)>,
    failed: usize,
}

#[derive(Default)]
struct Times(Mutex<Paced>);

impl ClientContext for Times {}

impl ProducerContext for Times {
    type DeliveryOpaque = Box<Instant>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Box<Instant>) {
        let mut paced = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(_) => paced.acks.push((*sent, Instant::now())),
            Err(_) => paced.failed += 1,
        }
    }
}

impl Paced {
    /// 99 of 100 acknowledgements came within this time.
    pub(super) fn p99(&self) -> Duration {
        let mut took: Vec<_> = self.acks.iter().map(|(sent, acked)| acked.duration_since(*sent)).collect();
        took.sort_unstable();
        took.get(took.len().saturating_sub(1) * 99 / 100).copied().unwrap_or_default()
    }

    /// The longest time between two acknowledgements.
    pub(super) fn longest_silence(&self) -> Duration {
        let mut at: Vec<_> = self.acks.iter().map(|(_, acked)| *acked).collect();
        at.sort_unstable();
        at.windows(2).map(|pair| pair[1].duration_since(pair[0])).max().unwrap_or_default()
    }
}

/// Writes `rate` records per second with acks=all for `length`; `midway` is done once, a quarter into it.
pub(super) fn run(
    bootstrap: &str,
    topic: &str,
    rate: f64,
    length: Duration,
    midway: impl FnOnce(),
) -> anyhow::Result<Paced> {
    let producer = producer(bootstrap)?;
    let payload = incompressible();
    let (began, mut midway) = (Instant::now(), Some(midway));
    for number in 0_u64.. {
        let due = began + Duration::from_secs_f64(number as f64 / rate);
        if due >= began + length {
            break;
        }
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if began.elapsed() >= length / 4 {
            midway.take().into_iter().for_each(|act| act());
        }
        // A full queue is what a producer that stands still comes to: time goes on, the record is not sent.
        let record = BaseRecord::<(), [u8], _>::with_opaque_to(topic, Box::new(Instant::now()))
            .partition(number as i32 % PARTITIONS)
            .payload(&payload);
        match producer.send(record) {
            Ok(()) | Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {}
            Err((error, _)) => return Err(error).context("cannot produce"),
        }
    }
    producer.flush(PATIENCE).context("not everything was acknowledged")?;
    let paced = std::mem::take(&mut *producer.context().0.lock().unwrap_or_else(PoisonError::into_inner));
    ensure!(paced.failed == 0, "{} records were not delivered", paced.failed);
    Ok(paced)
}

fn producer(bootstrap: &str) -> anyhow::Result<ThreadedProducer<Times>> {
    let config = [
        ("bootstrap.servers", bootstrap),
        ("acks", "all"),
        ("enable.idempotence", "true"),
        ("linger.ms", "1"),
        ("message.timeout.ms", "60000"),
        ("socket.timeout.ms", "10000"),
        ("reconnect.backoff.ms", "10"),
        ("reconnect.backoff.max.ms", "100"),
        ("retry.backoff.ms", "50"),
    ];
    let config: ClientConfig = config.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    config.create_with_context(Times::default()).context("librdkafka makes no producer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_and_silence_are_read_from_the_acknowledgements() {
        let began = Instant::now();
        let at = |ms| began + Duration::from_millis(ms);
        let acks = vec![(at(0), at(5)), (at(10), at(14)), (at(20), at(820)), (at(30), at(821))];
        let paced = Paced { acks, failed: 0 };
        assert_eq!(paced.longest_silence(), Duration::from_millis(806));
        assert_eq!(paced.p99(), Duration::from_millis(791));
        assert_eq!(Paced::default().p99(), Duration::ZERO);
    }
}
