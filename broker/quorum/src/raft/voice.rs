//! When a leader keeps quiet.
//!
//! A leader that hears nobody, while the others hear it, would lead for ever and have nothing agreed on: its messages keep
//! the others from electing another one. So a leader that no majority answers any more pauses after each message that
//! goes unanswered, for long enough that another one can be elected meanwhile.

use super::Metrics;
use crate::{NodeId, Timing};
use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Whether a majority has answered the leader lately; everybody else counts as if.
pub(crate) fn is_answered(metrics: &Metrics, timing: &Timing) -> bool {
    let silence = metrics.millis_since_quorum_ack.filter(|_| metrics.state.is_leader());
    silence.is_none_or(|silence| silence <= timing.election.end.as_millis() as u64 * 2)
}

/// The voice of one node.
pub(crate) struct Voice {
    timing: Timing,
    /// Known once the consensus runs.
    metrics: OnceLock<watch::Receiver<Metrics>>,
    pauses: Mutex<Pauses>,
}

/// Until when which nodes are left alone.
#[derive(Debug, Default)]
struct Pauses(HashMap<NodeId, Instant>);

impl Pauses {
    fn is_over(&self, id: NodeId, now: Instant) -> bool {
        self.0.get(&id).is_none_or(|until| *until <= now)
    }

    /// A message to a node went unanswered at `now`.
    fn begin(&mut self, id: NodeId, now: Instant, length: Duration) {
        self.0.insert(id, now + length);
    }

    fn end(&mut self, id: NodeId) {
        self.0.remove(&id);
    }
}

impl Voice {
    pub(crate) fn new(timing: Timing) -> Self {
        Self { timing, metrics: OnceLock::new(), pauses: Mutex::default() }
    }

    /// Follows the consensus from now on.
    pub(crate) fn follow(&self, metrics: watch::Receiver<Metrics>) {
        _ = self.metrics.set(metrics);
    }

    fn pauses(&self) -> std::sync::MutexGuard<'_, Pauses> {
        self.pauses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a message may be sent to a node.
    pub(crate) fn may_reach(&self, id: NodeId) -> bool {
        self.pauses().is_over(id, Instant::now())
    }

    /// A node has answered a message.
    pub(crate) fn on_answer(&self, id: NodeId) {
        self.pauses().end(id);
    }

    /// A message may have reached a node that did not answer it.
    pub(crate) fn on_silence(&self, id: NodeId) {
        if self.metrics.get().is_some_and(|metrics| !is_answered(&metrics.borrow(), &self.timing)) {
            self.pauses().begin(id, Instant::now(), self.timing.election.end * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openraft::ServerState;

    #[test]
    fn only_a_leader_that_no_majority_answers_pauses() {
        let (timing, one) = (Timing::default(), NodeId::from(1));
        let quiet_after = |state, millis_since_quorum_ack| {
            let metrics = Metrics { state, millis_since_quorum_ack, ..Metrics::new_initial(NodeId::from(2)) };
            let voice = Voice::new(timing.clone());
            voice.follow(watch::channel(metrics).1);
            voice.on_silence(one);
            let is_quiet = !voice.may_reach(one);
            voice.on_answer(one);
            assert!(voice.may_reach(one));
            is_quiet
        };
        assert!(quiet_after(ServerState::Leader, Some(60_000)));
        assert!(!quiet_after(ServerState::Leader, Some(0)));
        assert!(!quiet_after(ServerState::Leader, None), "it has just been elected");
        assert!(!quiet_after(ServerState::Candidate, Some(60_000)));
    }

    #[test]
    fn a_pause_is_for_one_node_and_ends_with_its_answer_or_its_time() {
        let (mut pauses, now, one, two) = (Pauses::default(), Instant::now(), NodeId::from(1), NodeId::from(2));
        let length = Duration::from_secs(1);
        pauses.begin(one, now, length);
        assert!(!pauses.is_over(one, now + length / 2) && pauses.is_over(two, now));
        assert!(pauses.is_over(one, now + length));
        pauses.begin(one, now, length);
        pauses.end(one);
        assert!(pauses.is_over(one, now));
    }
}
