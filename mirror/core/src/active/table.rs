use super::limits::VERSIONS_PER_KEY_MAX;
use super::{Conflict, Dot, Policy, Relation, Siblings, Vector, Version};
use model::Offset;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The keys of a partition that some region may yet write without having received what is here.
///
/// A version is held until every region has received it and nothing written before that can still arrive: then no
/// conflict with it is possible any more.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    keys: BTreeMap<Arc<[u8]>, Entry>,
    /// Keys whose last record may not be the standing one.
    disturbed: BTreeSet<Arc<[u8]>>,
    held: usize,
    forgotten: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    versions: Vec<Held>,
    /// The version the last record of the key in the local log is, or repeats.
    last: Dot,
}

#[derive(Clone, Debug)]
struct Held {
    version: Version,
    /// Where the record stands in the local log.
    place: Offset,
    /// Whether a conflict it lost was told.
    lost: bool,
    /// Whether a version here has seen it.
    overwritten: bool,
}

/// What a human has to choose from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// The key.
    pub key: Arc<[u8]>,
    /// The versions in dispute and where they stand in the local log; the first one stands until then.
    pub versions: Vec<(Version, Offset)>,
}

/// A choice: the record to write again as a new one, which has then seen all that were in dispute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The key.
    pub key: Arc<[u8]>,
    /// Where the chosen record stands in the local log.
    pub place: Offset,
    /// The versions the dispute was about.
    pub over: Vec<Dot>,
}

/// Why nothing can be settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettleError {
    /// There is no dispute about the key.
    #[error(
        "no versions of the key are in quarantine here: they were settled or written over; list what is quarantined"
    )]
    NotInDispute,
    /// The chosen one is not in dispute.
    #[error("version {0} of the key is not one of those in quarantine; list what is quarantined")]
    NotAmongThem(Dot),
    /// More was found in dispute than the human knew of.
    #[error("version {0} of the key has joined the dispute since it was looked at; look again")]
    Joined(Dot),
}

impl Table {
    /// Takes a record of `key` at `place`. Gives the conflicts in which a version loses for the first time.
    pub(super) fn observe(
        &mut self,
        key: &Arc<[u8]>,
        version: Version,
        place: Offset,
        policy: &Policy,
    ) -> Vec<Conflict> {
        let last = version.dot;
        let entry = self.keys.entry(key.clone()).or_insert_with(|| Entry { versions: Vec::new(), last });
        let mut news = Held { version, place, lost: false, overwritten: false };
        let conflicts = entry.versions.iter_mut().filter_map(|held| held.meet(&mut news, policy)).collect();
        entry.last = last;
        entry.versions.push(news);
        self.held += 1;
        let forgotten = entry.forget_overwritten(VERSIONS_PER_KEY_MAX);
        (self.held, self.forgotten) = (self.held - forgotten, self.forgotten + forgotten as u64);
        self.disturbed.insert(key.clone());
        conflicts
    }

    /// Whether the version `dot` of `key` is held.
    pub(super) fn holds(&self, key: &Arc<[u8]>, dot: Dot) -> bool {
        self.keys.get(key).is_some_and(|entry| entry.place_of(dot).is_some())
    }

    /// Takes note of a repeat of `dot` that is now the last record of `key`.
    pub(super) fn repeated(&mut self, key: &Arc<[u8]>, dot: Dot) {
        if let Some(entry) = self.keys.get_mut(key) {
            entry.last = dot;
            self.disturbed.insert(key.clone());
        }
    }

    /// The versions that have to be the last of their keys and are not, in the order of the keys.
    pub(super) fn due(&mut self, policy: &Policy) -> Vec<(Arc<[u8]>, Dot, Offset)> {
        let disturbed = std::mem::take(&mut self.disturbed);
        let due = disturbed.into_iter().filter_map(|key| {
            let (dot, place) = self.keys.get(&key)?.out_of_place(policy)?;
            Some((key, dot, place))
        });
        due.collect()
    }

    /// Lets go of what every region has received; of what waits for a human only when that was settled.
    pub(super) fn settle_below(&mut self, stable: &Vector, policy: &Policy) {
        let (held, disturbed) = (&mut self.held, &self.disturbed);
        self.keys.retain(|key, entry| {
            let before = entry.versions.len();
            let waits = disturbed.contains(key) || *policy == Policy::Quarantine && entry.dispute(key).is_some();
            if !waits && entry.versions.iter().all(|held| stable.covers(held.version.dot)) {
                *held -= before;
                return false;
            }
            entry.let_go(stable);
            *held -= before - entry.versions.len();
            true
        });
    }

