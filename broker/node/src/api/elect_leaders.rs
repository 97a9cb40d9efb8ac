//! ElectLeaders: leaders hand over to the preferred ones, and partitions nobody leads are tried again.

use super::{Call, Started, cluster};
use crate::Broker;
use broker_core::metadata::{Choice, Image, Partition, Topic};
use bytes::Bytes;
use model::{BrokerSlot, PartitionId, TopicId, limits};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::timeout;
use wire::ErrorCode;
use wire::api::elect_leaders::{PREFERRED, PartitionResult, Request, Response, TopicResult, UNCLEAN};

/// What became of a partition that was asked for.
type Outcome = Result<(), (ErrorCode, String)>;

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let broker = broker.clone();
    Ok(call.reply_later(async move {
        Some(match request.election_type {
            PREFERRED => preferred(&broker, &request).await,
            UNCLEAN => answer(&asked(&broker.image(), &request), request.topic_partitions.is_none(), unclean),
            _ => Response { error_code: ErrorCode::INVALID_REQUEST, ..Default::default() },
        })
    }))
}

/// A partition that is asked for, with the topic and what the metadata says of it.
struct Asked<'a> {
    name: String,
    number: i32,
    known: Option<(&'a Topic, &'a Partition)>,
}

/// Every partition the request names, or all.
fn asked<'a>(image: &'a Image, request: &Request) -> Vec<Asked<'a>> {
    let of = |name: &str, number: i32| {
        let topic = cluster::topic_named(image, name);
        let known = topic.and_then(|topic| Some((topic, topic.partition(PartitionId(number))?)));
        Asked { name: name.to_owned(), number, known }
    };
    match &request.topic_partitions {
        Some(topics) => {
            let named = topics.iter().flat_map(|topic| topic.partitions.iter().map(|number| (&topic.topic, *number)));
            named.map(|(name, number)| of(name, number)).collect()
        }
        None => {
            let all = image.topics().flat_map(|topic| topic.partitions().map(move |(number, _)| (topic, number)));
            all.map(|(topic, number)| of(topic.name.as_str(), number.0)).collect()
        }
    }
}

async fn preferred(broker: &Broker, request: &Request) -> Response {
    let before = broker.image();
    let mut due: BTreeMap<BrokerSlot, Vec<Choice>> = BTreeMap::new();
    for (leader, choice) in asked(&before, request).iter().filter_map(|one| due_move(&before, one)) {
        due.entry(leader).or_default().push(choice);
    }
    let wait = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0)).min(limits::REQUEST_WAIT_MAX);
    // Who does not hand over in time is told of below: the partition is led as before.
    let _ = timeout(wait, broker.have_handed_over(&due)).await;
    let after = broker.image();
    let judge = |one: &Asked<'_>| judge_preferred(one, &before, &after);
    answer(&asked(&before, request), request.topic_partitions.is_none(), judge)
}

/// The hand-over that is due, and whose it is.
fn due_move(image: &Image, asked: &Asked<'_>) -> Option<(BrokerSlot, Choice)> {
    let (topic, partition) = asked.known?;
    let leader = partition.leader.filter(|leader| image.is_live(leader))?.broker;
    let number = PartitionId(asked.number);
    let choice = image.leads_for_others_in(leader, topic.id, number)?;
    Some((leader, choice))
}

fn judge_preferred(asked: &Asked<'_>, before: &Image, after: &Image) -> Outcome {
    let (topic, _) = asked.known.ok_or_else(|| unknown(asked))?;
    let leads = |image: &Image| leads_preferred(image, topic.id, PartitionId(asked.number));
    match (leads(before), leads(after)) {
        (true, _) => Err((ErrorCode::ELECTION_NOT_NEEDED, "the preferred leader leads already".to_owned())),
        (false, true) => Ok(()),
        (false, false) => {
            let message = "the preferred leader is not in sync, fenced, or did not get the lead in time";
            Err((ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE, message.to_owned()))
        }
    }
}

fn leads_preferred(image: &Image, topic: TopicId, number: PartitionId) -> bool {
    let Some(partition) = image.partition(topic, number) else { return false };
    let leader = partition.leader.filter(|leader| image.is_live(leader)).map(|leader| leader.broker);
    leader.is_some() && leader == partition.replicas.first().copied()
}

/// An unclean leader is elected as soon as there is need for one, where its topic allows it: nothing is left to ask for.
fn unclean(asked: &Asked<'_>) -> Outcome {
    let (topic, partition) = asked.known.ok_or_else(|| unknown(asked))?;
    match (partition.leader, topic.allows_unclean()) {
        (Some(_), _) => Err((ErrorCode::ELECTION_NOT_NEEDED, "the partition has a leader".to_owned())),
        (None, true) => {
            Err((ErrorCode::ELIGIBLE_LEADERS_NOT_AVAILABLE, "no broker that has a replica is alive".to_owned()))
        }
        (None, false) => {
            let message = "no replica in sync is alive; to lose records and have a leader, set \
                           unclean.leader.election.enable=true for the topic and start a broker that has a replica";
            Err((ErrorCode::ELIGIBLE_LEADERS_NOT_AVAILABLE, message.to_owned()))
        }
    }
}

fn unknown(asked: &Asked<'_>) -> (ErrorCode, String) {
    let message = format!("there is no partition {} of a topic {}", asked.number, asked.name);
    (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message)
}

/// Where all partitions are asked for, those that need no election are not mentioned.
fn answer(asked: &[Asked<'_>], all: bool, judge: impl Fn(&Asked<'_>) -> Outcome) -> Response {
    let mut results: Vec<TopicResult> = Vec::new();
    for one in asked {
        let (error_code, error_message) = match judge(one) {
            Ok(()) => (ErrorCode::NONE, None),
            Err((ErrorCode::ELECTION_NOT_NEEDED, _)) if all => continue,
            Err((code, message)) => (code, Some(message)),
        };
        let result = PartitionResult { partition_id: one.number, error_code, error_message, ..Default::default() };
        match results.last_mut().filter(|last| last.topic == one.name) {
            Some(last) => last.partition_result.push(result),
            None => {
                let topic = one.name.clone();
                results.push(TopicResult { topic, partition_result: vec![result], ..Default::default() });
            }
        }
    }
    Response { replica_election_results: results, ..Default::default() }
}
