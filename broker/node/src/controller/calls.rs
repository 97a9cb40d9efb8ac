//! What the brokers of a region ask each other over the quorum's connections.

use super::Lease;
use crate::Broker;
use crate::broker::Inner;
use crate::region::{Ask, Told};
use broker_core::liveness::{Heartbeat, Tail, Verdict};
use broker_core::metadata::Choice;
use bytes::Bytes;
use env::PortFuture;
use model::{BrokerSlot, Incarnation, PartitionId, TopicId};
use quorum::{Handler, NodeId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How long another broker may take to hand over what it leads.
const HAND_OVER_WAIT: Duration = Duration::from_secs(10);

/// A question of another broker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Question {
    /// To the active controller: it is alive.
    Heartbeat(Heartbeat),
    /// To any broker: where its replicas of these end. Those it does not hold are left out.
    Tails(Vec<(TopicId, PartitionId)>),
    /// To any broker: the broker in that slot starts with an empty disk. Under which incarnation?
    Join(BrokerSlot),
    /// To any broker: what is left of the leases the council gave to it.
    Leases,
    /// To any broker: to hand over what it leads of these.
    HandOver(Vec<Choice>),
    /// To a broker that hosts partitions, or to the desk: for the region's sake.
    Region(Box<Ask>),
}

/// Its answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    /// To a heartbeat.
    Verdict(Verdict),
    /// Where replicas end.
    Tails(Vec<Tail>),
    /// The active controller's word: it is to start under this incarnation.
    Joined(Incarnation),
    /// As far as the asked one knows no controller was ever active, so that nobody has voted.
    Unfounded,
    /// What is left of leases.
    Leases(Vec<Lease>),
    /// It was done.
    Done,
    /// What the region has to know of it.
    Region(Box<Told>),
    /// It cannot be answered here and now.
    Unavailable(String),
}

pub(crate) fn encode(message: &impl Serialize) -> Bytes {
    // Every message is plain data, which JSON can hold.
    serde_json::to_vec(message).expect("plain data becomes JSON").into()
}

pub(super) fn decode(answer: &[u8]) -> Reply {
    serde_json::from_slice(answer).unwrap_or_else(|error| Reply::Unavailable(format!("cannot be read: {error}")))
}

/// Answers the other brokers, as long as this one is there.
pub(super) struct Desk(pub(super) Weak<Inner>);

impl Handler for Desk {
    fn call(&self, _: Option<NodeId>, request: Bytes) -> PortFuture<'_, Bytes> {
        Box::pin(async move {
            let reply = match (self.0.upgrade(), serde_json::from_slice(&request)) {
                (Some(inner), Ok(question)) => Broker(inner).answer(question).await,
                (None, _) => Reply::Unavailable("the broker is stopping".to_owned()),
                (_, Err(error)) => Reply::Unavailable(format!("the question cannot be read: {error}")),
            };
            encode(&reply)
        })
    }
}

impl Broker {
    /// Answers the region's other brokers from now on.
    pub(crate) fn answer_peers(&self) {
        self.control().controller().serve(Arc::new(Desk(Arc::downgrade(&self.0))));
    }

    async fn answer(&self, question: Question) -> Reply {
        match question {
            Question::Heartbeat(beat) => self.judge(beat).await,
            Question::Tails(wanted) => Reply::Tails(self.tails(&wanted)),
            Question::Join(slot) => self.let_join(slot).await,
            Question::Leases => Reply::Leases(self.leases()),
            Question::Region(ask) => Reply::Region(Box::new(self.tell(*ask).await)),
            Question::HandOver(moves) => match self.control().hand_over(moves).await {
                Ok(()) => Reply::Done,
                Err(error) => Reply::Unavailable(error.to_string()),
            },
        }
    }

    /// Has every leader in `due` hand over what is due; returns when this broker knows who leads then. What is not handed
    /// over stays as it is.
    pub(crate) async fn have_handed_over(&self, due: &BTreeMap<BrokerSlot, Vec<Choice>>) {
        let Some(control) = self.0.control.get() else { return };
        for (leader, moves) in due {
            let handed = match *leader == self.0.config.slot {
                true => control.hand_over(moves.clone()).await.map_err(|error| error.to_string()),
                false => {
                    let question = encode(&Question::HandOver(moves.clone()));
                    let asked = control.controller().ask(*leader, question, HAND_OVER_WAIT).await;
                    asked.map(drop).map_err(|error| error.to_string())
                }
            };
            if let Err(error) = handed {
                tracing::warn!(leader = leader.0, %error, "leaders were not handed over as they were asked to");
            }
        }
        // Makes real here what was agreed on there.
        _ = control.change(Vec::new()).await;
    }

    fn tails(&self, wanted: &[(TopicId, PartitionId)]) -> Vec<Tail> {
        let held = self.0.partitions.held();
        let tail = |(topic, number): &(TopicId, PartitionId)| {
            let partition = held.partition(*topic, *number)?;
            let (topic, partition, epoch, tail) = (*topic, *number, partition.last_epoch(), partition.safe_tail());
            Some(Tail { topic, partition, epoch, tail })
        };
        wanted.iter().filter_map(tail).collect()
    }
}
