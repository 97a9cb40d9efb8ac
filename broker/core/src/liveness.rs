//! Who of a region's brokers is alive, as its active controller judges.
//!
//! ```text
//!   broker:      asks at t ----------------------> may take itself for alive until t + lease
//!   controller:            hears at t' >= t -----> fences it at t' + silence_max, which is later
//! ```
//!
//! A broker is told that it is alive only by a controller that confirmed its office after the question came, so every later
//! controller begins after `t` and waits for `silence_max` from its own beginning. So a broker that is fenced has stopped
//! to take itself for alive before, whatever was lost or paused, as long as no clock runs faster than
//! `silence_max / lease` times another.
//!
//! A session that is to be fenced is over for good, even if its broker is heard of again meanwhile.
//!
//! A leader that is heard of and hears nobody is as good as silent: it cannot be told that it is alive, so it acknowledges
//! nothing. Its words count no more; it is not told that it is alive, for that might arrive yet, and is fenced when its last
//! word that counted is old enough. [`hearing`] says what it takes to be sure of it.

mod hearing;
mod heirs;

pub use heirs::{Tail, choose, tails_wanted};

use crate::metadata::{Admission, BrokerEpoch, Choice, Command, Image, Reign};
use hearing::Hearing;
use heirs::can_be_replaced;
use model::BrokerSlot;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a broker may be silent, and what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// A broker that was silent for so long is fenced.
    pub silence_max: Duration,
}

impl Timing {
    /// How long a broker may take itself for alive after it asked.
    pub fn lease(&self) -> Duration {
        self.silence_max * 4 / 5
    }

    /// How often a broker says that it is alive: three words may be lost.
    pub fn heartbeat(&self) -> Duration {
        self.silence_max / 5
    }

    /// How often the controller looks.
    pub fn tick(&self) -> Duration {
        self.silence_max / 15
    }
}

/// A broker says that it is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Its place.
    pub slot: BrokerSlot,
    /// Its session.
    pub session: BrokerEpoch,
    /// Whether it has made the metadata real in this session, so that it can lead.
    pub ready: bool,
    /// Whether it wants to stop, and has stopped to acknowledge.
    pub stopping: bool,
    /// For how long it has heard no verdict in this session.
    #[serde(default)]
    pub unanswered: Duration,
}

/// What a broker is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It may take itself for alive for [`Timing::lease`] from the moment it asked.
    Alive,
    /// It is registered, and will be let in once it is ready.
    Waiting,
    /// Its session is over: it registers again, unless it wants to stop.
    Over,
}

/// A broker's word that it is alive, as it remembers it until the verdict comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// The session it was said in.
    pub session: BrokerEpoch,
    /// When it was said, on the broker's own boot clock: before anybody could hear it.
    pub said_at: Duration,
}

/// What a broker makes of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// It may take itself for alive until then, if not for longer already.
    StandsUntil(Duration),
    /// Nothing.
    Unchanged,
    /// It acknowledges nothing from now on, and registers again.
    RegisterAgain,
    /// It may stop: others lead what it led.
    MayGo,
}

impl Word {
    /// What follows from `verdict` for a broker that is in `session` by now, and wants to stop or not. Who wants to stop
    /// has stopped to acknowledge, and never takes itself for alive again, whatever it was told on an earlier word.
    pub fn consequence(
        self,
        verdict: Verdict,
        timing: Timing,
        session: Option<BrokerEpoch>,
        stopping: bool,
    ) -> Consequence {
        match verdict {
            _ if session != Some(self.session) => Consequence::Unchanged,
            Verdict::Alive if !stopping => Consequence::StandsUntil(self.said_at + timing.lease()),
            Verdict::Alive | Verdict::Waiting => Consequence::Unchanged,
            Verdict::Over if stopping => Consequence::MayGo,
            Verdict::Over => Consequence::RegisterAgain,
        }
    }
}

