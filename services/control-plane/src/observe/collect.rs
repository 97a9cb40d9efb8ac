//! The leader asks all nodes what they see and all regions how they do, again and again.

use super::Observatory;
use super::facts::Facts;
use crate::council::{Call, CallFailed, Council, Reply};
use crate::ports::Region;
use crate::tenure::node_name;
use catalog::View;
use dr_planner::health::PROBE_INTERVAL;
use model::{RegionName, Timestamp};
use quorum::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// How long a node may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the leader may take to make sure that it leads, before it counts as one that does not know.
const CONFIRM_TIMEOUT: Duration = Duration::from_millis(400);
/// How long a picture waits for the answers to its own questions; later ones are in the next.
const ANSWERS_AWAITED: Duration = Duration::from_millis(60);
/// A region is asked for its status, which names every partition, at most every so many ticks.
const STATUS_TICKS_MIN: u64 = 2;
/// And at least so often: what was said must stay recent though one answer is lost.
const STATUS_TICKS_MAX: u64 = 4;
/// So many partitions are worth a tick, so that many of them do not take all the time there is.
const PARTITIONS_PER_TICK: usize = 2000;

/// What a node is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Question {
    Observations,
    Links,
    Status,
}

impl Question {
    const fn call(self) -> Call {
        match self {
            Self::Observations => Call::Observations,
            Self::Links => Call::Links,
            Self::Status => Call::Status { with_hashes: false },
        }
    }
}

/// A node's answer.
struct Heard {
    from: RegionName,
    question: Question,
    tick: u64,
    asked_at: Timestamp,
    reply: Result<Reply, CallFailed>,
}

/// Publishes a picture at every tick, for ever.
pub(super) async fn collect(observatory: &Observatory) {
    let mut collector = Collector {
        observatory,
        facts: Facts::default(),
        asked: BTreeSet::new(),
        status_due: BTreeMap::new(),
        calls: JoinSet::new(),
    };
    let mut ticks = interval(PROBE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for tick in 0_u64.. {
        collector.listen(ticks.tick()).await;
        collector.ask_all(tick);
        collector.listen(sleep(ANSWERS_AWAITED)).await;
        collector.publish().await;
    }
}

struct Collector<'a> {
    observatory: &'a Observatory,
    facts: Facts,
    /// Questions that are not answered yet; nobody is asked the same twice meanwhile.
    asked: BTreeSet<(RegionName, Question)>,
    /// The tick at which a region is asked for its status again, where it has answered.
    status_due: BTreeMap<RegionName, u64>,
    calls: JoinSet<Heard>,
}

impl Collector<'_> {
    /// Takes note of what comes, until `end`.
    async fn listen<T>(&mut self, end: impl Future<Output = T>) {
        tokio::pin!(end);
        loop {
            tokio::select! {
                biased;
                Some(heard) = self.calls.join_next() => if let Ok(heard) = heard { self.note(heard) },
                _ = &mut end => return,
            }
        }
    }

    fn ask_all(&mut self, tick: u64) {
        let view = self.observatory.council.view();
        for (name, node) in nodes(&view) {
            self.ask(&name, node, Question::Observations, tick);
            if view.region(&name).is_some() {
                self.ask(&name, node, Question::Links, tick);
                if self.status_due.get(&name).is_none_or(|due| *due <= tick) {
                    self.ask(&name, node, Question::Status, tick);
                }
            }
        }
    }

    fn ask(&mut self, name: &RegionName, node: NodeId, question: Question, tick: u64) {
        if !self.asked.insert((name.clone(), question)) {
            return;
        }
        let (council, from) = (self.observatory.council.clone(), name.clone());
        let asked_at = self.observatory.ports.clock.now();
        let own = self.observatory.ports.region.clone().filter(|_| node == council.id());
        self.calls.spawn(async move {
            let reply = match own {
                Some(region) if question == Question::Status => own_status(&*region).await,
                _ => council.call(node, &question.call(), ANSWER_TIMEOUT).await,
            };
            Heard { from, question, tick, asked_at, reply }
        });
    }

    fn note(&mut self, heard: Heard) {
        let Heard { from, question, tick, asked_at, reply } = heard;
        self.asked.remove(&(from.clone(), question));
        match reply {
            Ok(Reply::Observations(seen)) => self.facts.observed(from, seen, asked_at),
            Ok(Reply::Links(links)) => self.facts.linked(from, &links, asked_at),
            Ok(Reply::Status(status)) => {
                self.status_due.insert(from, tick + status_ticks(status.partitions.len()));
                self.facts.stated(*status, asked_at);
            }
            Ok(other) => tracing::warn!(%from, ?question, ?other, "a question was answered with something else"),
            Err(error) => tracing::trace!(%from, ?question, %error, "no answer"),
        }
    }

    async fn publish(&mut self) {
        let Observatory { council, ports, picture, .. } = self.observatory;
        let leader = confirmed_leader(council).await;
        let next = self.facts.picture(&council.view(), leader, ports.clock.now());
        picture.send_replace(Some(Arc::new(next)));
    }
}

/// The status of this node's own region, which nobody has to write down and read again.
async fn own_status(region: &dyn Region) -> Result<Reply, CallFailed> {
    let failed = |what: String| CallFailed { what, may_have_happened: true };
    let status = timeout(ANSWER_TIMEOUT, region.status(false)).await.map_err(|late| failed(late.to_string()))?;
    status.map(|status| Reply::Status(Box::new(status))).map_err(|error| failed(error.to_string()))
}

/// For how many ticks a status of so many partitions does.
fn status_ticks(partitions: usize) -> u64 {
    ((partitions / PARTITIONS_PER_TICK) as u64).clamp(STATUS_TICKS_MIN, STATUS_TICKS_MAX)
}

/// The nodes of the council by name.
fn nodes(view: &View) -> Vec<(RegionName, NodeId)> {
    let regions = view.regions.iter().map(|region| (region.address.region.clone(), NodeId::from(region.node_id)));
    let witness = view.witness.as_ref().and_then(|witness| {
        let name = RegionName::new(&witness.name).ok()?;
        Some((name, NodeId::from(witness.node_id)))
    });
    regions.chain(witness).collect()
}

/// This node's name, if it leads as of now.
async fn confirmed_leader(council: &Council) -> Option<RegionName> {
    match timeout(CONFIRM_TIMEOUT, council.confirm_leadership()).await {
        Ok(Ok(_)) => node_name(council),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dr_planner::inventory::FACT_AGE_MAX;

    #[test]
    fn long_statuses_are_asked_for_less_often_and_never_so_late_that_one_lost_answer_is_silence() {
        assert_eq!([0, 50, 5_999].map(status_ticks), [2, 2, 2]);
        assert_eq!([6_000, 10_000, 1_000_000].map(status_ticks), [3, 4, 4]);
        let lost = PROBE_INTERVAL * STATUS_TICKS_MAX as u32 + ANSWER_TIMEOUT;
        assert!(lost + PROBE_INTERVAL + ANSWERS_AWAITED < FACT_AGE_MAX);
    }
}
