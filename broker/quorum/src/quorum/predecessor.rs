//! Since when the leader before this one is gone.
//!
//! ```text
//!   old leader   --w--w--w--X
//!   voter 1        w  w  w ........ 0.7 s ........ asked by the new leader
//!   voter 2        w  w ......... 0.8 s .......... asked by the new leader, itself here
//!                        ^ no earlier leader has confirmed its leadership by messages it sent after this
//! ```
//!
//! Who confirms its leadership is answered by a majority, and every node notes when a leader's message came before it answers.
//! A node that is in the new leader's time answers no earlier leader any more. So when a majority in that time has said for
//! how long it has heard nothing of an earlier leader, one of them took part in every earlier confirmation, and has noted it.

use super::{Shared, Tenure};
use crate::raft::Vote;
use crate::transport::{Kind, Lane};
use crate::{NodeId, Quorum, StateMachine};
use bytes::Bytes;
use env::BootInstant;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The leader before this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Predecessor {
    /// Who it was.
    pub id: NodeId,
    /// Neither this leader nor any earlier one has confirmed its leadership by messages it sent after this.
    pub silent_since: BootInstant,
}

/// A leader's time: its term, in which more than one may lead, one after the other.
type Reign = (u64, NodeId);

/// A message of a leader; of nobody, where the node has just started and may have forgotten some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    of: Option<Reign>,
    at: BootInstant,
}

/// What a node remembers of its leaders, itself among them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Followed {
    /// The last message of the last leader.
    current: Word,
    /// The last one of any leader before.
    earlier: Word,
}

impl Followed {
    /// Of a node that starts at `now`.
    pub(crate) fn start(now: BootInstant) -> Self {
        let word = Word { of: None, at: now };
        Self { current: word, earlier: word }
    }

    /// A leader's message came at `at`, and is not answered yet; or this leader asks a majority.
    fn note(&mut self, of: Reign, at: BootInstant) {
        let word = Word { of: Some(of), at };
        if word.of >= self.current.of {
            self.earlier = if word.of > self.current.of { later(self.earlier, self.current) } else { self.earlier };
            self.current = word;
        } else {
            self.earlier = later(self.earlier, word);
        }
    }

    /// The last message of a leader before `reign`.
    fn before(&self, reign: Reign) -> Word {
        if self.current.of < Some(reign) { later(self.earlier, self.current) } else { self.earlier }
    }
}

fn later(a: Word, b: Word) -> Word {
    if a.at > b.at { a } else { b }
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Report {
    leader: Option<NodeId>,
    /// For how long it has been silent.
    silent: Duration,
}

impl Shared {
    /// Notes that a leader's message came, before it is answered.
    pub(super) fn note_word(&self, vote: &Vote) {
        if let Some(leader) = vote.leader_id().voted_for() {
            self.note_reign((vote.leader_id().term, leader));
        }
    }

    /// Notes that this node asks a majority as the leader of `term`.
    pub(super) fn note_round(&self, term: u64) {
        self.note_reign((term, self.config.id));
    }

    fn note_reign(&self, reign: Reign) {
        let now = self.clock.boot();
        self.followed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).note(reign, now);
    }

    fn word_before(&self, reign: Reign) -> Word {
        self.followed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).before(reign)
    }
}

/// Tells the leader of the reign in `request` for how long the ones before are silent.
pub(super) async fn serve(shared: &Shared, request: &[u8]) -> Result<Bytes, String> {
    let reign: Reign = serde_json::from_slice(request).map_err(|error| error.to_string())?;
    let vote = shared.raft.with_raft_state(|state| *state.vote_ref()).await.map_err(|error| error.to_string())?;
    if (vote.leader_id().term, vote.leader_id().voted_for()) < (reign.0, Some(reign.1)) {
        return Err("an earlier leader is still followed here".into());
    }
    let word = shared.word_before(reign);
    let report = Report { leader: word.of.map(|(_, leader)| leader), silent: shared.clock.boot().since(word.at) };
    serde_json::to_vec(&report).map(Bytes::from).map_err(|error| error.to_string())
}

/// Asks the other voters until a majority agrees on who led before.
async fn ask(shared: &Arc<Shared>, tenure: Tenure) -> Option<Predecessor> {
    let reign = (tenure.term, shared.config.id);
    let own = shared.word_before(reign);
    let id = own.of.map(|(_, leader)| leader).filter(|leader| *leader != shared.config.id)?;
    let (membership, mut silent_since) = (shared.membership(), own.at);
    let request = Bytes::from(serde_json::to_vec(&reign).ok()?);
    let mut answers = JoinSet::new();
    for (voter, member) in super::election::others(&membership, shared.config.id) {
        let (shared, request) = (Arc::clone(shared), request.clone());
        answers.spawn(async move {
            let within = shared.config.timing.heartbeat;
            let answer = shared.peers.ask((voter, &member), Lane::Raft, Kind::Followed, request, within).await.ok()?;
            let report: Report = serde_json::from_slice(&answer).ok()?;
            let at = shared.clock.boot().since_boot().checked_sub(report.silent)?;
            (report.leader == Some(id)).then_some((voter, BootInstant::after_boot(at)))
        });
    }
    let mut agreed = BTreeSet::from([shared.config.id]);
    while !membership.is_quorum(&agreed) {
        if let Some((voter, at)) = answers.join_next().await?.ok().flatten() {
            silent_since = silent_since.max(at);
            agreed.insert(voter);
        }
    }
    Some(Predecessor { id, silent_since: silent_since.min(tenure.since) })
}

impl<S: StateMachine> Quorum<S> {
    /// Who led before this node began to lead in `tenure`, and since when it is silent, as far as a majority agrees on it
    /// within `within`.
    pub async fn predecessor(&self, tenure: Tenure, within: Duration) -> Option<Predecessor> {
        timeout(within, ask(self.shared(), tenure)).await.ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> BootInstant {
        BootInstant::after_boot(Duration::from_secs(seconds))
    }

    #[test]
    fn the_last_word_of_any_earlier_leader_is_remembered() {
        let (a, b, c) = ((5, NodeId::from(1)), (5, NodeId::from(2)), (7, NodeId::from(1)));
        let mut followed = Followed::start(at(1));
        assert_eq!(followed.before(c), Word { of: None, at: at(1) }, "what came before the start is forgotten");
        followed.note(a, at(2));
        followed.note(a, at(3));
        assert_eq!(followed.before(a), Word { of: None, at: at(1) });
        assert_eq!(followed.before(b), Word { of: Some(a), at: at(3) });
        followed.note(b, at(4));
        assert_eq!(followed.before(c), Word { of: Some(b), at: at(4) });
        followed.note(c, at(5));
        assert_eq!(followed.before(c), Word { of: Some(b), at: at(4) });
        followed.note(a, at(6));
        assert_eq!(followed.before(c), Word { of: Some(a), at: at(6) }, "it still sends");
        assert_eq!(followed.before(b), Word { of: Some(a), at: at(6) });
        followed.note(c, at(7));
        assert_eq!(followed.before((8, NodeId::from(3))), Word { of: Some(c), at: at(7) });
    }
}