    /// How many versions are held.
    pub(super) const fn held(&self) -> usize {
        self.held
    }

    /// How many versions were forgotten though some region may not have received them.
    pub(super) const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// The smallest offset of the local log that a held version stands at.
    pub(super) fn first_place(&self) -> Option<Offset> {
        self.keys.values().flat_map(|entry| &entry.versions).map(|held| held.place).min()
    }

    pub(super) fn quarantined(&self) -> impl Iterator<Item = Quarantined> + '_ {
        self.keys.iter().filter_map(|(key, entry)| entry.dispute(key))
    }

    pub(super) fn settle(&self, key: &[u8], choice: Dot, known: &[Dot]) -> Result<Settlement, SettleError> {
        let dispute = self.keys.get_key_value(key).and_then(|(key, entry)| entry.dispute(key));
        let Quarantined { key, versions } = dispute.ok_or(SettleError::NotInDispute)?;
        let over: Vec<_> = versions.iter().map(|(version, _)| version.dot).collect();
        if let Some(joined) = over.iter().find(|dot| !known.contains(dot)) {
            return Err(SettleError::Joined(*joined));
        }
        let chosen = versions.iter().find(|(version, _)| version.dot == choice);
        let (_, place) = chosen.ok_or(SettleError::NotAmongThem(choice))?;
        Ok(Settlement { key, place: *place, over })
    }
}

impl Held {
    /// The conflict with `news`, unless whoever loses it has lost before.
    fn meet(&mut self, news: &mut Self, policy: &Policy) -> Option<Conflict> {
        match self.version.relation(&news.version) {
            Relation::Before => self.overwritten = true,
            Relation::After => news.overwritten = true,
            Relation::Same | Relation::Concurrent => {}
        }
        let conflict = Conflict::between(policy, &self.version, &news.version)?;
        let loser = if conflict.loser.dot == self.version.dot { self } else { news };
        (!std::mem::replace(&mut loser.lost, true)).then_some(conflict)
    }
}

impl Entry {
    fn siblings(&self) -> Siblings {
        let current = self.versions.iter().filter(|held| !held.overwritten);
        Siblings::of(current.map(|held| &held.version).collect::<Vec<_>>())
    }

    fn place_of(&self, dot: Dot) -> Option<Offset> {
        self.versions.iter().find(|held| held.version.dot == dot).map(|held| held.place)
    }

    fn out_of_place(&self, policy: &Policy) -> Option<(Dot, Offset)> {
        let standing = self.siblings().standing(policy)?.dot;
        let place = self.place_of(standing)?;
        (standing != self.last).then_some((standing, place))
    }

    /// Lets go of versions that everybody has received and somebody has written over.
    fn let_go(&mut self, stable: &Vector) {
        self.versions.retain(|held| !(held.overwritten && stable.covers(held.version.dot)));
    }

    /// Forgets the oldest version that was written over, if there are more than `limit`.
    fn forget_overwritten(&mut self, limit: usize) -> usize {
        let is_full = self.versions.len() > limit;
        let oldest = self.versions.iter().position(|held| held.overwritten).filter(|_| is_full);
        oldest.map(|at| self.versions.remove(at)).into_iter().count()
    }

