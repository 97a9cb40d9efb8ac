//! Whether a broker hears the answers of its controller.
//!
//! ```text
//!   controller: --- answer 1 ----- answer 2 ----------> it hears nobody
//!   broker:     x              x              "for a second I have heard nothing": since before answer 1
//! ```
//!
//! A broker says with each word for how long it has heard no verdict. That alone proves little: the controller may have been
//! slow, or have begun a moment ago; the broker may have slept. So only answers count that this controller gave in time, one
//! after the other, and of which the broker said afterwards that it has heard none. By then it does not take itself for alive
//! any more.

use super::{Timing, Turn};
use std::time::Duration;

/// So many answers in a row must have been lost. A broker waits for each of them for two heartbeats, so that the time for
/// which it takes itself for alive is over before the next word.
const ANSWERS_LOST: u32 = 2;

/// What one controller knows of one broker in one session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hearing {
    /// When the answers were given that may all be lost: the first and the last.
    given: Option<(Duration, Duration)>,
    /// How many of them are known to be lost.
    lost: u32,
}

impl Hearing {
    /// The broker said in `turn` that it has heard nothing for `unanswered`, and is answered.
    pub(super) fn after(self, turn: Turn, unanswered: Duration, timing: Timing) -> Self {
        let waited = turn.answered_at.saturating_sub(turn.heard_at);
        if waited > timing.heartbeat() {
            // It may not wait so long for an answer.
            return Self::default();
        }
        let heard_last = turn.heard_at.saturating_sub(unanswered);
        match self.given {
            Some((first, last)) if heard_last < first => {
                // Words that were held up come all at once, before there was time for an answer.
                let is_lost = turn.heard_at.saturating_sub(last) >= timing.heartbeat();
                Self { given: Some((first, turn.answered_at)), lost: self.lost.saturating_add(is_lost.into()) }
            }
            _ => Self { given: Some((turn.answered_at, turn.answered_at)), lost: 0 },
        }
    }

    /// Whether it hears nobody any more.
    pub(super) fn is_lost(self) -> bool {
        self.lost >= ANSWERS_LOST
    }

    /// Whether no answer is known to be lost.
    pub(super) fn is_good(self) -> bool {
        self.lost == 0
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Change, Heartbeat, Liveness, Verdict};
    use super::*;
    use crate::metadata::samples::{cluster, local_on};
    use crate::metadata::{Command, Image};
    use model::BrokerSlot;
    use std::collections::BTreeMap;
    use std::ops::Range;

    const TIMING: Timing = Timing { silence_max: Duration::from_millis(1300) };
    /// Whose controller is active.
    const ACTIVE: usize = 2;
    const END: u64 = 9000;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// What happens to a region of three brokers, of which the first leads; in milliseconds.
    struct Story {
        /// How long a word of a broker is under way when it is said; it may be lost.
        there: fn(usize, u64) -> Option<u64>,
        /// And an answer to it.
        back: fn(usize, u64) -> Option<u64>,
        /// How long the controller takes to confirm its office.
        confirms_after: fn(u64) -> u64,
        /// When this broker sleeps.
        sleep: (usize, Range<u64>),
    }

    const CALM: Story = Story { there: |_, _| Some(1), back: |_, _| Some(1), confirms_after: |_| 2, sleep: (0, 0..0) };

    #[derive(Clone, Default)]
    struct Broker {
        heard_last: u64,
        asks_next: u64,
        /// Asked when, and when the answer comes if it does.
        asked: Option<(u64, Option<u64>)>,
    }

    impl Broker {
        /// Looks for an answer, and says a word when it is time: for how long it has heard nothing.
        fn word(&mut self, now: u64) -> Option<u64> {
            let every = TIMING.heartbeat().as_millis() as u64;
            if let Some((asked_at, answer)) = self.asked {
                let is_answered = answer.is_some_and(|answer| answer <= now);
                if !is_answered && now < asked_at + 2 * every {
                    return None;
                }
                self.heard_last = if is_answered { now } else { self.heard_last };
                (self.asked, self.asks_next) = (None, now.max(asked_at + every));
            }
            (now >= self.asks_next).then(|| {
                self.asked = Some((now, None));
                now - self.heard_last
            })
        }
    }

    /// The brokers that are fenced, and when.
    fn fenced(story: &Story) -> Vec<(usize, u64)> {
        let mut image = cluster(3);
        local_on(&mut image, "own", &[&[0, 1, 2], &[0, 2, 1]]);
        for (slot, known) in image.clone().brokers() {
            let starts = image.starts_due(slot);
            image.apply(Command::StartLeaders { broker: slot, session: known.session, starts }).unwrap();
        }
        play(story, &image)
    }

