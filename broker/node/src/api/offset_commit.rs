//! OffsetCommit: where a group goes on. Answered when it is durable, and only while the lease stands.

use super::coordination::{group_code, instance};
use super::{Call, Reply, Started, cluster};
use crate::Broker;
use crate::groups::Committed;
use crate::replica::Passes;
use broker_core::group::{Commit, MemberId};
use broker_core::metadata::Image;
use bytes::Bytes;
use model::{GroupId, LeaderEpoch, Offset, PartitionId, TopicPartition, limits};
use wire::ErrorCode;
use wire::api::offset_commit::{Partition, PartitionResponse, Request, Response, Topic, TopicResponse};

/// From this version on a commit may bring a member epoch (KIP-848).
const FIRST_WITH_EPOCHS: i16 = 9;

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let group = GroupId::new(&request.group_id);
    let pass = match broker.enter_group(&group) {
        Ok(pass) => pass,
        Err(not_here) => return Ok(call.reply(&refused(request.topics, not_here.code()))),
    };
    let passes = Passes::new(vec![pass], broker.0.clock.clone());
    let broker = broker.clone();
    Ok(Reply::Later(Box::pin(async move {
        let response = commit(&broker, call.header.api_version, group, request).await;
        call.encode(&response).map(|outgoing| outgoing.acknowledging(passes))
    })))
}

/// Admitted and appended in one go: nothing of the group changes in between.
async fn commit(broker: &Broker, version: i16, group: GroupId, request: Request) -> Response {
    let commit = Commit {
        group: group.clone(),
        member: MemberId::new(&request.member_id),
        instance: instance(request.group_instance_id),
        generation: request.generation_id_or_member_epoch,
        knows_epochs: version >= FIRST_WITH_EPOCHS,
    };
    if let Err(error) = broker.admit_commit(&commit) {
        return refused(request.topics, group_code(&error));
    }
    let (mut commits, image) = (Vec::new(), broker.image());
    let mut response = answer(request.topics, |topic, partition| match committed(&image, topic, partition) {
        Ok(committed) => {
            commits.push(committed);
            ErrorCode::NONE
        }
        Err(error_code) => error_code,
    });
    if let Err(error) = broker.commit(&group, commits).await {
        tracing::warn!(%group, %error, "commit was not written");
        withdraw(&mut response);
    }
    response
}

fn committed(image: &Image, topic: &str, partition: &Partition) -> Result<Committed, ErrorCode> {
    let metadata = partition.committed_metadata.clone().unwrap_or_default();
    if metadata.len() > limits::COMMIT_METADATA_BYTES_MAX {
        return Err(ErrorCode::OFFSET_METADATA_TOO_LARGE);
    }
    let number = PartitionId(partition.partition_index);
    let known = cluster::topic_named(image, topic).filter(|topic| topic.partition(number).is_some());
    let known = known.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    Ok(Committed {
        partition: TopicPartition { topic: known.name.clone(), partition: number },
        topic_id: known.id,
        offset: Offset(partition.committed_offset),
        leader_epoch: LeaderEpoch(partition.committed_leader_epoch),
        metadata,
    })
}

/// The outcome of every partition.
fn answer(topics: Vec<Topic>, mut outcome: impl FnMut(&str, &Partition) -> ErrorCode) -> Response {
    let topics = topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| PartitionResponse {
            partition_index: partition.partition_index,
            error_code: outcome(&topic.name, partition),
            ..Default::default()
        });
        TopicResponse { partitions: partitions.collect(), name: topic.name, ..Default::default() }
    });
    Response { topics: topics.collect(), ..Default::default() }
}

fn refused(topics: Vec<Topic>, error_code: ErrorCode) -> Response {
    answer(topics, |_, _| error_code)
}

/// What was to be committed is not, as far as anybody knows; the client tries again.
fn withdraw(response: &mut Response) {
    let partitions = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
    partitions.filter(|partition| partition.error_code.is_ok()).for_each(|partition| {
        partition.error_code = ErrorCode::COORDINATOR_NOT_AVAILABLE;
    });
}
