use super::partitions::refused_unless_ok;
use super::{ClientError, Cluster};
use crate::ApiKey;
use crate::api::{delete_groups, find_coordinator, list_groups, offset_commit, offset_delete, offset_fetch};

/// A consumer group's offset in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOffset {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Where the group goes on.
    pub offset: i64,
    /// The leader epoch of the record before it, -1 when unknown.
    pub leader_epoch: i32,
    /// The client's own.
    pub metadata: String,
}

impl Cluster {
    /// Where the coordinator of `group` listens.
    ///
    /// # Errors
    /// When no broker knows; there is no second attempt.
    pub async fn coordinator(&self, group: &str) -> Result<String, ClientError> {
        if let Some(peer) = self.known_coordinator(group) {
            return Ok(peer);
        }
        let request = find_coordinator::Request {
            key: group.to_owned(),
            key_type: find_coordinator::GROUP,
            coordinator_keys: vec![group.to_owned()],
            ..Default::default()
        };
        let peer = found_coordinator(self.call_any(&request).await?)?;
        self.learn_coordinator(group, peer.clone());
        Ok(peer)
    }

    /// The names of all groups: every broker is asked for those it coordinates.
    ///
    /// # Errors
    /// When one of the brokers does not answer until the deadline.
    pub async fn groups(&self) -> Result<Vec<String>, ClientError> {
        let mut names = Vec::new();
        for broker in self.metadata(Some(&[])).await?.brokers {
            let peer = format!("{}:{}", broker.host, broker.port);
            names.extend(self.retry("list groups", || self.groups_at(&peer)).await?);
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    async fn groups_at(&self, peer: &str) -> Result<Vec<String>, ClientError> {
        let response = self.call(peer, &list_groups::Request::default()).await?;
        refused_unless_ok(ApiKey::ListGroups, response.error_code, None)?;
        Ok(response.groups.into_iter().map(|group| group.group_id).collect())
    }

    /// Commits offsets of a group from outside of it. Either all are committed, or the first refusal comes back.
    ///
    /// # Errors
    /// When one is refused for good or the deadline passes.
    pub async fn commit(&self, group: &str, offsets: &[GroupOffset]) -> Result<(), ClientError> {
        let topics = offsets.iter().map(committed_topic).collect();
        let request = offset_commit::Request { group_id: group.to_owned(), topics, ..Default::default() };
        self.retry("commit", || self.commit_once(group, &request)).await
    }

    async fn commit_once(&self, group: &str, request: &offset_commit::Request) -> Result<(), ClientError> {
        let coordinator = self.coordinator(group).await?;
        let ask = async {
            let response = self.call(&coordinator, request).await?;
            let mut partitions = response.topics.into_iter().flat_map(|topic| topic.partitions);
            partitions.try_for_each(|found| refused_unless_ok(ApiKey::OffsetCommit, found.error_code, None))
        };
        self.forgetting_coordinator(group, ask.await)
    }

    /// Every offset the group has committed.
    ///
    /// # Errors
    /// When it is refused for good or the deadline passes.
    pub async fn committed(&self, group: &str) -> Result<Vec<GroupOffset>, ClientError> {
        let asked = offset_fetch::Group { group_id: group.to_owned(), topics: None, ..Default::default() };
        let request = offset_fetch::Request {
            group_id: group.to_owned(),
            topics: None,
            groups: vec![asked],
            ..Default::default()
        };
        self.retry("committed offsets", || self.committed_once(group, &request)).await
    }

    async fn committed_once(
        &self,
        group: &str,
        request: &offset_fetch::Request,
    ) -> Result<Vec<GroupOffset>, ClientError> {
        let coordinator = self.coordinator(group).await?;
        let ask = async {
            let response = self.call(&coordinator, request).await?;
            group_offsets(response)
        };
        self.forgetting_coordinator(group, ask.await)
    }

    /// Has a group forget where it stands in some partitions. Either all are forgotten, or the first refusal comes back.
    ///
    /// # Errors
    /// When one is refused for good (`GROUP_SUBSCRIBED_TO_TOPIC`, `GROUP_ID_NOT_FOUND`) or the deadline passes.
    pub async fn delete_offsets(&self, group: &str, places: &[(String, i32)]) -> Result<(), ClientError> {
        let topic = |(name, partition): &(String, i32)| offset_delete::Topic {
            name: name.clone(),
            partitions: vec![offset_delete::Partition { partition_index: *partition, ..Default::default() }],
            ..Default::default()
        };
        let topics = places.iter().map(topic).collect();
        let request = offset_delete::Request { group_id: group.to_owned(), topics, ..Default::default() };
        self.retry("delete offsets", || self.delete_offsets_once(group, &request)).await
    }

    async fn delete_offsets_once(&self, group: &str, request: &offset_delete::Request) -> Result<(), ClientError> {
        let coordinator = self.coordinator(group).await?;
        let ask = async {
            let response = self.call(&coordinator, request).await?;
            refused_unless_ok(ApiKey::OffsetDelete, response.error_code, None)?;
            let mut partitions = response.topics.into_iter().flat_map(|topic| topic.partitions);
            partitions.try_for_each(|found| refused_unless_ok(ApiKey::OffsetDelete, found.error_code, None))
        };
        self.forgetting_coordinator(group, ask.await)
    }

    /// Removes a group without members, offsets and all.
    ///
    /// # Errors
    /// When it is refused for good (`NON_EMPTY_GROUP`, `GROUP_ID_NOT_FOUND`) or the deadline passes.
    pub async fn delete_group(&self, group: &str) -> Result<(), ClientError> {
        let request = delete_groups::Request { groups_names: vec![group.to_owned()], ..Default::default() };
        self.retry("delete group", || self.delete_group_once(group, &request)).await
    }

    async fn delete_group_once(&self, group: &str, request: &delete_groups::Request) -> Result<(), ClientError> {
        let coordinator = self.coordinator(group).await?;
        let ask = async {
            let response = self.call(&coordinator, request).await?;
            let found = response.results.into_iter().next().ok_or(ClientError::Missing("DeleteGroups"))?;
            refused_unless_ok(ApiKey::DeleteGroups, found.error_code, None)
        };
        self.forgetting_coordinator(group, ask.await)
    }

    fn forgetting_coordinator<T>(&self, group: &str, result: Result<T, ClientError>) -> Result<T, ClientError> {
        if result.as_ref().is_err_and(ClientError::is_retryable) {
            self.forget_coordinator(group);
        }
        result
    }
}

/// The coordinator in either form of the answer.
fn found_coordinator(response: find_coordinator::Response) -> Result<String, ClientError> {
    let find_coordinator::Response { error_code, error_message, host, port, coordinators, .. } = response;
    refused_unless_ok(ApiKey::FindCoordinator, error_code, error_message)?;
    let Some(found) = coordinators.into_iter().next() else { return Ok(format!("{host}:{port}")) };
    refused_unless_ok(ApiKey::FindCoordinator, found.error_code, found.error_message)?;
    Ok(format!("{}:{}", found.host, found.port))
}

fn committed_topic(offset: &GroupOffset) -> offset_commit::Topic {
    let partition = offset_commit::Partition {
        partition_index: offset.partition,
        committed_offset: offset.offset,
        committed_leader_epoch: offset.leader_epoch,
        committed_metadata: Some(offset.metadata.clone()),
        ..Default::default()
    };
    offset_commit::Topic { name: offset.topic.clone(), partitions: vec![partition], ..Default::default() }
}

/// The offsets in either form of the answer.
fn group_offsets(response: offset_fetch::Response) -> Result<Vec<GroupOffset>, ClientError> {
    refused_unless_ok(ApiKey::OffsetFetch, response.error_code, None)?;
    let mut topics = response.topics;
    for group in response.groups {
        refused_unless_ok(ApiKey::OffsetFetch, group.error_code, None)?;
        topics.extend(group.topics);
    }
    let mut offsets = Vec::new();
    for topic in topics {
        for found in topic.partitions {
            refused_unless_ok(ApiKey::OffsetFetch, found.error_code, None)?;
            offsets.push(GroupOffset {
                topic: topic.name.clone(),
                partition: found.partition_index,
                offset: found.committed_offset,
                leader_epoch: found.committed_leader_epoch,
                metadata: found.metadata.unwrap_or_default(),
            });
        }
    }
    Ok(offsets)
}
