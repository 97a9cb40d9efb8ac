//! What a producer is answered, once it may be.

use super::access::TopicRef;
use super::refused_response;
use crate::Broker;
use crate::api::Call;
use crate::listener::Outgoing;
use crate::replica::{Lost, Partition, Pass, Passes, Taken};
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
}

/// No answer may be given.
struct Withheld;

impl Answer {
    pub(super) fn has_refusals(&self) -> bool {
        let outcomes = self.topics.iter().flat_map(|topic| &topic.partitions);
        outcomes.into_iter().any(|(_, outcome)| matches!(outcome, Outcome::Refused(_)))
    }

    /// Waits for what was taken and answers; `None` when a leadership or a lease ended meanwhile, for then whether the
    /// records count is not ours to say.
    pub(super) async fn give(self, broker: Broker, call: Call) -> Option<Outgoing> {
        let wait = Duration::from_millis(self.timeout_ms.max(0) as u64).min(limits::REQUEST_WAIT_MAX);
        let deadline = Instant::now() + wait;
        let mut passes = Vec::new();
        let mut responses = Vec::with_capacity(self.topics.len());
        for topic in self.topics {
            responses.push(topic.response(deadline, &mut passes).await.ok()?);
        }
        let response = Response { responses, ..Default::default() };
        let passes = Passes::new(passes, broker.0.clock.clone());
        call.encode(&response).map(|outgoing| outgoing.acknowledging(passes))
    }
}

impl TopicOutcome {
    async fn response(self, deadline: Instant, passes: &mut Vec<Pass>) -> Result<TopicResponse, Withheld> {
        let mut partition_responses = Vec::with_capacity(self.partitions.len());
        for (index, outcome) in self.partitions {
            partition_responses.push(match outcome {
                Outcome::Taken(partition, taken) => acknowledge(&partition, index, taken, deadline, passes).await?,
                Outcome::Refused(response) => response,
            });
        }
        let (name, topic_id) = self.name.into_fields();
        Ok(TopicResponse { name, topic_id, partition_responses, ..Default::default() })
    }
}

async fn acknowledge(
    partition: &Arc<Partition>,
    index: i32,
    taken: Taken,
    deadline: Instant,
    passes: &mut Vec<Pass>,
) -> Result<PartitionResponse, Withheld> {
    let committed = partition.committed(taken.epoch, taken.appended.next_offset);
    let response = match timeout_at(deadline, committed).await {
        Ok(Ok(())) => PartitionResponse {
            index,
            base_offset: taken.appended.first_offset.0,
            log_append_time_ms: taken.appended.append_time.0,
            log_start_offset: taken.appended.log_start.0,
            ..Default::default()
        },
        Ok(Err(Lost::Leadership)) => return Err(Withheld),
        Ok(Err(lost @ Lost::Storage(_))) => {
            refused_response(index, ErrorCode::KAFKA_STORAGE_ERROR, Some(lost.to_string()))
        }
        Err(_) => {
            let message = "the batch was not committed in time; it may still be";
            refused_response(index, ErrorCode::REQUEST_TIMED_OUT, Some(message.to_owned()))
        }
    };
    passes.push(taken.pass);
    Ok(response)
}