/// The judgement of one controller, from its beginning on.
#[derive(Clone, Debug)]
pub struct Liveness {
    timing: Timing,
    reign: Reign,
    /// Everybody counts as heard of at this moment: the controller began, or woke up.
    since: Duration,
    /// Whose controller was active before, and since when it is silent.
    predecessor: Option<(BrokerSlot, Duration)>,
    looked: Duration,
    heard: BTreeMap<BrokerSlot, Heard>,
    /// Sessions that are to be fenced.
    doomed: BTreeSet<BrokerEpoch>,
}

#[derive(Clone, Copy, Debug)]
struct Heard {
    /// When it was heard of last, and told that it is alive if it may lead.
    at: Duration,
    beat: Heartbeat,
    hearing: Hearing,
}

/// A question and its answer, on the controller's boot clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// When the question came, before the office was confirmed.
    pub heard_at: Duration,
    /// When it is answered.
    pub answered_at: Duration,
}

impl Liveness {
    /// The controller of `reign` begins at `now`, on its boot clock.
    pub fn begin(timing: Timing, reign: Reign, now: Duration) -> Self {
        let (heard, doomed) = (BTreeMap::new(), BTreeSet::new());
        Self { timing, reign, since: now, predecessor: None, looked: now, heard, doomed }
    }

    /// The controller of the broker in `slot` was active before, and is silent since `silent_since`; that one and all earlier
    /// ones have confirmed their office for the last time before. So nobody is alive by their word for longer than the lease
    /// after that, and that broker is silent like any other.
    pub fn succeed(&mut self, slot: BrokerSlot, silent_since: Duration) {
        self.predecessor = Some((slot, silent_since.min(self.since)));
    }

    /// A broker was heard of; `image` holds all that was decided before the controller's office was confirmed.
    pub fn on_heartbeat(&mut self, turn: Turn, image: &Image, beat: Heartbeat) -> Verdict {
        let known = image.broker(beat.slot).filter(|known| known.session == beat.session);
        let Some(known) = known.filter(|_| !self.doomed.contains(&beat.session)) else { return Verdict::Over };
        let before = self.heard.get(&beat.slot).filter(|before| before.beat.session == beat.session).copied();
        let hearing = before.map_or_else(Hearing::default, |before| before.hearing);
        let hearing = hearing.after(turn, beat.unanswered, self.timing);
        let is_deaf = hearing.is_lost() && self.is_to_be_replaced(image, beat.slot, turn.answered_at);
        let at = before.filter(|_| is_deaf).map_or(turn.heard_at, |before| before.at);
        self.heard.insert(beat.slot, Heard { at, beat, hearing });
        match known.admission {
            Admission::Out => Verdict::Over,
            Admission::In if !beat.stopping && !is_deaf => Verdict::Alive,
            Admission::In | Admission::Waiting => Verdict::Waiting,
        }
    }

    /// Whether the broker in `slot`, which hears nobody, is to be replaced: others can lead what it leads.
    ///
    /// Who only follows stays: it may well hear its leaders, which look after their in-sync sets themselves. And unless
    /// most brokers hear the controller it may be the controller that is not heard.
    fn is_to_be_replaced(&self, image: &Image, slot: BrokerSlot, now: Duration) -> bool {
        let hears = |heard: &Heard| heard.hearing.is_good() && now.saturating_sub(heard.at) < self.timing.silence_max;
        let members = || image.members().filter(|(_, known)| known.admission == Admission::In).map(|(slot, _)| slot);
        let others = members().filter(|other| *other != slot);
        let hearing = others.filter(|other| self.heard.get(other).is_some_and(hears)).count();
        hearing * 2 > members().count() && can_be_replaced(image, slot)
    }

