//! Carrying out one command of a run: an order, an entry of the council, a wait, a canary.

use super::Executor;
use crate::council::{Call, CallFailed, CouncilError, Reply};
use catalog::{Answer, Change};
use dr_planner::plan::Action;
use dr_planner::run::{Command, CouncilAction, Effect, Happened, Output};
use model::{Order, OrderError, ProtectionGroup, RegionName, Timestamp};
use std::time::Duration;
use tokio::time::timeout;

/// A command that was not carried out, or nobody knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) error: String,
    pub(super) retryable: bool,
    pub(super) happened: Happened,
}

impl Failure {
    fn refused(error: impl ToString) -> Self {
        Self { error: error.to_string(), retryable: false, happened: Happened::No }
    }

    fn not_done(error: impl ToString) -> Self {
        Self { error: error.to_string(), retryable: true, happened: Happened::No }
    }

    fn unknown(error: impl ToString) -> Self {
        Self { error: error.to_string(), retryable: true, happened: Happened::Unknown }
    }
}

impl From<CallFailed> for Failure {
    fn from(failed: CallFailed) -> Self {
        if failed.may_have_happened { Self::unknown(failed) } else { Self::not_done(failed) }
    }
}

impl From<OrderError> for Failure {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::Outdated { .. } => Self::refused(error),
            OrderError::NotReady { .. } => Self::not_done(error),
            // It tried: some of it may be there.
            OrderError::Failed { .. } | OrderError::Unknown { .. } => Self::unknown(error),
        }
    }
}

impl From<CouncilError> for Failure {
    fn from(error: CouncilError) -> Self {
        match error {
            CouncilError::Refused(_) => Self::refused(error),
            CouncilError::NotDone(_) => Self::not_done(error),
            CouncilError::Unknown(_) => Self::unknown(error),
        }
    }
}

impl Executor {
    /// Carries out `command`, within its time.
    pub(super) async fn carry_out(&self, command: &Command) -> Result<Output, Failure> {
        let within = command.timeout;
        let done = timeout(within, self.act(command)).await;
        done.unwrap_or_else(|_| Err(Failure::unknown(format!("no answer within {} ms", within.as_millis()))))
    }

    async fn act(&self, command: &Command) -> Result<Output, Failure> {
        match &command.effect {
            Effect::Order { region, order } => self.order(region, order.clone(), command.timeout).await,
            Effect::Council { action } => self.decide(command, action.clone()).await,
            Effect::WaitOutLease { group, wait } => self.wait_out(group, *wait).await,
            Effect::Canary { group, region } => self.canary(group, region).await,
            Effect::Simulate { action } => self.simulate(action).await,
        }
    }

    async fn order(&self, region: &RegionName, order: Order, within: Duration) -> Result<Output, Failure> {
        match self.council.call_region(region, &Call::Order(order), within).await? {
            Reply::Order(done) => Ok(Output::from(done?)),
            other => Err(unexpected(&other)),
        }
    }

    async fn decide(&self, command: &Command, action: CouncilAction) -> Result<Output, Failure> {
        let change = Change::of_step(command.run.clone(), command.token.clone(), action.clone());
        let answer = self.council.propose(&self.by(), change).await?;
        match (action, answer) {
            (CouncilAction::Revoke { .. } | CouncilAction::Regrant { .. }, Answer::Grant { .. }) => Ok(Output::Done),
            (CouncilAction::Pivot { .. }, Answer::Grant { grant }) => {
                Ok(Output::Pivoted { ownership_epoch: grant.ownership_epoch, openings: grant.openings })
            }
            (CouncilAction::Redirect { .. }, Answer::Route { route_epoch }) => Ok(Output::Redirected { route_epoch }),
            (_, other) => Err(Failure::unknown(format!("the council answered {other:?}"))),
        }
    }

    async fn wait_out(&self, group: &ProtectionGroup, wait: Duration) -> Result<Output, Failure> {
        if !self.council.ledger().wait_out(group, wait).await {
            return Err(Failure::not_done("this node does not lead the council any more"));
        }
        // No renewal was answered after this instant, nor by an earlier leader.
        let until = self.ports.clock.now();
        let counted_from = Timestamp(until.0.saturating_sub(wait.as_millis() as i64));
        Ok(Output::LeaseOver { counted_from, until })
    }

    async fn canary(&self, group: &ProtectionGroup, region: &RegionName) -> Result<Output, Failure> {
        let view = self.council.view();
        let region = view.region(region).ok_or_else(|| Failure::not_done(format!("there is no region {region}")))?;
        let passed = self.ports.canary.pass(group, &region.address.gateways).await.map_err(Failure::unknown)?;
        Ok(Output::Canary { produced_at: passed.produced_at, consumed_at: passed.consumed_at })
    }

    /// Whether what a drill would do could be done: the council decides and the region answers.
    async fn simulate(&self, action: &Action) -> Result<Output, Failure> {
        match acting_region(action) {
            Some(region) => {
                self.council.call_region(region, &Call::Ping, PING_TIMEOUT).await?;
            }
            None => {
                self.council.confirm_leadership().await.map_err(Failure::not_done)?;
            }
        }
        Ok(Output::Simulated)
    }
}

const PING_TIMEOUT: Duration = Duration::from_secs(2);

fn acting_region(action: &Action) -> Option<&RegionName> {
    match action {
        Action::Collect { region, .. }
        | Action::Seal { region }
        | Action::Unseal { region }
        | Action::StopWrites { region }
        | Action::ResumeWrites { region }
        | Action::CatchUp { region }
        | Action::Open { region, .. }
        | Action::Verify { region } => Some(region),
        Action::Revoke
        | Action::Regrant
        | Action::WaitOutLease { .. }
        | Action::Pivot { .. }
        | Action::Redirect { .. } => None,
    }
}

fn unexpected(reply: &Reply) -> Failure {
    Failure::unknown(format!("an order was answered with {reply:?}"))
}
