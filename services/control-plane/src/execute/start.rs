//! What people ask for: a move of a group, only its plan, the end of a run.

use super::reports::compute;
use crate::council::{Call, Council, CouncilError, Reply};
use crate::observe::Picture;
use crate::ports::Ports;
use catalog::command::{AppendRunEvent, PutSetting, StartRun};
use catalog::{CatalogError, Refusal, View};
use dr_planner::assess::{Assessment, Choice, Choosable, assess};
use dr_planner::audit::audit;
use dr_planner::health::Detection;
use dr_planner::plan::{Kind, Plan, PlanId, Refused, Request, Trigger, build};
use dr_planner::policy;
use dr_planner::report::Report;
use dr_planner::run::{Cancel, Event, IllegalTransition, Machine};
use env::Entropy;
use futures::future::join_all;
use model::{ProtectionGroup, RegionName, RunId, Timestamp};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long the leader may take to show its picture.
const PICTURE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long to wait before it is asked again.
const PICTURE_RETRY: Duration = Duration::from_millis(100);
/// How long a region may take to say how its copies are.
const LINKS_TIMEOUT: Duration = Duration::from_millis(500);
/// How often an event is tried again that another one came before.
const EVENT_ATTEMPTS: u32 = 10;

/// Moves of protection groups, on any node.
#[derive(Clone)]
pub struct Recovery {
    council: Council,
    ports: Ports,
}

/// A move somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Of this group.
    pub group: ProtectionGroup,
    /// What kind of move.
    pub kind: Kind,
    /// Where to; `None` is the first standby that can take over.
    pub target: Option<RegionName>,
    /// Who or what wants it.
    pub trigger: Trigger,
    /// Why, for people.
    pub reason: String,
    /// Whether a failover may go to copies that are no standby.
    pub accept_unusable: bool,
}

/// A plan that has not been started, and what it would cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// The plan.
    pub plan: Plan,
    /// Everything that could be done.
    pub assessment: Assessment,
}

impl Draft {
    /// What the plan would cost.
    pub fn choice(&self) -> Option<&Choice> {
        let plan = &self.plan;
        self.assessment.choices.iter().find(|choice| match &choice.option {
            Choosable::Move { kind, target } => {
                kind.is_unplanned() == plan.kind.is_unplanned() && *target == plan.target
            }
            Choosable::Wait => false,
        })
    }
}

