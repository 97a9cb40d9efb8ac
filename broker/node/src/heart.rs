//! This broker's membership of its region: it says that it is alive, and knows until when it may take itself for it.

use crate::Broker;
use crate::controller::Question;
use broker_core::liveness::{Consequence, Heartbeat, Verdict, Word};
use broker_core::metadata::{BrokerEpoch, Image};
use env::BootInstant;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How long a broker that stops waits for others to lead what it led.
const LEAVE_MAX: Duration = Duration::from_secs(3);

/// Until when this broker may take itself for a member that leads: past that, another broker may lead instead.
///
/// It is counted from before the active controller was asked, so that no two clocks are compared.
#[derive(Debug)]
pub(crate) struct Footing {
    /// Nanoseconds on the boot clock.
    until: AtomicU64,
    /// It never stands again.
    given_up: AtomicBool,
}

impl Footing {
    /// Of a broker that has to be told first.
    pub(crate) fn lost() -> Self {
        Self::until(0)
    }

    /// Of a broker that is its region: nobody else could lead.
    pub(crate) fn firm() -> Self {
        Self::until(u64::MAX)
    }

    fn until(nanos: u64) -> Self {
        Self { until: AtomicU64::new(nanos), given_up: AtomicBool::new(false) }
    }

    /// It stands until then; an earlier end than the one known changes nothing.
    fn extend(&self, until: BootInstant) {
        self.until.fetch_max(nanos(until), Ordering::SeqCst);
        if self.given_up.load(Ordering::SeqCst) {
            self.end();
        }
    }

    /// It is over for good.
    fn give_up(&self) {
        self.given_up.store(true, Ordering::SeqCst);
        self.end();
    }

    /// It is over at once.
    fn end(&self) {
        self.until.store(0, Ordering::SeqCst);
    }

    /// Whether it stands at `now`.
    pub(crate) fn stands(&self, now: BootInstant) -> bool {
        self.left(now).is_some()
    }

    /// For how long it still stands at `now`, unless it is extended; `None` once it is lost.
    pub(crate) fn left(&self, now: BootInstant) -> Option<Duration> {
        let left = self.until.load(Ordering::SeqCst).checked_sub(nanos(now))?;
        (left > 0).then(|| Duration::from_nanos(left))
    }
}

fn nanos(instant: BootInstant) -> u64 {
    u64::try_from(instant.since_boot().as_nanos()).unwrap_or(u64::MAX - 1)
}

/// This broker's session in its region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    /// Its number.
    pub(crate) epoch: BrokerEpoch,
    /// Whether the metadata was made real in it.
    pub(crate) ready: bool,
}

/// What this broker knows of its membership.
#[derive(Debug)]
pub(crate) struct Heart {
    session: watch::Sender<Option<Session>>,
    /// Rings when it should be heard of at once.
    sooner: Notify,
    /// Whether it wants to stop.
    leaving: watch::Sender<bool>,
    /// Whether it was told that its session is over since it said that it wants to stop.
    left: watch::Sender<bool>,
}

impl Default for Heart {
    fn default() -> Self {
        Self {
            session: watch::Sender::new(None),
            sooner: Notify::new(),
            leaving: watch::Sender::new(false),
            left: watch::Sender::new(false),
        }
    }
}

impl Heart {
    /// The current session begins, or becomes ready.
    pub(crate) fn set(&self, session: Session) {
        self.session.send_replace(Some(session));
    }

    /// The current session, once there is one.
    pub(crate) fn session(&self) -> Option<Session> {
        *self.session.borrow()
    }
}

impl Broker {
    /// Has this broker heard of at once, if `image` lets it in and it was not told so yet.
    pub(crate) fn note_admission(&self, image: &Image) {
        let session = self.0.heart.session().map(|session| session.epoch);
        let known = image.broker(self.0.config.slot).filter(|known| Some(known.session) == session);
        if known.is_some_and(|known| !known.is_fenced()) && !self.0.gates.footing().stands(self.0.clock.boot()) {
            self.0.heart.sooner.notify_one();
        }
    }