    /// What has to be proposed at `now`. What is not done by the next look is asked for again.
    pub fn on_tick(&mut self, now: Duration, image: &Image) -> Vec<Change> {
        if now.saturating_sub(self.looked) > self.timing.silence_max / 2 {
            // It slept: nobody could have been heard of, or answered.
            self.since = now;
            self.predecessor = None;
            self.heard.values_mut().for_each(|heard| heard.hearing = Hearing::default());
        }
        self.looked = now;
        self.heard.retain(|slot, heard| image.broker(*slot).is_some_and(|known| known.session == heard.beat.session));
        self.doomed.retain(|session| image.members().any(|(_, known)| known.session == *session));
        let brokers = image.members();
        brokers.filter_map(|(slot, known)| self.change(now, slot, known.session, known.admission)).collect()
    }

    fn change(
        &mut self,
        now: Duration,
        broker: BrokerSlot,
        session: BrokerEpoch,
        admission: Admission,
    ) -> Option<Change> {
        let heard = self.heard.get(&broker).filter(|heard| heard.beat.session == session);
        let silence = now.saturating_sub(heard.map_or(self.known_since(broker), |heard| heard.at.max(self.since)));
        let is_silent = silence >= self.timing.silence_max;
        let stops = heard.is_some_and(|heard| heard.beat.stopping);
        let is_ready = heard.is_some_and(|heard| heard.beat.ready && heard.hearing.is_good());
        match admission {
            Admission::In if is_silent || stops || self.doomed.contains(&session) => {
                self.doomed.insert(session);
                Some(Change::Fence { broker, session })
            }
            Admission::Waiting if is_ready && !is_silent && !stops => Some(Change::Unfence { broker, session }),
            Admission::In | Admission::Waiting | Admission::Out => None,
        }
    }

    /// When the broker counts as heard of, which this controller has not heard of.
    fn known_since(&self, broker: BrokerSlot) -> Duration {
        self.predecessor.filter(|(slot, _)| *slot == broker).map_or(self.since, |(_, silent_since)| silent_since)
    }

    /// The number of this controller.
    pub fn reign(&self) -> Reign {
        self.reign
    }
}

/// What the controller has to have agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The broker's session ends.
    Fence {
        /// The broker.
        broker: BrokerSlot,
        /// Its session.
        session: BrokerEpoch,
    },
    /// The broker is let in.
    Unfence {
        /// The broker.
        broker: BrokerSlot,
        /// Its session.
        session: BrokerEpoch,
    },
}