/// Why nothing was started or changed.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The leader does not say what it sees. Nothing happened.
    #[error("the council's leader does not say how the platform is: {0}; try again")]
    NoPicture(String),
    /// No such group.
    #[error("there is no protection group {0}")]
    UnknownGroup(ProtectionGroup),
    /// There is nothing to move.
    #[error("protection group {0} is active-active: every region takes its writes already, and nothing of it is moved")]
    NothingMoves(ProtectionGroup),
    /// No such run.
    #[error("there is no run {0}")]
    UnknownRun(RunId),
    /// It cannot be done, and why.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The plan breaks a rule; that is a mistake of the planner.
    #[error("the plan breaks a rule and is not run: {0}")]
    Unsound(String),
    /// The run is past that, or not there yet.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// The council refused, or did not answer.
    #[error(transparent)]
    Council(#[from] CouncilError),
    /// The catalog cannot be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl Recovery {
    /// Moves by way of this node.
    pub fn new(council: Council, ports: Ports) -> Self {
        Self { council, ports }
    }

    /// What the leader sees: facts, health, and why nothing is done automatically.
    ///
    /// # Errors
    /// [`RecoveryError::NoPicture`] when there is no leader for a while.
    pub async fn picture(&self) -> Result<Picture, RecoveryError> {
        let deadline = Instant::now() + PICTURE_TIMEOUT;
        loop {
            let why = match self.council.call_leader(&Call::Picture, PICTURE_TIMEOUT).await {
                Ok(Reply::Picture(picture)) => return Ok(*picture),
                Ok(other) => format!("it answered {other:?}"),
                Err(error) => error.what,
            };
            if Instant::now() >= deadline {
                return Err(RecoveryError::NoPicture(why));
            }
            sleep(PICTURE_RETRY).await;
        }
    }

    /// The same, with what regions that are there say of their copies now: a decision must not rest on how a copy was a
    /// moment ago. A region that does not answer at once is taken as the leader sees it.
    async fn picture_of_now(&self) -> Result<Picture, RecoveryError> {
        let mut picture = self.picture().await?;
        let inventory = &picture.inventory;
        let there: Vec<RegionName> = inventory.recent_regions().map(|facts| facts.region.clone()).collect();
        let asked = there.iter().map(|region| self.council.call_region(region, &Call::Links, LINKS_TIMEOUT));
        for (region, reply) in there.iter().zip(join_all(asked).await) {
            match reply {
                Ok(Reply::Links(links)) => picture.inventory.relink(region, &links),
                Ok(other) => tracing::warn!(%region, ?other, "a question about links was answered with something else"),
                Err(error) => tracing::debug!(%region, %error, "no answer about links"),
            }
        }
        Ok(picture)
    }

    /// What could be done about a group, and what each option would cost.
    ///
    /// # Errors
    /// [`RecoveryError`] when nothing is known of it.
    pub async fn assess(&self, group: &ProtectionGroup) -> Result<Assessment, RecoveryError> {
        let picture = self.picture_of_now().await?;
        weigh(&picture, &self.policy(group)?)
    }

    /// The plan of a move, without starting it.
    ///
    /// # Errors
    /// [`RecoveryError::Refused`] names every reason why it cannot be done.
    pub async fn draft(&self, wish: Wish) -> Result<Draft, RecoveryError> {
        self.draft_as(new_plan_id(&*self.ports.entropy), wish).await
    }

    pub(crate) async fn draft_as(&self, id: PlanId, wish: Wish) -> Result<Draft, RecoveryError> {
        let (picture, policy) = (self.picture_of_now().await?, self.policy(&wish.group)?);
        if policy.active_active.is_some() {
            return Err(RecoveryError::NothingMoves(policy.name));
        }
        let last = self.council.reader().newest_plan(&wish.group).await?;
        let request = Request {
            id,
            parent: last.as_ref().map(|plan| plan.id.clone()),
            generation: last.as_ref().map_or(1, |plan| plan.generation + 1),
            incident_at: lost_since(&picture, &policy.name),
            accept_unusable: wish.accept_unusable,
            kind: wish.kind,
            target: wish.target,
            trigger: wish.trigger,
            reason: wish.reason,
        };
        let plan = build(&picture.inventory, &policy, request, self.ports.clock.now())?;
        let findings: Vec<_> = audit(&plan, &picture.inventory, &policy).iter().map(ToString::to_string).collect();
        if !findings.is_empty() {
            return Err(RecoveryError::Unsound(findings.join("; ")));
        }
        Ok(Draft { assessment: weigh(&picture, &policy)?, plan })
    }

    /// Starts a run of a plan.
    ///
    /// # Errors
    /// [`RecoveryError::Council`] when the group has moved since, or has a run in progress.
    pub async fn start(&self, plan: Plan, by: &str) -> Result<RunId, RecoveryError> {
        let run = run_of(plan.kind, &plan.id);
        self.council.propose(by, StartRun { run: run.clone(), plan_digest: plan.digest(), plan }).await?;
        Ok(run)
    }

    /// Cuts a group over to another region now; what that one lacks is lost, and declared.
    ///
    /// # Errors
    /// [`RecoveryError`] says why nothing was started.
    pub async fn start_failover(
        &self,
        group: &ProtectionGroup,
        target: Option<RegionName>,
        by: &str,
        reason: &str,
    ) -> Result<RunId, RecoveryError> {
        self.start_move(wish(group, Kind::Failover, target, by, reason), by).await
    }

    /// Cuts a group over to another region once that one has everything.
    ///
    /// # Errors
    /// [`RecoveryError`] says why nothing was started.
    pub async fn start_switchover(
        &self,
        group: &ProtectionGroup,
        target: Option<RegionName>,
        by: &str,
        reason: &str,
    ) -> Result<RunId, RecoveryError> {
        self.start_move(wish(group, Kind::Switchover, target, by, reason), by).await
    }

    /// Cuts a group over to its home once that has everything.
    ///
    /// # Errors
    /// [`RecoveryError`] says why nothing was started.
    pub async fn start_failback(
        &self,
        group: &ProtectionGroup,
        by: &str,
        reason: &str,
    ) -> Result<RunId, RecoveryError> {
        self.start_move(wish(group, Kind::Failback, None, by, reason), by).await
    }

    async fn start_move(&self, wish: Wish, by: &str) -> Result<RunId, RecoveryError> {
        let draft = self.draft(wish).await?;
        self.start(draft.plan, by).await
    }

    /// Ends a run: undoes what it did, or gives it up as it is.
    ///
    /// # Errors
    /// [`RecoveryError::Illegal`] when it has ended, or is past the point where it could be undone.
    pub async fn cancel(&self, run: &RunId, how: Cancel, reason: &str, by: &str) -> Result<(), RecoveryError> {
        self.add_event(run, Event::CancelRequested { reason: reason.to_owned(), how }, by).await
    }

    /// Has a run start nothing new.
    ///
    /// # Errors
    /// [`RecoveryError::Illegal`] when it has ended or is paused.
    pub async fn pause(&self, run: &RunId, reason: &str, by: &str) -> Result<(), RecoveryError> {
        self.add_event(run, Event::Paused { reason: reason.to_owned() }, by).await
    }

    /// Has a paused run go on.
    ///
    /// # Errors
    /// [`RecoveryError::Illegal`] when it is not paused.
    pub async fn resume(&self, run: &RunId, by: &str) -> Result<(), RecoveryError> {
        self.add_event(run, Event::Resumed, by).await
    }

    /// Adds `event` behind whatever the executor writes meanwhile.
    async fn add_event(&self, run: &RunId, event: Event, by: &str) -> Result<(), RecoveryError> {
        for _ in 0..EVENT_ATTEMPTS {
            let linearizable = self.council.ensure_linearizable().await;
            linearizable.map_err(|error| CouncilError::NotDone(error.to_string()))?;
            let stored = self.council.reader().run(run).await?;
            let stored = stored.ok_or_else(|| RecoveryError::UnknownRun(run.clone()))?;
            Machine::from_events(stored.plan, &stored.entries)?.check(&event)?;
            let append = AppendRunEvent { run: run.clone(), seq: stored.entries.len() as u64, event: event.clone() };
            match self.council.propose(by, append).await {
                Err(CouncilError::Refused(Refusal::OtherEvent { .. })) => {}
                done => return Ok(done.map(|_| ())?),
            }
        }
        let busy = format!("run {run} goes on too fast; try again");
        Err(CouncilError::NotDone(busy).into())
    }

    /// What a run cost: as it is stored, or, where it is not yet, as far as is known now.
    ///
    /// # Errors
    /// [`RecoveryError::UnknownRun`] when there is none.
    pub async fn report(&self, run: &RunId) -> Result<Report, RecoveryError> {
        if let Some(stored) = self.council.reader().report(run).await? {
            return Ok(stored.report);
        }
        let computed = compute(&self.council, run, None, None).await?;
        computed.ok_or_else(|| RecoveryError::UnknownRun(run.clone()))
    }

    /// A person has looked at what was done automatically about a group; it blocks nothing any more.
    ///
    /// # Errors
    /// [`RecoveryError::UnknownGroup`] and what the council says.
    pub async fn acknowledge(&self, group: &ProtectionGroup, by: &str) -> Result<(), RecoveryError> {
        self.policy(group)?;
        let value = self.ports.clock.now().0.into();
        let change = PutSetting { name: acknowledgement_setting(group), value, expected: None };
        self.council.propose(by, change).await?;
        Ok(())
    }

    fn policy(&self, group: &ProtectionGroup) -> Result<policy::Group, RecoveryError> {
        let view = self.council.view();
        let known = view.group(group).map(|group| group.policy.clone());
        known.ok_or_else(|| RecoveryError::UnknownGroup(group.clone()))
    }
}

