//! Consumers that never start over: what a client does that reads one partition for ever.

use super::journal::Journal;
use chaos::history::Event;
use model::Offset;
use record::Record;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;
use wire::ErrorCode;
use wire::client::{ClientError, Cluster, Consumer, FetchLimits, Options, Start};

const RETRY_PAUSE: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_millis(100);

/// A client of its own, with connections of its own.
pub(super) fn client(bootstrap: &str) -> Arc<Cluster> {
    let options = Options {
        client_id: "farshore-drill".to_owned(),
        call_timeout: Duration::from_secs(10),
        deadline: Duration::from_secs(12),
        ..Options::default()
    };
    Arc::new(Cluster::new(bootstrap, options))
}

/// Opens a reader, however long it takes.
async fn opened(bootstrap: &str, topic: &str, partition: i32, start: Start) -> Consumer {
    let limits = FetchLimits { wait_max: WAIT_MAX, ..FetchLimits::default() };
    loop {
        if let Ok(consumer) = Consumer::open(client(bootstrap), topic, partition, start, limits).await {
            return consumer;
        }
        sleep(RETRY_PAUSE).await;
    }
}

/// Reads a partition until told to stop, as a consumer by assignment whose `auto.offset.reset` is `reset`.
pub(super) async fn alone(
    bootstrap: String,
    name: &'static str,
    partition: i32,
    reset: Start,
    journal: Journal,
    stop: watch::Receiver<bool>,
) {
    let topic = journal.topic().clone();
    let mut consumer = opened(&bootstrap, topic.as_str(), partition, reset).await;
    let (reader, place) = (name.to_owned(), journal.place(partition));
    journal.tell(name, Event::Began { reader, partition: place, from: Offset(consumer.position()) });
    while !*stop.borrow() {
        match consumer.poll().await {
            Ok(records) => records.iter().for_each(|record| polled(&journal, name, partition, record)),
            Err(error) => consumer = after(error, consumer, &bootstrap, topic.as_str(), partition, reset).await,
        }
    }
}

/// What a consumer does after a failure: an offset that is not there sends it to its reset policy, the rest passes.
pub(super) async fn after(
    error: ClientError,
    consumer: Consumer,
    bootstrap: &str,
    topic: &str,
    partition: i32,
    reset: Start,
) -> Consumer {
    sleep(RETRY_PAUSE).await;
    match error.code() {
        Some(ErrorCode::OFFSET_OUT_OF_RANGE) => opened(bootstrap, topic, partition, reset).await,
        _ => consumer,
    }
}

/// Reads a partition from `start` on and hands out what it gets, with the position behind it, until nobody listens.
pub(super) async fn pump(
    bootstrap: String,
    topic: String,
    partition: i32,
    start: Start,
    out: tokio::sync::mpsc::Sender<(i32, Vec<Record>, i64)>,
) {
    let mut consumer = opened(&bootstrap, &topic, partition, start).await;
    loop {
        match consumer.poll().await {
            Ok(records) => {
                if out.send((partition, records, consumer.position())).await.is_err() {
                    return;
                }
            }
            Err(error) => consumer = after(error, consumer, &bootstrap, &topic, partition, Start::Earliest).await,
        }
    }
}

/// Writes down that `reader` was given `record`.
pub(super) fn polled(journal: &Journal, reader: &str, partition: i32, record: &Record) {
    let Some(value) = value_of(record) else { return };
    let (offset, partition) = (record.offset, journal.place(partition));
    journal.tell(reader, Event::Polled { reader: reader.to_owned(), partition, offset, value });
}

/// The value a record of the load carries.
pub(super) fn value_of(record: &Record) -> Option<u64> {
    record.value.as_deref()?.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}
