//! When to stand for election.
//!
//! The consensus library has no pre-vote: a node that comes back from isolation with a higher term would depose a
//! healthy leader. So a node here first canvasses: it stands only when a majority, itself included, would vote for it,
//! which no node does that has heard of a leader lately or has a longer log. An isolated node's term does not grow.

use super::Shared;
use crate::raft::Metrics;
use crate::transport::{Kind, Lane};
use crate::{Member, Membership, NodeId, Position};
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
    let (mut last, mut patience) = (Instant::now(), patience(&shared));
    loop {
        let role = role(&metrics.borrow_and_update(), shared.config.id);
        match role {
            Role::None => {
                last = Instant::now();
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
                let due = shared.heard().map_or(last, |heard| heard.max(last)) + patience;
                let left = due.saturating_duration_since(Instant::now());
                if !left.is_zero() {
                    sleep(left.min(shared.config.timing.heartbeat)).await;
                    continue;
                }
                last = Instant::now();
                patience = run(&shared).await;
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

/// Stands for election if it can be won; returns how long to wait before the next time.
async fn run(shared: &Arc<Shared>) -> Duration {
    let timing = &shared.config.timing;
    if !canvass(shared).await {
        return random(&(timing.heartbeat / 2..timing.heartbeat));
    }
    _ = shared.raft.trigger().elect().await;
    patience(shared)
}

/// How long to wait for a leader before standing for election. Where there has never been one, nobody's lease has to run
/// out first.
fn patience(shared: &Shared) -> Duration {
    let timing = &shared.config.timing;
    match shared.heard() {
        Some(_) => random(&timing.election),
        None => random(&(timing.heartbeat / 3..timing.heartbeat)),
    }
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

fn others(membership: &Membership, me: NodeId) -> Vec<(NodeId, Member)> {
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
