//! The SYNC rule on the leader of an owner: nothing is committed before one copy in another region holds it durably.
//!
//! ```text
//!   link fetch, log agrees --LinkWord--> same rule, region, incarnation, leadership?  copy term not older?
//!                                            '--> copy watermark, never back under one term
//!   high watermark = min(what the in-sync set holds, copy watermark)
//! ```
//!
//! The copy is no member of the in-sync set: it does not count for `min.insync.replicas` and is not dropped for its lag.
//! A word that was said to another leader, under another rule or by an older leader of the copy counts for nothing, and
//! as long as nothing was said to this leadership nothing more is committed.

use super::{Outcome, Partition, Role};
use model::{CopyTerm, Incarnation, LeaderEpoch, ModeEpoch, Offset, RegionName, SyncRule, SyncStatus};
use std::time::Duration;

/// What the leader of a copy says of it with a fetch whose log was found to be a beginning of this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkWord {
    /// The copy's region.
    pub region: RegionName,
    /// That region's incarnation.
    pub incarnation: Incarnation,
    /// The rule it believes in.
    pub mode_epoch: ModeEpoch,
    /// The leadership of the copy.
    pub term: CopyTerm,
    /// The leadership of the source it last heard of.
    pub leader_epoch: LeaderEpoch,
    /// Its whole in-sync set holds everything below durably.
    pub durable: Offset,
}

/// The rule, and what was counted under it.
#[derive(Clone, Debug)]
pub(super) struct Synced {
    rule: SyncRule,
    counted: Option<(CopyTerm, Offset)>,
    /// The first moment at which the copy lacked what the region had committed itself, and how much that was.
    behind: Option<(Duration, Offset)>,
    /// The first moment at which the copy said that it lacks something that was committed under the rule.
    lacking: Option<Duration>,
}

impl Synced {
    /// What is committed of the `held`, given that `before` was.
    pub(super) fn committed(&self, held: Offset, before: Offset) -> Offset {
        self.counted.map_or(before, |(_, durable)| durable.min(held))
    }

    /// Another leadership begins: nothing was said to it.
    pub(super) fn forget(&mut self) {
        self.counted = None;
        self.behind = None;
        self.lacking = None;
    }

    /// Notes since when the copy lacks anything of what is `held` here. It is compared with one moment until it holds what
    /// was held then, as a replica is. And since when it says that it lacks anything of what was `shown`: a copy that
    /// has lost what it had.
    pub(super) fn observe(&mut self, now: Duration, held: Offset, shown: Offset) {
        let is_lacking = self.counted.is_some_and(|(_, durable)| durable < shown);
        self.lacking = is_lacking.then(|| self.lacking.unwrap_or(now));
        let durable = self.counted.map_or(Offset::ZERO, |(_, durable)| durable);
        if self.behind.is_some_and(|(_, then)| durable >= then) || durable >= held {
            self.behind = None;
        }
        if durable < held {
            self.behind.get_or_insert((now, held));
        }
    }

    fn accepts(&self, word: &LinkWord) -> bool {
        let is_meant = self.rule.is_heard(&word.region, word.incarnation, word.mode_epoch);
        is_meant && self.counted.is_none_or(|(term, _)| term <= word.term)
    }

    fn count(&mut self, word: &LinkWord) {
        let known = self.counted.filter(|(term, _)| *term == word.term).map(|(_, durable)| durable);
        self.counted = Some((word.term, known.map_or(word.durable, |known| known.max(word.durable))));
    }
}

impl Partition {
    /// The region's metadata says which rule holds, if any. It outlasts leaderships: one that begins obeys it at once.
    /// Under one that only slows writers down nothing is waited for.
    pub fn set_sync(&mut self, now: Duration, rule: Option<&SyncRule>) -> Outcome {
        let rule = rule.filter(|rule| rule.waits());
        if self.synced.as_ref().map(|synced| &synced.rule) == rule {
            return Outcome::default();
        }
        self.synced = rule.map(|rule| Synced { rule: rule.clone(), counted: None, behind: None, lacking: None });
        self.recompute(now)
    }

    /// The rule that holds.
    pub fn sync_rule(&self) -> Option<&SyncRule> {
        self.synced.as_ref().map(|synced| &synced.rule)
    }

    /// A link has said how far its copy is, in a fetch that passed the divergence check against this log.
    pub fn on_link(&mut self, now: Duration, word: &LinkWord) -> Outcome {
        let is_to_me = self.role == Role::Owner { leader_epoch: word.leader_epoch };
        match &mut self.synced {
            Some(synced) if is_to_me && synced.accepts(word) => synced.count(word),
            _ => return Outcome::default(),
        }
        self.recompute(now)
    }