fn wish(group: &ProtectionGroup, kind: Kind, target: Option<RegionName>, by: &str, reason: &str) -> Wish {
    let (trigger, reason) = (Trigger::Manual { by: by.to_owned() }, reason.to_owned());
    Wish { group: group.clone(), kind, target, trigger, reason, accept_unusable: false }
}

fn weigh(picture: &Picture, policy: &policy::Group) -> Result<Assessment, RecoveryError> {
    assess(&picture.inventory, policy).map_err(|_| RecoveryError::UnknownGroup(policy.name.clone()))
}

/// The last good sign of the group's owner, if it is silent.
fn lost_since(picture: &Picture, group: &ProtectionGroup) -> Option<Timestamp> {
    let owner = &picture.inventory.grant(group)?.owner;
    let health = picture.regions.iter().find(|health| health.region == *owner)?;
    match health.detection {
        Detection::Lost { last_sign } => Some(last_sign),
        _ => None,
    }
}

/// A name no other plan has.
pub(crate) fn new_plan_id(entropy: &dyn Entropy) -> PlanId {
    PlanId(format!("plan-{:012x}", entropy.next_u64() >> 16))
}

/// The name of the run of a plan. A plan is run once.
pub(crate) fn run_of(kind: Kind, plan: &PlanId) -> RunId {
    let unique = plan.0.strip_prefix("plan-").unwrap_or(&plan.0);
    RunId::new(format!("{kind}-{unique}")).expect("a kind and hexadecimal digits are a name")
}

fn acknowledgement_setting(group: &ProtectionGroup) -> String {
    format!("automation.acknowledged.{group}")
}

/// When a person last said that what was done automatically about the group is in order.
pub(crate) fn acknowledgement(view: &View, group: &ProtectionGroup) -> Option<Timestamp> {
    let setting = view.settings.get(&acknowledgement_setting(group))?;
    setting.value.as_i64().map(Timestamp)
}
