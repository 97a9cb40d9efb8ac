use super::partitions::refused_unless_ok;
use super::{ClientError, Cluster};
use crate::ApiKey;
use crate::api::{create_topics, delete_topics};
use model::TopicId;

impl Cluster {
    /// Makes a topic; -1 for partitions or replicas is the cluster's default.
    ///
    /// # Errors
    /// When it is refused for good (`TOPIC_ALREADY_EXISTS`) or the deadline passes.
    pub async fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        replicas: i16,
        settings: &[(&str, &str)],
    ) -> Result<TopicId, ClientError> {
        let setting = |(name, value): &(&str, &str)| create_topics::Config {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
            ..Default::default()
        };
        let topic = create_topics::Topic {
            name: name.to_owned(),
            num_partitions: partitions,
            replication_factor: replicas,
            configs: settings.iter().map(setting).collect(),
            ..Default::default()
        };
        let timeout_ms = self.options().call_timeout.as_millis() as i32;
        let request = create_topics::Request { topics: vec![topic], timeout_ms, ..Default::default() };
        self.retry("create topic", || self.create_once(&request)).await
    }

    async fn create_once(&self, request: &create_topics::Request) -> Result<TopicId, ClientError> {
        let response = self.call_any(request).await?;
        let found = response.topics.into_iter().next().ok_or(ClientError::Missing("CreateTopics"))?;
        refused_unless_ok(ApiKey::CreateTopics, found.error_code, found.error_message)?;
        Ok(found.topic_id)
    }

    /// Removes a topic.
    ///
    /// # Errors
    /// When it is refused for good or the deadline passes.
    pub async fn delete_topic(&self, name: &str) -> Result<(), ClientError> {
        let topic = delete_topics::Topic { name: Some(name.to_owned()), ..Default::default() };
        let request = delete_topics::Request {
            topics: vec![topic],
            topic_names: vec![name.to_owned()],
            timeout_ms: self.options().call_timeout.as_millis() as i32,
            ..Default::default()
        };
        self.retry("delete topic", || self.delete_once(&request)).await
    }

    async fn delete_once(&self, request: &delete_topics::Request) -> Result<(), ClientError> {
        let response = self.call_any(request).await?;
        let found = response.responses.into_iter().next().ok_or(ClientError::Missing("DeleteTopics"))?;
        refused_unless_ok(ApiKey::DeleteTopics, found.error_code, found.error_message)
    }
}
