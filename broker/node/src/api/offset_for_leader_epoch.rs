//! OffsetForLeaderEpoch: where an epoch ended, for readers who want to know whether what they read still counts.

use super::access::{self, TopicRef};
use super::{Call, Started};
use crate::Broker;
use crate::listener::Door;
use crate::partitions::Held;
use bytes::Bytes;
use log::EpochEnd;
use model::LeaderEpoch;
use wire::ErrorCode;
use wire::api::offset_for_leader_epoch::{EpochEndOffset, Partition, Request, Response, TopicResponse};

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let held = broker.0.partitions.held();
    let topics = request.topics.into_iter().map(|asked| {
        let name = TopicRef::Name(asked.topic);
        let partitions = asked.partitions.iter().map(|asked| answer(&held, call.door, &name, asked)).collect();
        TopicResponse { topic: name.into_fields().0, partitions, ..Default::default() }
    });
    Ok(call.reply(&Response { topics: topics.collect(), ..Default::default() }))
}

fn answer(held: &Held, door: Door, topic: &TopicRef, asked: &Partition) -> EpochEndOffset {
    let nothing = EpochEndOffset { partition: asked.partition, ..Default::default() };
    match end(held, door, topic, asked) {
        Ok(Some(found)) => EpochEndOffset { leader_epoch: found.epoch.0, end_offset: found.end.0, ..nothing },
        Ok(None) => nothing,
        Err(error_code) => EpochEndOffset { error_code, ..nothing },
    }
}

fn end(held: &Held, door: Door, topic: &TopicRef, asked: &Partition) -> Result<Option<EpochEnd>, ErrorCode> {
    let partition = access::partition(topic.find(held)?, asked.partition)?;
    access::check_readable(partition, door)?;
    access::check_epoch(partition, door, asked.current_leader_epoch)?;
    Ok(partition.reader.end_of_epoch_for_client(LeaderEpoch(asked.leader_epoch)))
}