    fn play(story: &Story, image: &Image) -> Vec<(usize, u64)> {
        let sleeps = |broker: usize, now: u64| story.sleep.0 == broker && story.sleep.1.contains(&now);
        // Nobody was answered for long when the controller began.
        let mut brokers: Vec<_> = (0..3).map(|n| Broker { asks_next: 5 + 70 * n, ..Broker::default() }).collect();
        let begins = 3000;
        let mut judge = Liveness::begin(TIMING, Default::default(), at(begins));
        let (mut words, mut turns, mut stands_until, mut fenced) = (vec![], vec![], [0; 3], BTreeMap::new());
        for now in 0..END {
            for broker in (0..3).filter(|broker| !sleeps(*broker, now)) {
                if let Some(unanswered) = brokers[broker].word(now)
                    && let Some(there) = (story.there)(broker, now)
                {
                    words.push((now + there, now, broker, unanswered));
                }
            }
            if now < begins || sleeps(ACTIVE, now) {
                continue;
            }
            let arrived = words.extract_if(.., |word| word.0 <= now);
            turns.extend(arrived.map(|(_, said, broker, unanswered)| {
                (now + (story.confirms_after)(now), now, said, broker, unanswered)
            }));
            for (_, heard, said, broker, unanswered) in turns.extract_if(.., |turn| turn.0 <= now) {
                let slot = BrokerSlot(broker as u16);
                let session = image.broker(slot).unwrap().session;
                let beat = Heartbeat { slot, session, ready: true, stopping: false, unanswered: at(unanswered) };
                let turn = Turn { heard_at: at(heard), answered_at: at(now) };
                if judge.on_heartbeat(turn, image, beat) == Verdict::Alive {
                    stands_until[broker] = said + TIMING.lease().as_millis() as u64;
                }
                let back = (story.back)(broker, now).filter(|_| brokers[broker].asked.is_some_and(|ask| ask.0 == said));
                if let Some(back) = back {
                    brokers[broker].asked = Some((said, Some(now + back)));
                }
            }
            if now % 87 == 0 {
                for change in judge.on_tick(at(now), image) {
                    let Change::Fence { broker: BrokerSlot(slot), .. } = change else { panic!("{change:?}") };
                    // Whatever it was told may still arrive.
                    assert!(stands_until[usize::from(slot)] < now, "{slot} stands");
                    fenced.entry(usize::from(slot)).or_insert(now);
                }
            }
        }
        fenced.into_iter().collect()
    }

    #[test]
    fn a_leader_that_hears_nobody_is_fenced_and_nobody_else() {
        let story = Story { back: |broker, now| (broker != 0 || now < 5000).then_some(1), ..CALM };
        let fenced = fenced(&story);
        assert!(matches!(fenced[..], [(0, 6300..7300)]), "{fenced:?}");
    }

    #[test]
    fn a_follower_that_hears_nobody_stays_in_the_in_sync_sets() {
        let story = Story { back: |broker, now| (broker != 1 || now < 5000).then_some(1), ..CALM };
        assert_eq!(fenced(&story), []);
    }

    #[test]
    fn a_controller_that_is_not_heard_by_most_fences_nobody() {
        let mute = Story { back: |broker, now| (broker == ACTIVE || now < 5000).then_some(1), ..CALM };
        assert_eq!(fenced(&mute), []);
        // Answers come too late on a machine that is too busy; or the controller is too slow to give them in time.
        let busy = Story { back: |broker, _| Some(if broker == ACTIVE { 1 } else { 700 }), ..CALM };
        assert_eq!(fenced(&busy), []);
        for confirms_after in [|_| 300, |_| 600, |now| now % 900] {
            assert_eq!(fenced(&Story { confirms_after, ..CALM }), []);
        }
    }

    #[test]
    fn a_pause_or_a_lost_second_fences_nobody() {
        for (who, from) in (0..3).flat_map(|who| (5000..5600).step_by(37).map(move |from| (who, from))) {
            for length in (100..1000).step_by(90) {
                assert_eq!(fenced(&Story { sleep: (who, from..from + length), ..CALM }), [], "{who} {from} {length}");
            }
        }
        for back in [
            (|_, now| (!(5000..6000).contains(&now)).then_some(1)) as fn(usize, u64) -> Option<u64>,
            |broker, now| (broker != 0 || !(5123..6123).contains(&now)).then_some(1),
            |broker, now| (broker != 0 || now % 1000 >= 500).then_some(1),
            |broker, now| (broker != 0 || !(5000..5900).contains(&now)).then_some(400),
            // After two lost answers another one comes in time.
            |broker, now| (broker != 0 || !(5000..6300).contains(&now)).then_some(1),
        ] {
            assert_eq!(fenced(&Story { back, ..CALM }), []);
        }
    }

    #[test]
    fn a_controller_that_slept_fences_nobody() {
        for length in [500, 1250, 1400, 3000] {
            assert_eq!(fenced(&Story { sleep: (ACTIVE, 5000..5000 + length), ..CALM }), [], "{length} ms");
        }
    }
}
