//! Why a batch is refused, as a producer is told.

use super::refused_response;
use crate::replica::Refused;
use broker_core::metadata::Image;
use log::AppendError;
use model::TopicId;
use record::{BatchError, ProduceError};
use wire::ErrorCode;
use wire::api::produce::{BatchIndexAndErrorMessage, PartitionResponse};

/// An error code and what can be said about it.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    code: ErrorCode,
    message: Option<String>,
    /// The records at fault.
    records: Vec<i32>,
}

impl Refusal {
    pub(super) fn new(code: ErrorCode, message: impl ToString) -> Self {
        Self { code, message: Some(message.to_string()), records: Vec::new() }
    }

    pub(super) fn acks(acks: i16) -> Self {
        Self::new(ErrorCode::INVALID_REQUIRED_ACKS, format!("acks {acks} is none of 0, 1 and -1 (all)"))
    }

    /// Final for every client: nothing is to be tried again.
    pub(super) fn transactional() -> Self {
        let message = "transactions are not offered; produce without a transactional.id";
        Self::new(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED, message)
    }

    pub(super) fn internal(topic: &str) -> Self {
        let message = format!("{topic} belongs to the broker; clients do not write to it");
        Self::new(ErrorCode::INVALID_TOPIC_EXCEPTION, message)
    }

    /// Names the region that takes the write, and the gateway, which finds it by itself.
    pub(super) fn owned_elsewhere(image: &Image, topic: TopicId) -> Self {
        let topic = image.topic(topic);
        let group = topic.and_then(|topic| image.group(topic.group.as_ref()?));
        let owner = group.map_or_else(|| "another region".to_owned(), |group| format!("region {}", group.grant.owner));
        let name = topic.map_or("it", |topic| topic.name.as_str());
        let gateway = match image.gateway() {
            Some(gateway) => format!("; produce through the gateway at {gateway}"),
            None => String::new(),
        };
        Self::new(ErrorCode::POLICY_VIOLATION, format!("{name} is owned by {owner}{gateway}"))
    }

    pub(super) fn records(records: Vec<i32>, message: &str) -> Self {
        Self { records, ..Self::new(ErrorCode::INVALID_RECORD, message) }
    }

    pub(super) fn of(reason: &Refused) -> Self {
        let code = match reason {
            Refused::NotOwner | Refused::NotLed | Refused::Shut(_) | Refused::Overtakes => {
                ErrorCode::NOT_LEADER_OR_FOLLOWER
            }
            Refused::NotEnoughReplicas { .. } => ErrorCode::NOT_ENOUGH_REPLICAS,
            Refused::NoRoom | Refused::Failed(_) => ErrorCode::KAFKA_STORAGE_ERROR,
            Refused::Records(_) => ErrorCode::INVALID_RECORD,
            Refused::Log(error) => append_code(error),
        };
        Self::new(code, reason)
    }

    /// Whether the client is to look for another broker: this one does not know of the partition, not yet perhaps.
    pub(super) fn says_where_to_ask(&self) -> bool {
        matches!(self.code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION | ErrorCode::UNKNOWN_TOPIC_ID)
    }

    pub(super) fn response(&self, index: i32) -> PartitionResponse {
        let record_error = |batch_index: &i32| BatchIndexAndErrorMessage {
            batch_index: *batch_index,
            batch_index_error_message: self.message.clone(),
            ..Default::default()
        };
        PartitionResponse {
            record_errors: self.records.iter().map(record_error).collect(),
            ..refused_response(index, self.code, self.message.clone())
        }
    }
}

fn append_code(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::Sealed(_) | AppendError::DiskFull(_) => ErrorCode::KAFKA_STORAGE_ERROR,
        AppendError::StaleEpoch { .. } => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        AppendError::ProducerFenced { .. } => ErrorCode::INVALID_PRODUCER_EPOCH,
        AppendError::OutOfOrderSequence { .. } => ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
        AppendError::TooLarge { .. } => ErrorCode::MESSAGE_TOO_LARGE,
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self { code, message: None, records: Vec::new() }
    }
}

impl From<ProduceError> for Refusal {
    fn from(error: ProduceError) -> Self {
        let code = match &error {
            ProduceError::Batch(BatchError::Magic(_)) => ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT,
            ProduceError::Batch(_) => ErrorCode::CORRUPT_MESSAGE,
            ProduceError::TooLarge { .. } => ErrorCode::MESSAGE_TOO_LARGE,
            ProduceError::Transactional => ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            ProduceError::Compression(_) => ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
            ProduceError::Empty
            | ProduceError::MoreThanOne(_)
            | ProduceError::BaseOffset(_)
            | ProduceError::Count { .. }
            | ProduceError::Sequence { .. }
            | ProduceError::Control => ErrorCode::INVALID_RECORD,
        };
        Self::new(code, error)
    }
}
