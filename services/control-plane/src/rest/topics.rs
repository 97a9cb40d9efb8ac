//! `/v1/topics`

use super::asked::{Conditions, Json, Keyed, Matched, Path, Query, limit, name};
use super::refused::{Answered, Refused};
use super::shapes::{created, fingerprint, tagged, time};
use super::{Api, unexpected};
use ::api::topics::{CreateTopic, Replica, Topic, TopicState, UpdateTopic};
use ::api::{ErrorCode, Page, Paging};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use catalog::command::{AlterTopicConfig, DeleteTopic, FollowTopic, NewTopic};
use catalog::reader::StoredTopic;
use catalog::{Answer, Refusal};
use model::{PartitionStatus, RegionName, TopicId, TopicName};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(find, update, delete)).routes(routes!(follow))
}

/// What is shown of one topic.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Shown {
    /// Hash the committed batches of every copy; takes time.
    #[serde(default)]
    hashes: bool,
}

/// All topics, by name.
#[utoipa::path(get, path = "/v1/topics", tag = "topics", params(Paging),
    responses((status = 200, description = "The topics.", body = Page<Topic>)))]
async fn list(State(api): State<Api>, Query(paging): Query<Paging>) -> Answered<axum::Json<Page<Topic>>> {
    let (limit, after) = (limit(&paging)?, paging.after.as_deref().map(name::<TopicName>).transpose()?);
    // The largest page cannot be asked for with one more: then a full page has a next one.
    let asked = (limit + 1).min(catalog::limits::PAGE_ROWS_MAX);
    let mut topics = api.reader().topics(after.as_ref(), asked).await?;
    let more = topics.len() > limit as usize || (asked == limit && topics.len() == limit as usize);
    topics.truncate(limit as usize);
    let next = topics.last().filter(|_| more).map(|topic| topic.spec.name.to_string());
    let items = topics.into_iter().map(|topic| api.shown_topic(topic)).collect();
    Ok(axum::Json(Page { items, next }))
}

/// One topic, with its partitions in every region that answers.
#[utoipa::path(get, path = "/v1/topics/{name}", tag = "topics",
    params(("name", description = "Its name."), Shown),
    responses((status = 200, description = "The topic.", body = Topic)))]
async fn find(State(api): State<Api>, Path(topic): Path<String>, Query(shown): Query<Shown>) -> Answered<Response> {
    let stored = api.stored_topic(&name(&topic)?).await?;
    let (id, revision) = (stored.spec.id, stored.revision);
    let mut topic = api.shown_topic(stored);
    topic.replicas = api.replicas(id, shown.hashes).await;
    Ok(tagged(topic, revision))
}

/// Creates a topic, and waits until its owner has made it real.
#[utoipa::path(post, path = "/v1/topics", tag = "topics", request_body = CreateTopic,
    params(Keyed),
    responses((status = 201, description = "It is there.", body = Topic)))]
async fn create(State(api): State<Api>, conditions: Conditions, Json(asked): Json<CreateTopic>) -> Answered<Response> {
    let topic: TopicName = name(&asked.name)?;
    if topic.is_internal() {
        let what = format!("topic {topic} would be internal: names that begin with __ belong to the platform");
        return Err(Refused::unprocessable(what));
    }
    // The same request again names the same topic, which the council recognises.
    let id = conditions.key.map_or_else(
        || api.new_topic_id(),
        |key| TopicId(Uuid::from_u128(fingerprint(&key, &format!("topic {topic}")))),
    );
    let state = model::TopicState::Live;
    let new = NewTopic {
        id,
        name: topic.clone(),
        partitions: asked.partitions,
        config: asked.config,
        state,
        epochs_above: None,
    };
    only(api.0.topics.create(vec![new]).await?)?;
    let stored = api.stored_topic(&topic).await?;
    created(api.shown_topic(stored), &format!("/v1/topics/{topic}"))
}

/// Changes a topic's configuration, gives it more partitions, or both.
#[utoipa::path(patch, path = "/v1/topics/{name}", tag = "topics", request_body = UpdateTopic,
    params(("name", description = "Its name."), Matched, Keyed),
    responses((status = 200, description = "As it is now.", body = Topic)))]
async fn update(
    State(api): State<Api>,
    Path(topic): Path<String>,
    conditions: Conditions,
    Json(asked): Json<UpdateTopic>,
) -> Answered<Response> {
    let topic: TopicName = name(&topic)?;
    let before = api.stored_topic(&topic).await?;
    if asked.set.is_empty() && asked.remove.is_empty() && asked.partitions.is_none() {
        return Err(Refused::unprocessable("nothing is to be changed: name partitions, set or remove"));
    }
    if !(asked.set.is_empty() && asked.remove.is_empty()) {
        let change = AlterTopicConfig {
            topic: topic.clone(),
            expected: Some(before.spec.id),
            revision: conditions.revision,
            replace: false,
            set: asked.set,
            remove: asked.remove,
        };
        match api.decide(change, &conditions).await? {
            Answer::Topic { .. } | Answer::AppliedBefore => {}
            other => return unexpected(&other),
        }
    } else if let Some(expected) = conditions.revision.filter(|revision| *revision != before.revision) {
        let (what, name) = ("topic".to_owned(), topic.to_string());
        return Err(Refusal::Changed { what, name, expected, revision: before.revision }.into());
    }
    if let Some(partitions) = asked.partitions.filter(|partitions| *partitions != before.spec.partitions) {
        api.0.topics.grow(topic.clone(), partitions).await?;
    }
    let after = api.stored_topic(&topic).await?;
    let revision = after.revision;
    Ok(tagged(api.shown_topic(after), revision))
}