/// The command that makes `change` so, for the controller of `reign`.
pub fn command(reign: Reign, change: Change, choices: Vec<Choice>) -> Command {
    match change {
        Change::Fence { broker, session } => Command::Fence { reign, broker, session, choices },
        Change::Unfence { broker, session } => Command::Unfence { reign, broker, session },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::samples::cluster;
    use crate::metadata::{Answer, Refusal};
    use model::Incarnation;

    const TIMING: Timing = Timing { silence_max: Duration::from_millis(1500) };
    const ZERO: BrokerSlot = BrokerSlot(0);

    fn reign(term: u64) -> Reign {
        Reign::of(term, 1_u64)
    }

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Answered at once.
    fn turn(millis: u64) -> Turn {
        Turn { heard_at: at(millis), answered_at: at(millis) }
    }

    fn session(image: &Image, slot: BrokerSlot) -> BrokerEpoch {
        image.broker(slot).unwrap().session
    }

    fn beat(image: &Image, slot: BrokerSlot) -> Heartbeat {
        Heartbeat { slot, session: session(image, slot), ready: true, stopping: false, unanswered: Duration::ZERO }
    }

    fn fence(image: &Image, broker: BrokerSlot) -> Change {
        Change::Fence { broker, session: session(image, broker) }
    }

    /// Looks every 100 ms from `from` on until `to`, with all brokers but `silent` heard of; gives the first changes.
    fn look(
        judge: &mut Liveness,
        image: &Image,
        from: u64,
        to: u64,
        silent: &[BrokerSlot],
    ) -> Option<(u64, Vec<Change>)> {
        (from..=to).step_by(100).find_map(|now| {
            for (slot, _) in image.members().filter(|(slot, _)| !silent.contains(slot)) {
                judge.on_heartbeat(turn(now), image, beat(image, slot));
            }
            let changes = judge.on_tick(at(now), image);
            (!changes.is_empty()).then_some((now, changes))
        })
    }

    #[test]
    fn a_broker_that_falls_silent_is_fenced_and_nobody_else() {
        let image = cluster(3);
        let mut judge = Liveness::begin(TIMING, reign(1), at(0));
        assert_eq!(look(&mut judge, &image, 0, 5000, &[]), None);
        let fenced = look(&mut judge, &image, 5000, 9000, &[ZERO]);
        assert_eq!(fenced, Some((6500, vec![fence(&image, ZERO)])));
    }

    #[test]
    fn a_new_controller_waits_a_whole_silence_before_it_fences() {
        let image = cluster(3);
        let mut judge = Liveness::begin(TIMING, reign(2), at(10_000));
        let fenced = look(&mut judge, &image, 10_000, 20_000, &[ZERO]);
        assert_eq!(fenced, Some((11_500, vec![fence(&image, ZERO)])));
    }

    #[test]
    fn the_broker_whose_controller_was_active_before_is_silent_since_it_was_not_heard_by_the_quorum() {
        let image = cluster(3);
        let begin = || {
            let mut judge = Liveness::begin(TIMING, reign(2), at(10_000));
            judge.succeed(ZERO, at(9_400));
            judge
        };
        // Another one that is as silent gets its time from the controller's beginning.
        let one = BrokerSlot(1);
        assert_eq!(look(&mut begin(), &image, 10_000, 20_000, &[ZERO, one]), Some((10_900, vec![fence(&image, ZERO)])));
        assert_eq!(look(&mut begin(), &image, 10_000, 20_000, &[one]), Some((11_500, vec![fence(&image, one)])));
        let mut judge = begin();
        assert_eq!(judge.on_heartbeat(turn(10_800), &image, beat(&image, ZERO)), Verdict::Alive);
        let fenced = look(&mut judge, &image, 10_800, 20_000, &[ZERO]);
        assert_eq!(fenced, Some((12_300, vec![fence(&image, ZERO)])), "once it was heard of it is like the others");
        let mut judge = begin();
        assert_eq!(judge.on_tick(at(15_000), &image), vec![], "the controller slept");
        assert_eq!(look(&mut judge, &image, 15_100, 20_000, &[ZERO]), Some((16_500, vec![fence(&image, ZERO)])));
    }

    #[test]
    fn a_controller_that_slept_gives_everybody_time_again() {
        let image = cluster(3);
        let mut judge = Liveness::begin(TIMING, reign(1), at(0));
        assert_eq!(look(&mut judge, &image, 0, 1000, &[]), None);
        assert_eq!(judge.on_tick(at(60_000), &image), vec![]);
        assert_eq!(look(&mut judge, &image, 60_100, 62_000, &[ZERO]), Some((61_500, vec![fence(&image, ZERO)])));
    }

    #[test]
    fn a_broker_has_ceased_to_take_itself_for_alive_when_it_is_fenced() {
        let image = cluster(3);
        for asked_at in (0..3000).step_by(7) {
            let mut judge = Liveness::begin(TIMING, reign(1), at(0));
            let told = judge.on_heartbeat(turn(asked_at + 3), &image, beat(&image, ZERO));
            assert_eq!(told, Verdict::Alive);
            let (fenced_at, _) = look(&mut judge, &image, asked_at + 3, 9000, &[ZERO]).unwrap();
            assert!(at(fenced_at) > at(asked_at) + TIMING.lease());
        }
    }

    #[test]
    fn a_broker_that_stops_or_began_another_session_does_not_stand_by_an_earlier_word() {
        let word = Word { session: BrokerEpoch(4), said_at: at(100) };
        let means =
            |verdict, session, stopping| word.consequence(verdict, TIMING, Some(BrokerEpoch(session)), stopping);
        assert_eq!(means(Verdict::Alive, 4, false), Consequence::StandsUntil(at(100) + TIMING.lease()));
        assert_eq!(means(Verdict::Alive, 4, true), Consequence::Unchanged);
        assert_eq!(means(Verdict::Over, 4, true), Consequence::MayGo);
        assert_eq!(means(Verdict::Over, 4, false), Consequence::RegisterAgain);
        for verdict in [Verdict::Alive, Verdict::Waiting, Verdict::Over] {
            assert_eq!(means(verdict, 5, false), Consequence::Unchanged);
        }
    }

    #[test]
    fn a_session_that_is_to_be_fenced_is_over_even_if_it_is_heard_of_again() {
        let mut image = cluster(3);
        let mut judge = Liveness::begin(TIMING, reign(1), at(0));
        let (now, changes) = look(&mut judge, &image, 0, 9000, &[ZERO]).unwrap();
        assert_eq!(judge.on_heartbeat(turn(now), &image, beat(&image, ZERO)), Verdict::Over);
        assert_eq!(judge.on_tick(at(now + 100), &image), changes, "asked for again until it is done");
        let old = beat(&image, ZERO);
        image.apply(command(reign(1), changes[0], vec![])).unwrap();
        let mut later = Liveness::begin(TIMING, reign(2), at(now));
        assert_eq!(later.on_heartbeat(turn(now), &image, old), Verdict::Over);
        assert_eq!(later.on_tick(at(now + 100), &image), vec![]);
        let unfenced = image.apply(command(reign(2), Change::Unfence { broker: ZERO, session: old.session }, vec![]));
        assert_eq!(unfenced, Err(Refusal::Fenced(ZERO)));
    }

    #[test]
    fn a_broker_that_registered_is_let_in_when_it_is_ready() {
        let mut image = cluster(3);
        let (incarnation, addresses, location) = (Incarnation(1), Default::default(), Default::default());
        let register = Command::RegisterBroker {
            slot: ZERO,
            incarnation,
            addresses,
            location,
            desk: false,
            boot: Default::default(),
        };
        let Ok(Answer::Registered { session }) = image.apply(register) else { panic!() };
        let mut judge = Liveness::begin(TIMING, reign(1), at(0));
        let unready = Heartbeat { slot: ZERO, session, ready: false, stopping: false, unanswered: Duration::ZERO };
        assert_eq!(judge.on_heartbeat(turn(0), &image, unready), Verdict::Waiting);
        assert_eq!(judge.on_tick(at(0), &image), vec![]);
        judge.on_heartbeat(turn(100), &image, Heartbeat { ready: true, ..unready });
        let changes = judge.on_tick(at(100), &image);
        assert_eq!(changes, vec![Change::Unfence { broker: ZERO, session }]);
        image.apply(command(reign(1), changes[0], vec![])).unwrap();
        assert_eq!(judge.on_heartbeat(turn(200), &image, Heartbeat { ready: true, ..unready }), Verdict::Alive);
    }

    #[test]
    fn a_broker_that_stops_is_fenced_at_once() {
        let mut image = cluster(3);
        let mut judge = Liveness::begin(TIMING, reign(1), at(0));
        let last = Heartbeat { stopping: true, ..beat(&image, ZERO) };
        assert_eq!(judge.on_heartbeat(turn(10), &image, last), Verdict::Waiting);
        let changes = judge.on_tick(at(10), &image);
        assert_eq!(changes, vec![fence(&image, ZERO)]);
        image.apply(command(reign(1), changes[0], vec![])).unwrap();
        assert_eq!(judge.on_heartbeat(turn(20), &image, last), Verdict::Over);
    }
}
