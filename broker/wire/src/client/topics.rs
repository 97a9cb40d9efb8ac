use super::partitions::refused_unless_ok;
use super::{ClientError, Cluster};
use crate::ApiKey;
use crate::api::{create_partitions, create_topics, delete_topics, describe_configs};
use model::TopicId;

/// The source of a setting that was made for the topic itself.
const OWN: i8 = 1;

/// A setting of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSetting {
    /// Kafka's name of it.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Whether it was made for this topic; otherwise it is the broker's.
    pub is_own: bool,
}

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

    /// Gives a topic more partitions.
    ///
    /// # Errors
    /// When it is refused for good or the deadline passes.
    pub async fn grow_topic(&self, name: &str, partitions: i32) -> Result<(), ClientError> {
        let topic = create_partitions::Topic { name: name.to_owned(), count: partitions, ..Default::default() };
        let timeout_ms = self.options().call_timeout.as_millis() as i32;
        let request = create_partitions::Request { topics: vec![topic], timeout_ms, ..Default::default() };
        self.retry("create partitions", || self.grow_once(&request)).await
    }

    async fn grow_once(&self, request: &create_partitions::Request) -> Result<(), ClientError> {
        let response = self.call_any(request).await?;
        let found = response.results.into_iter().next().ok_or(ClientError::Missing("CreatePartitions"))?;
        refused_unless_ok(ApiKey::CreatePartitions, found.error_code, found.error_message)
    }

    /// All settings of a topic that have a value, its own and those it inherits.
    ///
    /// # Errors
    /// When it is refused for good or the deadline passes.
    pub async fn topic_settings(&self, name: &str) -> Result<Vec<TopicSetting>, ClientError> {
        let resource = describe_configs::Resource {
            resource_type: describe_configs::TOPIC,
            resource_name: name.to_owned(),
            configuration_keys: None,
            ..Default::default()
        };
        let request = describe_configs::Request { resources: vec![resource], ..Default::default() };
        self.retry("topic settings", || self.settings_once(&request)).await
    }

    async fn settings_once(&self, request: &describe_configs::Request) -> Result<Vec<TopicSetting>, ClientError> {
        let response = self.call_any(request).await?;
        let found = response.results.into_iter().next().ok_or(ClientError::Missing("DescribeConfigs"))?;
        refused_unless_ok(ApiKey::DescribeConfigs, found.error_code, found.error_message)?;
        let setting = |found: describe_configs::ConfigResponse| {
            let is_own = found.config_source == OWN;
            Some(TopicSetting { name: found.name, value: found.value?, is_own })
        };
        Ok(found.configs.into_iter().filter_map(setting).collect())
    }
}