/// Has a topic copied that was deleted and made again under its name, where its group stops copies then (`topic_reset`).
#[utoipa::path(post, path = "/v1/topics/{name}/follow", tag = "topics",
    params(("name", description = "Its name."), Keyed),
    responses((status = 200, description = "It is copied from now on, or was before.", body = Topic)))]
async fn follow(State(api): State<Api>, Path(topic): Path<String>, conditions: Conditions) -> Answered<Response> {
    let topic: TopicName = name(&topic)?;
    let expected = Some(api.stored_topic(&topic).await?.spec.id);
    match api.decide(FollowTopic { topic: topic.clone(), expected }, &conditions).await? {
        Answer::Topic { .. } | Answer::AppliedBefore => {}
        other => return unexpected(&other),
    }
    let after = api.stored_topic(&topic).await?;
    let revision = after.revision;
    Ok(tagged(api.shown_topic(after), revision))
}

/// Deletes a topic in every region, and waits until its owner has.
#[utoipa::path(delete, path = "/v1/topics/{name}", tag = "topics",
    params(("name", description = "Its name."), Matched),
    responses((status = 204, description = "It is gone.")))]
async fn delete(State(api): State<Api>, Path(topic): Path<String>, conditions: Conditions) -> Answered<StatusCode> {
    let topic: TopicName = name(&topic)?;
    let stored = api.stored_topic(&topic).await?;
    if let Some(expected) = conditions.revision.filter(|revision| *revision != stored.revision) {
        let (what, name) = ("topic".to_owned(), topic.to_string());
        return Err(Refusal::Changed { what, name, expected, revision: stored.revision }.into());
    }
    only(api.0.topics.delete(vec![DeleteTopic { name: topic, expected: Some(stored.spec.id) }]).await?)?;
    Ok(StatusCode::NO_CONTENT)
}

/// The outcome of the one topic that was named.
fn only<T>(outcomes: Vec<Result<T, Refusal>>) -> Answered<T> {
    let first = outcomes.into_iter().next();
    let missing = || Refused::new(ErrorCode::Internal, "the council answered for no topic");
    first.ok_or_else(missing)?.map_err(Refused::from)
}

impl Api {
    async fn stored_topic(&self, topic: &TopicName) -> Answered<StoredTopic> {
        self.reader().topic(topic).await?.ok_or_else(|| Refused::unknown("topic", topic))
    }

    fn shown_topic(&self, stored: StoredTopic) -> Topic {
        let StoredTopic { spec, revision, created_at, .. } = stored;
        let is_stopped = self.view().stopped.contains(&spec.id);
        let owner = self.view().group(&spec.group).map(|group| group.grant.owner.to_string());
        Topic {
            id: spec.id.to_string(),
            name: spec.name.to_string(),
            partitions: spec.partitions,
            config: spec.config,
            group: spec.group.to_string(),
            owner: owner.unwrap_or_default(),
            state: match spec.state {
                model::TopicState::Live => TopicState::Live,
                model::TopicState::Restoring => TopicState::Restoring,
            },
            is_stopped,
            revision,
            created_at: time(created_at),
            replicas: vec![],
        }
    }

    async fn replicas(&self, topic: TopicId, with_hashes: bool) -> Vec<Replica> {
        let regions = self.view().regions.iter().map(|region| region.address.region.clone()).collect();
        let statuses = self.statuses_of(regions, with_hashes).await;
        let mut replicas = vec![];
        for (region, status) in &statuses {
            let ours = status.partitions.iter().filter(|partition| partition.topic_id == topic);
            replicas.extend(ours.map(|partition| replica(region, partition)));
        }
        replicas.sort_by(|one, other| (one.partition, &one.region).cmp(&(other.partition, &other.region)));
        replicas
    }
}

fn replica(region: &RegionName, status: &PartitionStatus) -> Replica {
    Replica {
        partition: status.partition.0,
        region: region.to_string(),
        writable: status.writable,
        leader_epoch: status.leader_epoch.0,
        start_offset: status.start.0,
        tail_offset: status.tail.0,
        high_watermark: status.high_watermark.0,
        size_bytes: status.size.0,
        hash: status.hash.clone(),
        failed: status.failed.clone(),
    }
}
