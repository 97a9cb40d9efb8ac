use super::partitions::refused_unless_ok;
use super::{ClientError, Cluster, Produced};
use crate::ApiKey;
use crate::api::init_producer_id;
use model::ProducerId;
use record::BatchBuilder;
use std::collections::HashMap;
use std::sync::Arc;

/// Writes to one topic, each batch exactly once as long as it lives (idempotent, acks=all).
///
/// After a batch whose fate is unknown the producer starts over under a new producer id: what it sends then can neither
/// be taken for the lost batch nor be refused because of it.
#[derive(Debug)]
pub struct Producer {
    cluster: Arc<Cluster>,
    topic: String,
    identity: Option<Identity>,
}

#[derive(Debug)]
struct Identity {
    id: ProducerId,
    epoch: i16,
    /// The next sequence number per partition.
    sequences: HashMap<i32, i32>,
}

impl Producer {
    /// A producer for `topic`. Nothing is asked yet.
    pub fn new(cluster: Arc<Cluster>, topic: &str) -> Self {
        Self { cluster, topic: topic.to_owned(), identity: None }
    }

    /// Appends the records of `batch` to `partition` and waits until all in-sync replicas have them.
    ///
    /// # Errors
    /// When it is refused for good or the deadline passes; [`ClientError::outcome`] says whether they may be there.
    pub async fn send(&mut self, partition: i32, batch: BatchBuilder) -> Result<Produced, ClientError> {
        let mut identity = match self.identity.take() {
            Some(identity) => identity,
            None => Identity::of(&self.cluster).await?,
        };
        let sequence = identity.sequences.entry(partition).or_default();
        let count = batch.count();
        let batch = batch.producer(identity.id, identity.epoch, *sequence).build();
        let produced = self.cluster.produce(&self.topic, partition, batch.into(), -1).await?;
        *sequence = record::sequence_after(*sequence, count);
        // Only a batch that surely is there leaves the identity in use.
        self.identity = Some(identity);
        Ok(produced)
    }
}

impl Cluster {
    /// A producer id that nobody has, and its epoch, for whoever numbers batches by himself.
    ///
    /// # Errors
    /// When nobody gives one before the deadline.
    pub async fn producer_id(&self) -> Result<(ProducerId, i16), ClientError> {
        Identity::of(self).await.map(|identity| (identity.id, identity.epoch))
    }
}

impl Identity {
    async fn of(cluster: &Cluster) -> Result<Self, ClientError> {
        let request = init_producer_id::Request { transaction_timeout_ms: i32::MAX, ..Default::default() };
        cluster.retry("producer id", || Self::once(cluster, &request)).await
    }

    async fn once(cluster: &Cluster, request: &init_producer_id::Request) -> Result<Self, ClientError> {
        let response = cluster.call_any(request).await?;
        refused_unless_ok(ApiKey::InitProducerId, response.error_code, None)?;
        let (id, epoch) = (ProducerId(response.producer_id), response.producer_epoch);
        Ok(Self { id, epoch, sequences: HashMap::new() })
    }
}
