//! What a producer is answered, once it may be.

use super::access::TopicRef;
use super::refused_response;
use crate::Broker;
use crate::api::{Call, leader_hints};
use crate::listener::Outgoing;
use crate::replica::{Acks, Lost, Partition, Pass, Passes, Taken};
use log::Appended;
use model::limits;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use wire::ErrorCode;
use wire::api::produce::{PartitionResponse, Response, TopicResponse};

/// What became of one batch.
pub(super) enum Outcome {
    /// It is in the log.
    Taken(Arc<Partition>, Taken),
    /// It is not.
    Refused(PartitionResponse),
}

/// What became of the batches for one topic.
pub(super) struct TopicOutcome {
    pub(super) name: TopicRef,
    pub(super) partitions: Vec<(i32, Outcome)>,
}

/// An answer to be given when everything taken is committed.
pub(super) struct Answer {
    pub(super) topics: Vec<TopicOutcome>,
    pub(super) timeout_ms: i32,
    /// Who has to have what was taken.
    pub(super) acks: Acks,
}

impl Answer {
    pub(super) fn has_refusals(&self) -> bool {
        let outcomes = self.topics.iter().flat_map(|topic| &topic.partitions);
        outcomes.into_iter().any(|(_, outcome)| matches!(outcome, Outcome::Refused(_)))
    }

    /// Waits for what was taken and answers. Nothing is answered once the lease has ended, for then whether the records
    /// count is not ours to say.
    pub(super) async fn give(self, broker: Broker, call: Call) -> Option<Outgoing> {
        let wait = Duration::from_millis(self.timeout_ms.max(0) as u64).min(limits::REQUEST_WAIT_MAX);
        let deadline = Instant::now() + wait;
        let mut passes = Vec::new();
        let mut responses = Vec::with_capacity(self.topics.len());
        for topic in self.topics {
            responses.push(topic.response(self.acks, deadline, &mut passes).await);
        }
        let mut response = Response { responses, ..Default::default() };
        leader_hints::add_to_produce(&broker, &call, &mut response);
        let passes = Passes::new(passes, broker.0.clock.clone());
        call.encode(&response).map(|outgoing| outgoing.acknowledging(passes))
    }
}

impl TopicOutcome {
    /// How long its writer is to be silent for a copy that is far behind.
    pub(super) fn silence(&self) -> Duration {
        let silences = self.partitions.iter().map(|(_, outcome)| match outcome {
            Outcome::Taken(_, taken) => taken.silence,
            Outcome::Refused(_) => Duration::ZERO,
        });
        silences.max().unwrap_or_default()
    }

    async fn response(self, acks: Acks, deadline: Instant, passes: &mut Vec<Pass>) -> TopicResponse {
        let mut partition_responses = Vec::with_capacity(self.partitions.len());
        for (index, outcome) in self.partitions {
            partition_responses.push(match outcome {
                Outcome::Taken(partition, taken) => {
                    passes.push(taken.pass);
                    let acked = partition.acknowledged(taken.epoch, taken.appended.next_offset, acks);
                    let acked = timeout_at(deadline, acked).await.unwrap_or(Err(Lost::Late));
                    acknowledge(index, &taken.appended, acked)
                }
                Outcome::Refused(response) => response,
            });
        }
        let (name, topic_id) = self.name.into_fields();
        TopicResponse { name, topic_id, partition_responses, ..Default::default() }
    }
}

fn acknowledge(index: i32, appended: &Appended, acked: Result<(), Lost>) -> PartitionResponse {
    let Err(lost) = acked else {
        return PartitionResponse {
            index,
            base_offset: appended.first_offset.0,
            log_append_time_ms: appended.append_time.0,
            log_start_offset: appended.log_start.0,
            ..Default::default()
        };
    };
    let code = match lost {
        // Another broker may have it, and goes on with it.
        Lost::Leadership => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        Lost::Storage(_) => ErrorCode::KAFKA_STORAGE_ERROR,
        Lost::NotEnoughReplicas => ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        Lost::Late => ErrorCode::REQUEST_TIMED_OUT,
    };
    refused_response(index, code, Some(lost.to_string()))
}