    /// Says that this broker is alive, again and again until it stops.
    pub(crate) async fn beat(self) {
        let mut stop = self.0.stop.subscribe();
        let mut leaving = self.0.heart.leaving.subscribe();
        let mut sessions = self.0.heart.session.subscribe();
        let mut answered = None;
        let mut ticks = interval(self.0.config.liveness.heartbeat());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.0.heart.sooner.notified() => {}
                changed = sessions.changed() => if changed.is_err() { return },
                changed = leaving.changed() => if changed.is_err() { return },
                () = crate::listener::stopped(&mut stop) => return,
            }
            if let Some(session) = self.0.heart.session() {
                let now = self.0.clock.boot();
                let known = answered.filter(|(epoch, _): &(BrokerEpoch, BootInstant)| *epoch == session.epoch);
                let since = known.map_or(now, |(_, at)| at);
                let unanswered = now.since_boot().saturating_sub(since.since_boot());
                let is_answered = self.beat_once(session, unanswered).await;
                answered = Some((session.epoch, if is_answered { self.0.clock.boot() } else { since }));
            }
        }
    }

    /// Says once that it is alive, having heard no verdict for `unanswered`; whether it hears one now.
    async fn beat_once(&self, session: Session, unanswered: Duration) -> bool {
        let stopping = *self.0.heart.leaving.borrow();
        let asked_at = self.0.clock.boot();
        let (slot, ready) = (self.0.config.slot, session.ready);
        let beat = Heartbeat { slot, session: session.epoch, ready, stopping, unanswered };
        let timing = self.0.config.liveness;
        let answer = self.control().controller().ask_active(&Question::Heartbeat(beat), timing.heartbeat() * 2).await;
        match answer.map_err(|error| error.to_string()).and_then(crate::controller::Reply::verdict) {
            Ok(verdict) => self.obey(verdict, session, asked_at).await,
            Err(error) => {
                tracing::debug!(error, "the active controller did not answer a heartbeat");
                return false;
            }
        }
        true
    }

    /// Does what follows from a verdict on the word that was said at `asked_at` in `asked`.
    async fn obey(&self, verdict: Verdict, asked: Session, asked_at: BootInstant) {
        let (session, stopping) = (self.0.heart.session().map(|known| known.epoch), *self.0.heart.leaving.borrow());
        let word = Word { session: asked.epoch, said_at: asked_at.since_boot() };
        match word.consequence(verdict, self.0.config.liveness, session, stopping) {
            Consequence::StandsUntil(until) => self.0.gates.footing().extend(BootInstant::after_boot(until)),
            Consequence::Unchanged => {}
            Consequence::RegisterAgain => self.begin_again(asked).await,
            Consequence::MayGo => _ = self.0.heart.left.send_replace(true),
        }
    }

    /// Registers again after this broker was fenced.
    async fn begin_again(&self, over: Session) {
        self.0.gates.footing().end();
        tracing::warn!(session = %over.epoch, "this broker was fenced; it registers again");
        if let Err(error) = self.control().begin_session(over.epoch).await {
            tracing::warn!(%error, "this broker cannot register again yet");
        }
    }

    /// Hands over what this broker leads: it acknowledges nothing from now on, and waits until others lead.
    pub(crate) async fn leave(&self) {
        if !self.0.config.is_clustered() || self.0.heart.session().is_none() {
            return;
        }
        self.0.gates.footing().give_up();
        let mut left = self.0.heart.left.subscribe();
        self.0.heart.leaving.send_replace(true);
        if timeout(LEAVE_MAX, left.wait_for(|left| *left)).await.is_err() {
            tracing::warn!("nobody said that this broker may go; others lead when it is missed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_footing_is_lost_when_its_time_is_over_and_firm_where_nobody_else_could_lead() {
        let at = |seconds| BootInstant::after_boot(Duration::from_secs(seconds));
        let footing = Footing::lost();
        assert!(!footing.stands(at(0)));
        footing.extend(at(5));
        footing.extend(at(3));
        assert!(footing.stands(at(4)) && !footing.stands(at(5)));
        footing.end();
        assert!(!footing.stands(at(4)));
        footing.extend(at(5));
        assert!(footing.stands(at(4)));
        footing.give_up();
        footing.extend(at(6));
        assert!(!footing.stands(at(4)));
        assert!(Footing::firm().stands(at(1_000_000_000)));
    }
}