    fn dispute(&self, key: &Arc<[u8]>) -> Option<Quarantined> {
        let siblings = self.siblings();
        let standing = siblings.standing(&Policy::Quarantine)?.dot;
        let placed =
            siblings.versions().iter().filter_map(|version| Some((version.clone(), self.place_of(version.dot)?)));
        let mut versions: Vec<_> = placed.collect();
        versions.sort_by_key(|(version, _)| (version.dot != standing, version.dot));
        (versions.len() > 1).then(|| Quarantined { key: key.clone(), versions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::active::HybridTime;
    use model::Incarnation;

    fn dot(origin: u16, offset: i64) -> Dot {
        Dot { origin: Incarnation(origin), offset: Offset(offset) }
    }

    fn version(dot: Dot, seen: &[(u16, i64)], time: u64) -> Version {
        let seen: Vector = seen.iter().map(|(origin, tail)| (Incarnation(*origin), Offset(*tail))).collect();
        Version { dot, seen: Arc::new(seen), time: HybridTime(time) }
    }

    fn key(name: &str) -> Arc<[u8]> {
        name.as_bytes().into()
    }

    #[test]
    fn a_loser_is_told_once_and_the_winner_stands_last_again() {
        let (mut table, policy, key) = (Table::default(), Policy::LastWriterWins, key("k"));
        assert!(table.observe(&key, version(dot(1, 0), &[], 5), Offset(0), &policy).is_empty());
        assert!(table.observe(&key, version(dot(1, 1), &[], 6), Offset(1), &policy).is_empty());
        assert!(table.due(&policy).is_empty());
        let conflicts = table.observe(&key, version(dot(2, 0), &[], 3), Offset(2), &policy);
        assert_eq!(conflicts.len(), 1);
        assert_eq!((conflicts[0].winner.dot, conflicts[0].loser.dot), (dot(1, 0), dot(2, 0)));
        assert_eq!(table.due(&policy), [(key.clone(), dot(1, 1), Offset(1))]);
        table.repeated(&key, dot(1, 1));
        assert!(table.due(&policy).is_empty());
    }

    #[test]
    fn what_everybody_has_received_is_let_go() {
        let (mut table, policy, key) = (Table::default(), Policy::LastWriterWins, key("k"));
        table.observe(&key, version(dot(1, 0), &[], 5), Offset(0), &policy);
        table.observe(&key, version(dot(1, 1), &[], 6), Offset(1), &policy);
        table.due(&policy);
        let stable = |tail| [(Incarnation(1), Offset(tail))].into_iter().collect();
        table.settle_below(&stable(1), &policy);
        assert_eq!((table.held(), table.first_place()), (1, Some(Offset(1))));
        table.settle_below(&stable(2), &policy);
        assert_eq!((table.held(), table.first_place()), (0, None));
    }

    #[test]
    fn a_standing_version_is_held_while_another_one_may_still_lose() {
        let (mut table, policy, key) = (Table::default(), Policy::LastWriterWins, key("k"));
        table.observe(&key, version(dot(1, 0), &[], 9), Offset(0), &policy);
        table.observe(&key, version(dot(2, 0), &[], 3), Offset(1), &policy);
        table.settle_below(&[(Incarnation(1), Offset(1))].into_iter().collect(), &policy);
        assert_eq!(table.due(&policy), [(key, dot(1, 0), Offset(0))]);
    }

    #[test]
    fn a_key_has_a_bounded_number_of_versions() {
        let (mut table, policy, key) = (Table::default(), Policy::LastWriterWins, key("k"));
        for offset in 0..VERSIONS_PER_KEY_MAX as i64 + 5 {
            table.observe(&key, version(dot(1, offset), &[], 5), Offset(offset), &policy);
        }
        assert_eq!((table.held(), table.forgotten()), (VERSIONS_PER_KEY_MAX, 5));
        assert_eq!(table.first_place(), Some(Offset(5)));
    }

    #[test]
    fn a_dispute_is_settled_by_who_knows_all_of_it() {
        let (mut table, policy, key) = (Table::default(), Policy::Quarantine, key("k"));
        table.observe(&key, version(dot(1, 0), &[], 5), Offset(0), &policy);
        assert_eq!(table.settle(b"k", dot(1, 0), &[dot(1, 0)]), Err(SettleError::NotInDispute));
        table.observe(&key, version(dot(2, 0), &[], 9), Offset(1), &policy);
        table.due(&policy);
        table.settle_below(&[(Incarnation(1), Offset(1)), (Incarnation(2), Offset(1))].into_iter().collect(), &policy);
        let listed: Vec<_> = table.quarantined().collect();
        assert_eq!(listed[0].versions[0].0.dot, dot(1, 0));
        let all = [dot(1, 0), dot(2, 0)];
        assert_eq!(table.settle(b"k", dot(2, 0), &all[..1]), Err(SettleError::Joined(dot(2, 0))));
        assert_eq!(table.settle(b"k", dot(3, 0), &all), Err(SettleError::NotAmongThem(dot(3, 0))));
        let settlement = table.settle(b"k", dot(2, 0), &all).unwrap();
        assert_eq!((settlement.place, settlement.over), (Offset(1), all.to_vec()));
        table.observe(&key, version(dot(1, 1), &[(2, 1)], 10), Offset(2), &policy);
        assert_eq!(table.quarantined().count(), 0);
        assert!(table.due(&policy).is_empty());
    }
}
