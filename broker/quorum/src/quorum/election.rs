//! When to stand for election.
//!
//! The consensus library has no pre-vote: a node that comes back from isolation with a higher term would depose a
//! healthy leader. So a node here first canvasses: it stands only when a majority, itself included, would vote for it,
//! which no node does that has heard of a leader lately or has a longer log. An isolated node's term does not grow.

use super::Shared;
use crate::raft::{Metrics, Vote};
use crate::transport::{Kind, Lane};
use crate::{Member, Membership, NodeId, Position, Timing};
use bytes::Bytes;
use env::{Entropy, real::SystemEntropy};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Stands for election whenever that is due.
pub(super) async fn stand(shared: Arc<Shared>) {
    let mut metrics = shared.raft.metrics();
    let mut patience = Patience::new(&shared.config.timing);
    loop {
        let role = role(&metrics.borrow_and_update(), shared.config.id);
        match role {
            Role::None => {
                patience = Patience::new(&shared.config.timing);
                if let Ok(Err(_)) = timeout(shared.config.timing.heartbeat, metrics.changed()).await {
                    return;
                }
            }
            Role::Sole => {
                _ = shared.raft.trigger().elect().await;
                // Its own vote is all it takes; the next look comes when that has had its time.
                _ = timeout(shared.config.timing.election.start, metrics.wait_for(|now| now.state.is_leader())).await;
            }
            Role::Voter => {
                let left = patience.due(shared.heard()).saturating_duration_since(Instant::now());
                if !left.is_zero() {
                    sleep(left.min(shared.config.timing.heartbeat)).await;
                    continue;
                }
                patience = Patience::new(&shared.config.timing);
                run(&shared).await;
            }
        }
    }
}

enum Role {
    /// Leads already, or has no vote.
    None,
    /// Has the only vote.
    Sole,
    /// Has one of several.
    Voter,
}

fn role(metrics: &Metrics, id: NodeId) -> Role {
    let membership = metrics.membership_config.membership();
    let voters: BTreeSet<_> = membership.voter_ids().collect();
    match voters.contains(&id) && !metrics.state.is_leader() && metrics.running_state.is_ok() {
        false => Role::None,
        true if voters.len() == 1 => Role::Sole,
        true => Role::Voter,
    }
}

/// How long a node waits, by chance, before it stands for election.
struct Patience {
    since: Instant,
    /// After the last try: others get the time to win.
    with_others: Duration,
    /// After a leader's last word.
    with_leader: Duration,
}

impl Patience {
    fn new(timing: &Timing) -> Self {
        let with_others = random(&(timing.heartbeat / 3..timing.heartbeat));
        Self { since: Instant::now(), with_others, with_leader: random(&timing.election) }
    }

    /// When it ends, if a leader was `heard`. Where there has never been one, nobody's lease has to run out first.
    fn due(&self, heard: Option<Instant>) -> Instant {
        let due = self.since + self.with_others;
        heard.map_or(due, |heard| due.max(heard + self.with_leader))
    }
}

/// Stands for election if it can be won.
async fn run(shared: &Arc<Shared>) {
    let before = (shared.heard(), vote(shared).await);
    // While a majority was asked somebody else may have been elected, or got this node's vote: then a higher term would
    // only depose them.
    if canvass(shared).await && before == (shared.heard(), vote(shared).await) {
        _ = shared.raft.trigger().elect().await;
        sleep(random(&(Duration::ZERO..shared.config.timing.heartbeat))).await;
    }
}

async fn vote(shared: &Shared) -> Option<Vote> {
    shared.raft.with_raft_state(|state| *state.vote_ref()).await.ok()
}

/// Whether a majority would vote for this node.
async fn canvass(shared: &Arc<Shared>) -> bool {
    let membership = shared.membership();
    let Ok(request) = serde_json::to_vec(&last_log(shared).await).map(Bytes::from) else { return false };
    let mut answers = JoinSet::new();
    for (id, member) in others(&membership, shared.config.id) {
        let (shared, request) = (Arc::clone(shared), request.clone());
        answers.spawn(async move {
            let within = shared.config.timing.heartbeat;
            let answer = shared.peers.ask((id, &member), Lane::Raft, Kind::Canvass, request, within).await;
            answer.is_ok_and(|answer| answer.as_ref() == [1]).then_some(id)
        });
    }
    let mut supporters = BTreeSet::from([shared.config.id]);
    while !membership.is_quorum(&supporters) {
        match answers.join_next().await {
            Some(supporter) => supporters.extend(supporter.ok().flatten()),
            None => return false,
        }
    }
    true
}

pub(super) fn others(membership: &Membership, me: NodeId) -> Vec<(NodeId, Member)> {
    let others = membership.members().iter().filter(|(id, _)| **id != me && membership.is_voter(**id));
    others.map(|(id, member)| (*id, member.clone())).collect()
}

async fn last_log(shared: &Shared) -> Option<Position> {
    shared.raft.data_metrics().borrow().last_log.map(Position::from)
}

/// Says whether this node would vote for one whose log ends as the request says.
pub(super) async fn serve(shared: &Shared, request: &[u8]) -> Result<Bytes, String> {
    let theirs: Option<Position> = serde_json::from_slice(request).map_err(|error| error.to_string())?;
    let lease = shared.config.timing.election.start;
    let has_leader = shared.leads() || shared.heard().is_some_and(|heard| heard.elapsed() < lease);
    let would = !has_leader && theirs >= last_log(shared).await;
    Ok(Bytes::from_static(if would { &[1] } else { &[0] }))
}

fn random(range: &Range<Duration>) -> Duration {
    let width = (range.end - range.start).as_micros().max(1) as u64;
    range.start + Duration::from_micros(SystemEntropy.next_u64() % width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_that_was_heard_is_given_an_election_timeout() {
        let timing = Timing::default();
        let patience = Patience::new(&timing);
        let heard = Instant::now() + Duration::from_secs(5);
        assert!(patience.due(Some(heard)) >= heard + timing.election.start);
        assert!(patience.due(None) < patience.since + timing.heartbeat);
    }
}
