//! Making an assignment of the council real.

use super::ControlError;
use super::worker::Worker;
use crate::controller::ChangeError;
use broker_core::metadata::{Answer, Command, Refusal, reconcile};
use model::Assignment;

/// More rounds than any assignment needs: each round proposes what is still missing.
const ROUNDS_MAX: usize = 8;

impl Worker {
    /// Makes `assignment` real.
    pub(super) async fn assign(&mut self, assignment: &Assignment) -> Result<(), ControlError> {
        self.found(assignment).await?;
        if self.broker.0.heart.session().is_none() {
            self.register().await?;
        }
        self.create_own_topics(assignment.groups.iter().any(|grant| grant.active.is_some())).await?;
        let (mut before, mut refused) = (Vec::new(), None);
        for _ in 0..ROUNDS_MAX {
            let commands = reconcile(&self.controller.image(), assignment, self.broker.0.config.broker_count());
            if commands.is_empty() {
                return self.check_brokers(assignment);
            }
            if commands == before {
                break;
            }
            // What cannot be made now, for example a name that is taken until a deletion is done, comes in a later round.
            refused = None;
            for command in &commands {
                refused = refused.or(self.propose_part(command).await?);
            }
            self.catch_up().await?;
            before = commands;
        }
        let reason = refused.map_or_else(|| "it needs more rounds".to_owned(), |refusal| refusal.to_string());
        Err(ControlError(format!("a part of the assignment cannot be made real: {reason}")))
    }

    /// Topics wait until there are brokers for all of their replicas.
    fn check_brokers(&self, assignment: &Assignment) -> Result<(), ControlError> {
        let image = self.controller.image();
        let is_missing = assignment.council_index >= image.council_index()
            && assignment.topics.iter().any(|topic| image.topic(topic.id).is_none());
        let (registered, wanted) = (image.brokers().count(), self.broker.0.config.broker_count());
        if is_missing && registered < wanted {
            return Err(ControlError(format!("topics wait for brokers: {registered} of {wanted} have registered")));
        }
        Ok(())
    }

    /// Names the region, or refuses to work on what another one has left.
    async fn found(&self, assignment: &Assignment) -> Result<(), ControlError> {
        let (region, incarnation) = (assignment.region.clone(), assignment.incarnation);
        let image = self.controller.image();
        let is_known = image.region().is_some_and(|known| known.name == region && known.incarnation == incarnation);
        if !is_known {
            self.controller.propose(&Command::Found { region, incarnation }).await?;
            self.catch_up().await?;
        }
        Ok(())
    }

    /// Proposes a part of an assignment; gives why the metadata refuses it, or some of it.
    async fn propose_part(&self, command: &Command) -> Result<Option<Refusal>, ControlError> {
        match self.controller.propose(command).await {
            Ok(Answer::Started(started)) => Ok(started.into_iter().find_map(Result::err)),
            Ok(_) => Ok(None),
            Err(ChangeError::Refused(refusal)) => {
                tracing::debug!(%refusal, "a part of the assignment waits");
                Ok(Some(refusal))
            }
            Err(error @ (ChangeError::Quorum(_) | ChangeError::Behind(_))) => Err(error.into()),
        }
    }
}
