//! Produce: every batch is appended when its request is started, in order; the answer waits until all of them are
//! committed, and goes out only while the lease stands.

mod answer;
mod refusal;
mod turned_away;
mod validate;

pub(crate) use turned_away::TurnedAway;

use super::access::{self, TopicRef};
use super::{Call, Reply, Started};
use crate::Broker;
use crate::listener::Door;
use crate::partitions::Held;
use crate::replica::{self, Acks, Partition, Refused, Standing, Taken};
use answer::{Answer, Outcome, TopicOutcome};
use broker_core::quota::Limit;
use bytes::Bytes;
use env::BootInstant;
use log::AppendError;
use model::Timestamp;
use record::{CheckedBatch, Header};
use refusal::Refusal;
use std::sync::Arc;
use wire::ErrorCode;
use wire::api::produce::{PartitionResponse, Request, Topic};

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    call.charge(Limit::ProducerByteRate, body.len() as u64);
    let request: Request = call.decode(body)?;
    let acks = request.acks;
    let intake = Intake::new(broker, &call, &request);
    let (timeout_ms, awaited) = (request.timeout_ms, intake.acks);
    let mut topics = Vec::with_capacity(request.topic_data.len());
    for topic in request.topic_data {
        let Ok(topic) = intake.take_topic(topic) else { return Ok(Reply::Close) };
        topics.push(topic);
    }
    call.silence(topics.iter().map(TopicOutcome::silence).max().unwrap_or_default());
    let answer = Answer { topics, timeout_ms, acks: awaited };
    Ok(match acks {
        // No answer could say what went wrong.
        0 if answer.has_refusals() => Reply::Close,
        0 => Reply::Nothing,
        _ => Reply::Later(Box::pin(answer.give(broker.clone(), call))),
    })
}

/// One request being taken in.
struct Intake<'a> {
    broker: &'a Broker,
    held: Arc<Held>,
    door: Door,
    version: i16,
    /// Who has to have it.
    acks: Acks,
    /// What refuses all of it.
    refusal: Option<Refusal>,
    /// What was turned away before it on the same connection.
    turned_away: &'a TurnedAway,
    now: Timestamp,
    boot: BootInstant,
}

/// The connection has to be closed.
struct Closes;

/// Topic and partition, as the request names them.
type Place<'a> = (&'a TopicRef, i32);

impl<'a> Intake<'a> {
    fn new(broker: &'a Broker, call: &'a Call, request: &Request) -> Self {
        let refusal = match request {
            Request { acks: -1..=1, transactional_id: None, .. } => None,
            Request { transactional_id: Some(_), .. } => Some(Refusal::transactional()),
            Request { acks, .. } => Some(Refusal::acks(*acks)),
        };
        let clock = &broker.0.clock;
        Self {
            broker,
            held: broker.0.partitions.held(),
            door: call.door,
            version: call.header.api_version,
            acks: if request.acks == -1 { Acks::All } else { Acks::One },
            refusal,
            turned_away: &call.turned_away,
            now: clock.now(),
            boot: clock.boot(),
        }
    }

    fn take_topic(&self, topic: Topic) -> Result<TopicOutcome, Closes> {
        let name = TopicRef::of(self.version, topic.name, topic.topic_id);
        let mut partitions = Vec::with_capacity(topic.partition_data.len());
        for data in topic.partition_data {
            partitions.push(self.outcome(&name, data.index, data.records.unwrap_or_default())?);
        }
        Ok(TopicOutcome { name, partitions })
    }

    fn outcome(&self, topic: &TopicRef, index: i32, records: Bytes) -> Result<(i32, Outcome), Closes> {
        let place = (topic, index);
        let outcome = match self.find(topic, index) {
            Ok(partition) => match self.take(place, partition, records)? {
                Ok(taken) => Outcome::Taken(partition.clone(), taken),
                Err(refusal) => Outcome::Refused(refusal.response(index)),
            },
            Err(refusal) => {
                if refusal.says_where_to_ask() {
                    self.turn_away(place, &records);
                }
                Outcome::Refused(refusal.response(index))
            }
        };
        Ok((index, outcome))
    }

    fn find(&self, topic: &TopicRef, index: i32) -> Result<&Arc<Partition>, Refusal> {
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        let topic = topic.find(&self.held)?;
        if topic.group.is_none() {
            return Err(Refusal::internal(topic.name.as_str()));
        }
        Ok(access::partition(topic, index)?)
    }

    fn take(
        &self,
        place: Place<'_>,
        partition: &Arc<Partition>,
        records: Bytes,
    ) -> Result<Result<Taken, Refusal>, Closes> {
        // What another region owns is refused for that, whatever is in the batch.
        if let Standing::Copy { .. } = partition.standing() {
            self.turn_away(place, &records);
            return Ok(Err(self.refused(partition, &Refused::NotOwner)));
        }
        let settings = partition.settings();
        let batch = match validate::check(records, &settings, self.now) {
            Ok(batch) => batch,
            Err(refusal) => return Ok(Err(refusal)),
        };
        match self.append(place, partition, &batch) {
            Ok(taken) => Ok(Ok(taken)),
            Err(refusal) if refusal.closes => {
                tracing::info!(%partition.name, reason = %refusal.reason, "batch refused; connection closed, so that its producer sends again in order");
                Err(Closes)
            }
            Err(refusal) => {
                if let Refused::Log(AppendError::OutOfOrderSequence { .. }) = refusal.reason {
                    tracing::info!(%partition.name, reason = %refusal.reason, "batch refused");
                }
                Ok(Err(self.refused(partition, &refusal.reason)))
            }
        }
    }

    fn append(
        &self,
        (topic, index): Place<'_>,
        partition: &Arc<Partition>,
        batch: &CheckedBatch,
    ) -> Result<Taken, replica::Refusal> {
        let header = batch.header();
        if self.turned_away.is_overtaken_by(topic, index, header) {
            return Err(partition.hold_back(header, self.boot));
        }
        let taken = partition.append(batch, self.acks, self.now, self.boot);
        match &taken {
            Ok(_) => self.turned_away.forget(topic, index, header),
            Err(refusal) if refusal.reason.is_of_leadership() => self.turned_away.note(topic, index, header),
            Err(_) => {}
        }
        taken
    }

    fn turn_away(&self, (topic, index): Place<'_>, records: &[u8]) {
        if let Ok(header) = Header::parse(records) {
            self.turned_away.note(topic, index, &header);
        }
    }

    fn refused(&self, partition: &Partition, reason: &Refused) -> Refusal {
        match (reason, self.door) {
            (Refused::NotOwner, Door::Clients) => Refusal::owned_elsewhere(&self.broker.image(), partition.topic_id),
            _ => Refusal::of(reason),
        }
    }
}

/// The answer for one partition that was refused.
fn refused_response(index: i32, error_code: ErrorCode, message: Option<String>) -> PartitionResponse {
    PartitionResponse { index, error_code, base_offset: -1, error_message: message, ..Default::default() }
}
