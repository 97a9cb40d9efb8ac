//! A broker that starts with an empty disk: the first one of its slot, or one in the place of a disk that is lost.
//!
//! A lost disk may have voted and may have held what was agreed on, so its node must not come back under the same id: the
//! slot gets its next incarnation, and the quorum takes the new node in and the old one out. The founding broker of a slot,
//! which never registered, starts under the first.
//!
//! What this does not cover: with all other brokers of the region down at the same time nobody can say that a disk was
//! lost. Start a broker with an empty disk only while a majority of the others runs.

use super::calls::{decode, encode};
use super::{Controller, Question, Reply, first_node, voters};
use crate::Broker;
use broker_core::metadata::{Answer, Command};
use model::{BrokerSlot, Incarnation};
use quorum::{CallError, Member, MemberError, Membership, NodeId};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long one of the others may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// How long to wait before the others are asked again.
const RETRY: Duration = Duration::from_millis(100);
/// How long a new node may take to learn what was agreed on.
const CATCH_UP_MAX: Duration = Duration::from_secs(120);

/// How many of a region's nodes vote: an even number of voters stands no more losses than one less.
pub(super) fn votes(config: &crate::Config) -> usize {
    let votes = config.controllers.clamp(1, 5).min(config.peers.len());
    votes - (1 - votes % 2)
}

/// What one round of questions brought.
enum Said {
    /// The incarnation to start under.
    Start(Incarnation),
    /// Somebody is there, and cannot say yet.
    Later,
    /// Nobody is there, or nobody knows of a controller.
    Nobody,
}

/// The id of a node whose disk is empty: what the active controller says, or the first of its slot where none of the others
/// is there that knows of one.
pub(super) async fn join(config: &crate::Config, cluster: &str) -> NodeId {
    loop {
        match ask_all(config, cluster).await {
            Said::Start(incarnation) => return NodeId::of(config.slot, incarnation),
            Said::Nobody => return first_node(config.slot),
            Said::Later => sleep(RETRY).await,
        }
    }
}

async fn ask_all(config: &crate::Config, cluster: &str) -> Said {
    let mut said = Said::Nobody;
    for (_, address) in config.peers.iter().filter(|(slot, _)| **slot != config.slot) {
        let asking = quorum::call_address(cluster, address, encode(&Question::Join(config.slot)), ANSWER_MAX);
        match timeout(ANSWER_MAX, asking).await.map(|answer| answer.map(|answer| decode(&answer))) {
            Ok(Ok(Reply::Joined(incarnation))) => return Said::Start(incarnation),
            // One that has just started may know of less than others.
            Ok(Ok(Reply::Unfounded) | Err(CallError::Unreachable { .. })) => {}
            _ => said = Said::Later,
        }
    }
    said
}

impl Broker {
    /// Lets the broker in `slot` start, whose disk is empty.
    pub(super) async fn let_join(&self, slot: BrokerSlot) -> Reply {
        let controller = self.control().controller();
        if controller.leadership().borrow().tenure.is_none() {
            return self.pass_on(controller, slot).await;
        }
        if let Err(error) = controller.catch_up().await {
            return Reply::Unavailable(error.to_string());
        }
        if controller.image().broker(slot).is_none() && controller.image().unregistered(slot).is_none() {
            return Reply::Joined(Incarnation(1));
        }
        match controller.propose(&Command::AllotIncarnation { slot }).await {
            Ok(Answer::Allotted { incarnation }) => {
                self.spawn(self.clone().take_in(NodeId::of(slot, incarnation)));
                Reply::Joined(incarnation)
            }
            Ok(other) => Reply::Unavailable(format!("the metadata answered {other:?}")),
            Err(error) => Reply::Unavailable(error.to_string()),
        }
    }

    /// Asks the active controller. Where there has never been one, nobody has voted yet.
    async fn pass_on(&self, controller: &Controller, slot: BrokerSlot) -> Reply {
        match controller.active() {
            None if controller.is_untouched() => Reply::Unfounded,
            Some(active) if active != self.0.config.slot => {
                let answer = controller.ask(active, encode(&Question::Join(slot)), ANSWER_MAX).await;
                answer.unwrap_or_else(|error| Reply::Unavailable(error.to_string()))
            }
            _ => Reply::Unavailable("no controller is active".to_owned()),
        }
    }

    /// Has the quorum take the new node in, and take out the one before it in that slot.
    async fn take_in(self, new: NodeId) {
        let mut stop = self.0.stop.subscribe();
        tokio::select! {
            () = self.take_in_until_done(new) => {}
            () = crate::listener::stopped(&mut stop) => {}
        }
    }

    async fn take_in_until_done(&self, new: NodeId) {
        let controller = self.control().controller();
        let Some(address) = self.0.config.peers.get(&new.slot()) else { return };
        // A disk that was lost again on the way is not waited for.
        let is_latest = || controller.image().latest_incarnation(new.slot()) <= new.incarnation();
        while controller.leadership().borrow().tenure.is_some() && is_latest() {
            match self.exchange(controller, new, address).await {
                Ok(()) => return tracing::info!(%new, "a node was taken in"),
                Err(error) => tracing::debug!(%new, %error, "a node is not taken in yet"),
            }
            sleep(RETRY).await;
        }
    }

    async fn exchange(&self, controller: &Controller, new: NodeId, address: &str) -> Result<(), MemberError> {
        let (quorum, member) = (&controller.quorum, Member::new(new.slot().0.to_string(), address));
        let membership = quorum.membership();
        let old = membership.members().keys().find(|id| id.slot() == new.slot() && **id != new).copied();
        let has_room = |old: NodeId| membership.is_voter(old) || membership.voters().len() < votes(&self.0.config);
        let is_one = voters(&self.0.config).contains_key(&first_node(new.slot()));
        if is_one && (membership.is_voter(new) || has_room(old.unwrap_or(new))) {
            return quorum.replace_member(old, new, member, CATCH_UP_MAX).await;
        }
        quorum.add_learner(new, member, CATCH_UP_MAX).await?;
        match old {
            Some(old) => quorum.remove_learner(old, CATCH_UP_MAX).await,
            None => Ok(()),
        }
    }

    /// Has the brokers take part whose nodes are not what they are to be in the quorum yet: those that have no vote, and those
    /// that an earlier controller let join and did not get to take in. While this broker's controller is the active one.
    pub(super) fn take_in_missing(&self) {
        let (controller, config) = (self.control().controller(), &self.0.config);
        let (image, membership) = (controller.image(), controller.quorum.membership());
        for slot in config.peers.keys() {
            let latest = NodeId::of(*slot, image.latest_incarnation(*slot));
            let was_let_go = image.unregistered(*slot).is_some_and(|last| latest.incarnation() <= last);
            if !was_let_go && !is_settled(&membership, latest, config) {
                self.spawn(self.clone().take_in(latest));
            }
        }
    }
}

/// Whether `node` is the only one of its slot in the quorum, and votes if it is to.
fn is_settled(membership: &Membership, node: NodeId, config: &crate::Config) -> bool {
    let mut of_slot = membership.members().keys().filter(|id| id.slot() == node.slot());
    let is_only = of_slot.clone().any(|id| *id == node) && of_slot.all(|id| *id == node);
    let lacks_vote = voters(config).contains_key(&first_node(node.slot())) && !membership.is_voter(node);
    is_only && !(lacks_vote && membership.voters().len() < votes(config))
}
