//! Brokers that are emptied, and those that were unregistered, as the active controller goes on with them.

use super::{ChangeError, Controller, join};
use crate::Broker;
use broker_core::metadata::{Command, Image};
use model::limits::DRAIN_MOVES_MAX;
use quorum::{MemberError, Membership, NodeId};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::sleep;

/// How long the quorum may take to change who belongs to it.
const CHANGE_MAX: Duration = Duration::from_secs(10);

/// How long to wait before what could not be agreed on is tried again.
const RETRY: Duration = Duration::from_millis(100);

impl Broker {
    /// Begins what has to move next from brokers that are emptied, and lets nodes of brokers go that were unregistered,
    /// whenever the metadata has changed. It never ends.
    pub(super) async fn empty_brokers(&self, controller: &Controller) {
        let mut images = controller.watch();
        loop {
            let image = images.borrow_and_update().clone();
            let done = async {
                self.begin_moves(controller, &image).await.map_err(|error| error.to_string())?;
                self.release_nodes(controller, &image).await.map_err(|error| error.to_string())
            };
            if let Err(error) = done.await {
                tracing::warn!(error, "what brokers that go leave behind is not dealt with yet");
                sleep(RETRY).await;
            } else if images.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    async fn begin_moves(&self, controller: &Controller, image: &Image) -> Result<(), ChangeError> {
        let moves = image.drain_moves(DRAIN_MOVES_MAX);
        if moves.is_empty() {
            return Ok(());
        }
        tracing::info!(partitions = moves.len(), "partitions leave a broker that is emptied");
        controller.propose(&Command::Reassign { moves }).await.map(drop)
    }

    /// Takes nodes of brokers that were unregistered out of the quorum. Another node gets the vote of one that had it.
    async fn release_nodes(&self, controller: &Controller, image: &Image) -> Result<(), MemberError> {
        let quorum = &controller.quorum;
        let is_gone = |id: &NodeId| image.unregistered(id.slot()).is_some_and(|last| id.incarnation() <= last);
        let gone: BTreeSet<_> = quorum.membership().members().keys().copied().filter(is_gone).collect();
        if gone.is_empty() {
            return Ok(());
        }
        let membership = quorum.membership();
        let fit = |id: &NodeId| image.is_unfenced(id.slot());
        let votes = join::votes(&self.0.config);
        let voters = voters_without(&membership, &gone, votes, fit);
        if voters != membership.voters() {
            quorum.change_voters(voters, CHANGE_MAX).await?;
        }
        for id in gone.into_iter().filter(|id| quorum.membership().members().contains_key(id)) {
            quorum.remove_learner(id, CHANGE_MAX).await?;
            tracing::info!(%id, "the node of an unregistered broker was let go");
        }
        Ok(())
    }
}

/// The nodes that vote once those in `gone` do not: up to as many as are to have `votes`, of those that listen and are
/// `fit` the first.
fn voters_without(
    membership: &Membership,
    gone: &BTreeSet<NodeId>,
    votes: usize,
    fit: impl Fn(&NodeId) -> bool,
) -> BTreeSet<NodeId> {
    let mut voters: BTreeSet<_> = membership.voters().difference(gone).copied().collect();
    let others: Vec<_> = membership
        .members()
        .keys()
        .copied()
        .filter(|id| !voters.contains(id) && !gone.contains(id) && fit(id))
        .collect();
    let missing = votes.saturating_sub(voters.len());
    voters.extend(others.into_iter().take(missing));
    voters
}