    /// How the partition stands to the rule at `now`; `None` where it is not led as the owner, or no rule is on.
    pub fn sync_status(&self, now: Duration) -> Option<SyncStatus> {
        let synced = self.synced.as_ref().filter(|_| self.leader_epoch().is_ok())?;
        let since = |then: Option<Duration>| {
            let passed = then.map_or(Duration::ZERO, |then| now.saturating_sub(then));
            u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
        };
        Some(SyncStatus {
            mode_epoch: synced.rule.mode_epoch,
            copy_watermark: synced.counted.map(|(_, durable)| durable),
            waiting_ms: since(synced.behind.map(|(then, _)| then)),
            lacking_ms: since(synced.lacking),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::{AckOutcome, Placement, Waiter};
    use model::BrokerSlot;
    use proptest::prelude::*;

    const ME: BrokerSlot = BrokerSlot(0);
    const ALONE: Placement<'_> = Placement { me: ME, replicas: &[ME], isr: &[ME], partition_epoch: 1 };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn rule(mode_epoch: u64) -> SyncRule {
        let target = RegionName::new("r2").unwrap();
        SyncRule {
            mode_epoch: ModeEpoch(mode_epoch),
            target,
            incarnation: Incarnation(7),
            patience: model::Patience::Waits,
        }
    }

    fn word(mode_epoch: u64, leader_epoch: i32, term: u64, durable: i64) -> LinkWord {
        LinkWord {
            region: RegionName::new("r2").unwrap(),
            incarnation: Incarnation(7),
            mode_epoch: ModeEpoch(mode_epoch),
            term: CopyTerm(term),
            leader_epoch: LeaderEpoch(leader_epoch),
            durable: Offset(durable),
        }
    }

    fn led(mode_epoch: u64, leader_epoch: i32) -> Partition {
        let mut partition = Partition::fenced(Offset::ZERO);
        let _ = partition.set_sync(at(0), Some(&rule(mode_epoch)));
        let _ = partition.lead(at(0), LeaderEpoch(leader_epoch), ALONE, Offset::ZERO);
        partition
    }

    #[test]
    fn an_ack_of_all_waits_for_the_copy_and_one_of_this_broker_does_not() {
        let mut partition = led(3, 5);
        let _ = partition.await_ack(Waiter(1), Offset(4), at(30));
        let _ = partition.await_local_ack(Waiter(2), Offset(4), at(30));
        let outcome = partition.on_local(at(1), Offset(4));
        assert_eq!(outcome.acks, vec![(Waiter(2), AckOutcome::Committed)]);
        assert_eq!(partition.high_watermark(), Offset(0));
        let outcome = partition.on_link(at(1), &word(3, 5, 1, 4));
        assert_eq!(outcome.acks, vec![(Waiter(1), AckOutcome::Committed)]);
        assert_eq!(partition.high_watermark(), Offset(4));
    }

    #[test]
    fn a_word_counts_only_under_this_rule_this_leadership_and_from_this_copy() {
        let mut partition = led(3, 5);
        let _ = partition.on_local(at(1), Offset(9));
        let other_region = LinkWord { region: RegionName::new("r3").unwrap(), ..word(3, 5, 1, 9) };
        let reborn = LinkWord { incarnation: Incarnation(8), ..word(3, 5, 1, 9) };
        for foreign in [word(2, 5, 1, 9), word(3, 4, 1, 9), word(3, -1, 1, 9), other_region, reborn] {
            assert_eq!(partition.on_link(at(1), &foreign), Outcome::default(), "{foreign:?}");
        }
        assert_eq!(partition.high_watermark(), Offset(0));
        let _ = partition.on_link(at(1), &word(3, 5, 2, 6));
        let _ = partition.on_link(at(1), &word(3, 5, 1, 9));
        assert_eq!(partition.high_watermark(), Offset(6), "an older leader of the copy is not believed");
    }

    #[test]
    fn a_new_leadership_and_a_new_rule_begin_with_nothing_heard() {
        let mut partition = led(3, 5);
        let _ = partition.on_local(at(1), Offset(9));
        let _ = partition.on_link(at(1), &word(3, 5, 1, 9));
        let _ = partition.lead(at(2), LeaderEpoch(6), ALONE, Offset(9));
        let _ = partition.on_local(at(2), Offset(12));
        assert_eq!(
            (partition.high_watermark(), partition.sync_status(at(2)).unwrap().copy_watermark),
            (Offset(9), None)
        );
        let _ = partition.on_link(at(2), &word(3, 6, 1, 12));
        assert_eq!(partition.high_watermark(), Offset(12));
        let _ = partition.set_sync(at(2), Some(&rule(4)));
        let _ = partition.on_local(at(2), Offset(20));
        assert_eq!(partition.high_watermark(), Offset(12));
        assert!(partition.set_sync(at(2), None).advanced, "without a rule the region's own word is enough");
        assert_eq!(partition.high_watermark(), Offset(20));
    }

    #[test]
    fn the_wait_for_the_copy_is_that_of_the_oldest_write_it_lacks() {
        let mut partition = led(3, 5);
        let waiting = |partition: &Partition, now| partition.sync_status(at(now)).unwrap().waiting_ms;
        let _ = partition.on_link(at(1), &word(3, 5, 1, 0));
        assert_eq!(waiting(&partition, 9), 0, "an idle partition waits for nobody");
        let _ = partition.on_local(at(10), Offset(5));
        let _ = partition.on_local(at(11), Offset(8));
        assert_eq!(waiting(&partition, 12), 2000);
        let _ = partition.on_link(at(12), &word(3, 5, 1, 6));
        assert_eq!(waiting(&partition, 13), 1000, "what it lacks now was written since");
        let _ = partition.on_link(at(13), &word(3, 5, 1, 8));
        assert_eq!(waiting(&partition, 20), 0);
    }

    #[test]
    fn a_copy_that_has_lost_what_was_shown_is_found_out_though_nothing_is_written() {
        let mut partition = led(3, 5);
        let lacking = |partition: &Partition, now| partition.sync_status(at(now)).unwrap().lacking_ms;
        let _ = partition.on_local(at(1), Offset(9));
        let _ = partition.on_link(at(1), &word(3, 5, 1, 6));
        assert_eq!(lacking(&partition, 9), 0, "what it never had was shown to nobody");
        let _ = partition.on_link(at(2), &word(3, 5, 1, 9));
        let _ = partition.on_link(at(3), &word(3, 5, 2, 0));
        let _ = partition.on_link(at(5), &word(3, 5, 2, 4));
        assert_eq!(lacking(&partition, 8), 5000, "of which a part has come back");
        let _ = partition.on_link(at(8), &word(3, 5, 2, 9));
        assert_eq!(lacking(&partition, 9), 0);
        let _ = partition.on_link(at(9), &word(3, 5, 3, 0));
        let _ = partition.lead(at(10), LeaderEpoch(6), ALONE, Offset(9));
        assert_eq!(lacking(&partition, 20), 0, "to this leadership it has said nothing");
    }

    #[derive(Clone, Debug)]
    enum Act {
        Write(i64),
        Copy(i64),
        Say { old_leader: bool, old_rule: bool },
        Lead,
        Rule,
    }

    fn any_act() -> impl Strategy<Value = Act> {
        prop_oneof![
            (1_i64..9).prop_map(Act::Write),
            (1_i64..9).prop_map(Act::Copy),
            (any::<bool>(), any::<bool>()).prop_map(|(old_leader, old_rule)| Act::Say { old_leader, old_rule }),
            Just(Act::Lead),
            Just(Act::Rule),
        ]
    }

    proptest! {
        #[test]
        fn nothing_is_acknowledged_to_all_that_the_copy_does_not_hold(
            acts in prop::collection::vec(any_act(), 0..80)
        ) {
            let (mut leader_epoch, mut mode_epoch, mut tail, mut copied) = (1, 1, 0, 0);
            let mut partition = led(1, 1);
            for (waiter, act) in (0_u64..).zip(acts) {
                let outcome = match act {
                    Act::Write(count) => {
                        tail += count;
                        let _ = partition.await_ack(Waiter(waiter), Offset(tail), at(30));
                        partition.on_local(at(1), Offset(tail))
                    }
                    Act::Copy(count) => {
                        copied = tail.min(copied + count);
                        Outcome::default()
                    }
                    Act::Say { old_leader, old_rule } => {
                        let said = (mode_epoch - u64::from(old_rule), leader_epoch - i32::from(old_leader));
                        // A lie: what was said to another leader or under another rule may be of another log.
                        let durable = if old_leader || old_rule { tail } else { copied };
                        partition.on_link(at(1), &word(said.0, said.1, 1, durable))
                    }
                    Act::Lead => {
                        leader_epoch += 1;
                        partition.lead(at(1), LeaderEpoch(leader_epoch), ALONE, Offset(tail))
                    }
                    Act::Rule => {
                        mode_epoch += 1;
                        partition.set_sync(at(1), Some(&rule(mode_epoch)))
                    }
                };
                prop_assert!(partition.high_watermark() <= Offset(copied));
                let kept = outcome.acks.iter().all(|(_, how)| *how != AckOutcome::Committed) || copied > 0;
                prop_assert!(kept, "{outcome:?}");
            }
        }
    }
}
