use super::Shared;
use crate::NodeId;
use env::{BootInstant, Clock};
use std::sync::Arc;
use tokio::sync::watch;

/// Who leads a quorum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The leader, as far as this node knows.
    pub leader: Option<NodeId>,
    /// The term this node is in.
    pub term: u64,
    /// This node's own time as the leader.
    pub tenure: Option<Tenure>,
}

/// The time of a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// The term it was elected for.
    pub term: u64,
    /// When it noticed that it leads: not before its election, and not before the start of this process. Every earlier
    /// leader has confirmed its leadership for the last time before this instant.
    pub since: BootInstant,
}

/// Keeps `leadership` up to date.
pub(super) async fn watch(shared: Arc<Shared>, leadership: watch::Sender<Leadership>) {
    let mut metrics = shared.raft.server_metrics();
    loop {
        let (leader, term, leads) = {
            let metrics = metrics.borrow_and_update();
            let leads = metrics.state.is_leader() && metrics.current_leader == Some(shared.config.id);
            (metrics.current_leader, metrics.vote.leader_id().term, leads)
        };
        leadership.send_if_modified(|known| {
            let tenure = leads.then(|| tenure(known.tenure, term, &*shared.clock));
            let now = Leadership { leader, term, tenure };
            let changed = *known != now;
            *known = now;
            changed
        });
        if metrics.changed().await.is_err() {
            return;
        }
    }
}

fn tenure(known: Option<Tenure>, term: u64, clock: &dyn Clock) -> Tenure {
    known.filter(|tenure| tenure.term == term).unwrap_or_else(|| Tenure { term, since: clock.boot() })
}
