//! The active controller: the broker whose node leads the quorum judges who is alive, and has leaders elected.

use super::calls::encode;
use super::{Controller, Question, Reply};
use crate::Broker;
use broker_core::liveness::{Change, Heartbeat, Liveness, Tail, Turn, Verdict, choose, command, tails_wanted};
use broker_core::metadata::{self, Choice, Command};
use model::BrokerSlot;
use quorum::Tenure;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// How long an election waits for the tails of the brokers that could lead. Who does not answer is not preferred.
const TAILS_WAIT: Duration = Duration::from_millis(250);

/// The judgement of this broker's controller, while it is the active one.
#[derive(Default)]
pub(crate) struct Office(Mutex<Option<Liveness>>);

impl Office {
    fn holder(&self) -> MutexGuard<'_, Option<Liveness>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Broker {
    /// Holds the controller's office whenever this broker's node leads the quorum, until the broker stops.
    pub(crate) async fn hold_office(self) {
        let (mut stop, mut leadership) = (self.0.stop.subscribe(), self.control().controller().leadership());
        loop {
            let tenure = leadership.borrow_and_update().tenure;
            let holding = async {
                match tenure {
                    Some(tenure) => self.hold(tenure).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = holding => {}
                changed = leadership.wait_for(|now| now.tenure != tenure) => if changed.is_err() { return },
                () = crate::listener::stopped(&mut stop) => return,
            }
            *self.0.office.holder() = None;
        }
    }

    /// The time of one tenure; dropped when that is over.
    async fn hold(&self, tenure: Tenure) {
        let controller = self.control().controller();
        let timing = self.0.config.liveness;
        let reign = controller.reign(tenure.term);
        while let Err(error) = controller.propose(&Command::TakeOffice { reign }).await {
            tracing::debug!(%error, "the controller's office is not taken yet");
            sleep(timing.tick()).await;
        }
        tracing::info!(term = tenure.term, "this broker's controller is active");
        self.take_in_missing();
        *self.0.office.holder() = Some(Liveness::begin(timing, reign, tenure.since.since_boot()));
        self.succeed(tenure).await;
        tokio::join!(self.look_after(controller, reign), self.empty_brokers(controller));
    }

    /// Fences who is silent, and lets in who is ready, again and again.
    async fn look_after(&self, controller: &Controller, reign: metadata::Reign) {
        let mut ticks = interval(self.0.config.liveness.tick());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let (now, image) = (self.0.clock.boot().since_boot(), controller.image());
            let changes = self.0.office.holder().as_mut().map_or_else(Vec::new, |judge| judge.on_tick(now, &image));
            for change in changes {
                self.make_change(controller, reign, change).await;
            }
            if let Some(rules) = controller.image().rules_due(reign)
                && let Err(error) = controller.propose(&rules).await
            {
                tracing::debug!(%error, "the region does not go by newer rules yet");
            }
        }
    }

    /// Learns since when the controller before is silent, so that its broker is not waited for longer than any other.
    async fn succeed(&self, tenure: Tenure) {
        let Some((slot, silent_since)) =
            self.control().controller().predecessor(tenure, self.0.config.liveness.heartbeat()).await
        else {
            return;
        };
        tracing::info!(broker = slot.0, "the controller of this broker was active before");
        if let Some(judge) = self.0.office.holder().as_mut() {
            judge.succeed(slot, silent_since.since_boot());
        }
    }

    async fn make_change(&self, controller: &Controller, reign: metadata::Reign, change: Change) {
        let choices = match change {
            Change::Fence { broker, .. } => self.choices(controller, broker).await,
            Change::Unfence { .. } => vec![],
        };
        match controller.propose(&command(reign, change, choices)).await {
            Ok(_) => tracing::info!(?change, "membership changed"),
            Err(error) => tracing::warn!(?change, %error, "membership is not changed yet"),
        }
    }

    /// Who is to lead what the broker in `leaving` leads, after a look at the logs of those that could.
    pub(crate) async fn choices(&self, controller: &Controller, leaving: BrokerSlot) -> Vec<Choice> {
        let image = controller.image();
        let mut asked = JoinSet::new();
        for (slot, wanted) in tails_wanted(&image, leaving) {
            let (controller, question) = (controller.clone(), encode(&Question::Tails(wanted)));
            asked.spawn(async move { (slot, controller.ask(slot, question, TAILS_WAIT).await) });
        }
        let mut tails: BTreeMap<BrokerSlot, Vec<Tail>> = BTreeMap::new();
        while let Some(answer) = asked.join_next().await {
            if let Ok((slot, Ok(Reply::Tails(of_slot)))) = answer {
                tails.insert(slot, of_slot);
            }
        }
        choose(&image, leaving, &tails)
    }

    /// Tells a broker whether it is alive, if this broker's controller is the active one: which is confirmed after the
    /// question came.
    pub(super) async fn judge(&self, beat: Heartbeat) -> Reply {
        let (controller, heard_at) = (self.control().controller(), self.0.clock.boot().since_boot());
        let tenure = controller.leadership().borrow().tenure;
        let not_active = || Reply::Unavailable("this controller is not the active one".to_owned());
        let Some(tenure) = tenure else { return not_active() };
        let confirmed = timeout(self.0.config.liveness.lease(), controller.catch_up()).await;
        if !matches!(confirmed, Ok(Ok(()))) || controller.leadership().borrow().tenure != Some(tenure) {
            return not_active();
        }
        let image = controller.image();
        let mut office = self.0.office.holder();
        match office.as_mut().filter(|judge| judge.reign().term == tenure.term) {
            Some(judge) => {
                let turn = Turn { heard_at, answered_at: self.0.clock.boot().since_boot() };
                Reply::Verdict(judge.on_heartbeat(turn, &image, beat))
            }
            None => not_active(),
        }
    }
}

impl Reply {
    /// The verdict, if it is one.
    pub(crate) fn verdict(self) -> Result<Verdict, String> {
        match self {
            Self::Verdict(verdict) => Ok(verdict),
            Self::Unavailable(reason) => Err(reason),
            other => Err(format!("an answer to something else: {other:?}")),
        }
    }
}
