use super::{Item, Plan, Reported, SessionError, SessionRequest, TopicKey, Wanted};
use model::{Offset, PartitionId};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How many sessions are kept, and how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The most sessions (`max.incremental.fetch.session.cache.slots`).
    pub sessions_max: usize,
    /// The most partitions over all sessions.
    pub partitions_max: usize,
    /// A session that was idle for so long makes room for another.
    pub idle_min: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { sessions_max: 1000, partitions_max: 1_000_000, idle_min: Duration::from_secs(120) }
    }
}

type Key = (TopicKey, PartitionId);

#[derive(Clone, Debug)]
struct Session {
    by_id: bool,
    next_epoch: i32,
    used: Duration,
    partitions: BTreeMap<Key, Cached>,
    /// In what order to read them: who got records goes to the back.
    order: VecDeque<Key>,
}

#[derive(Clone, Copy, Debug)]
struct Cached {
    wanted: Wanted,
    /// What the client was told last; `None` makes the next answer name it.
    told: Option<(Offset, Offset)>,
}

/// The fetch sessions of one broker.
#[derive(Clone, Debug)]
pub struct Sessions {
    settings: Settings,
    sessions: BTreeMap<i32, Session>,
}

impl Sessions {
    /// None yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, sessions: BTreeMap::new() }
    }

    /// Says what to read for `request`. `fresh_id` is the id of a session that may begin with it: positive, and of no
    /// session that exists.
    ///
    /// # Errors
    /// [`SessionError`]: the answer has this error and no partitions.
    pub fn open(&mut self, now: Duration, request: SessionRequest, fresh_id: i32) -> Result<Plan, SessionError> {
        match (request.id, request.epoch) {
            (0, epoch) if epoch != 0 => Ok(full(0, request.wanted)),
            (id, -1) => {
                self.sessions.remove(&id);
                Ok(full(0, request.wanted))
            }
            (id, 0) => {
                self.sessions.remove(&id);
                Ok(self.begin(now, request, fresh_id))
            }
            (_, _) => self.go_on(now, request),
        }
    }

    fn begin(&mut self, now: Duration, request: SessionRequest, fresh_id: i32) -> Plan {
        let taken = fresh_id <= 0 || self.sessions.contains_key(&fresh_id);
        if taken || request.wanted.is_empty() || !self.make_room(now, request.wanted.len()) {
            return full(0, request.wanted);
        }
        let key = |(topic, partition, _): &(TopicKey, PartitionId, Wanted)| (topic.clone(), *partition);
        let session = Session {
            by_id: request.by_id,
            next_epoch: 1,
            used: now,
            order: request.wanted.iter().map(key).collect(),
            partitions: request.wanted.iter().map(|w| (key(w), Cached { wanted: w.2, told: None })).collect(),
        };
        self.sessions.insert(fresh_id, session);
        full(fresh_id, request.wanted)
    }

    /// Whether another session of so many partitions fits, after the one idle longest made room if it had to.
    fn make_room(&mut self, now: Duration, partitions: usize) -> bool {
        let held = |sessions: &BTreeMap<i32, Session>| sessions.values().map(|s| s.partitions.len()).sum::<usize>();
        while self.sessions.len() >= self.settings.sessions_max
            || held(&self.sessions) + partitions > self.settings.partitions_max
        {
            let oldest = self.sessions.iter().min_by_key(|(_, session)| session.used);
            let Some((id, session)) = oldest else { return false };
            if now.saturating_sub(session.used) < self.settings.idle_min {
                return false;
            }
            let id = *id;
            self.sessions.remove(&id);
        }
        true
    }

    fn go_on(&mut self, now: Duration, request: SessionRequest) -> Result<Plan, SessionError> {
        let id = request.id;
        let session = self.sessions.get_mut(&id).ok_or(SessionError::NotFound(id))?;
        if session.by_id != request.by_id {
            return Err(SessionError::MixedNames(id));
        }
        if session.next_epoch != request.epoch {
            return Err(SessionError::WrongEpoch { id, given: request.epoch, expected: session.next_epoch });
        }
        session.next_epoch = if request.epoch == i32::MAX { 1 } else { request.epoch + 1 };
        session.used = now;
        session.update(request);
        if session.partitions.is_empty() {
            self.sessions.remove(&id);
            return Ok(full(0, vec![]));
        }
        Ok(Plan { id, incremental: true, items: session.items() })
    }

    /// Which of the partitions that were read have to be in the answer, in the order given; `plan` says how it was read.
    pub fn answer(&mut self, plan: &Plan, read: &[(Key, Reported)]) -> Vec<bool> {
        let Some(session) = self.sessions.get_mut(&plan.id) else { return vec![true; read.len()] };
        read.iter().map(|(key, reported)| session.tell(key, *reported) || !plan.incremental).collect()
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }
}

impl Session {
    fn update(&mut self, request: SessionRequest) {
        for key in request.forgotten {
            self.partitions.remove(&key);
        }
        self.order.retain(|key| self.partitions.contains_key(key));
        for (topic, partition, wanted) in request.wanted {
            if topic.is_id() != self.by_id {
                continue;
            }
            let key = (topic, partition);
            match self.partitions.get_mut(&key) {
                Some(cached) => cached.wanted = wanted,
                None => {
                    self.order.push_back(key.clone());
                    self.partitions.insert(key, Cached { wanted, told: None });
                }
            }
        }
    }

    fn items(&self) -> Vec<Item> {
        let item = |key: &Key| {
            let wanted = self.partitions.get(key)?.wanted;
            Some(Item { topic: key.0.clone(), partition: key.1, wanted })
        };
        self.order.iter().filter_map(item).collect()
    }

    /// Notes what is reported of a partition; whether that is news.
    fn tell(&mut self, key: &Key, reported: Reported) -> bool {
        let Some(cached) = self.partitions.get_mut(key) else { return true };
        let now_told = (!reported.is_error).then_some((reported.high_watermark, reported.log_start));
        let news = reported.has_news || now_told.is_none() || cached.told != now_told;
        cached.told = now_told;
        if reported.has_news {
            self.order.retain(|other| other != key);
            self.order.push_back(key.clone());
        }
        news
    }
}

fn full(id: i32, wanted: Vec<(TopicKey, PartitionId, Wanted)>) -> Plan {
    let items = wanted.into_iter().map(|(topic, partition, wanted)| Item { topic, partition, wanted });
    Plan { id, incremental: false, items: items.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{LeaderEpoch, TopicId, TopicName};

    const NOW: Duration = Duration::from_secs(1000);

    fn named(partition: i32) -> Key {
        (TopicKey::Name(TopicName::new("t").unwrap()), PartitionId(partition))
    }

    fn wanted(offset: i64) -> Wanted {
        Wanted {
            fetch_offset: Offset(offset),
            max_bytes: 1 << 20,
            leader_epoch: LeaderEpoch::NONE,
            last_fetched_epoch: LeaderEpoch::NONE,
            log_start: Offset(-1),
        }
    }

    fn request(id: i32, epoch: i32, partitions: &[i32]) -> SessionRequest {
        let want = |partition: &i32| {
            let (topic, partition) = named(*partition);
            (topic, partition, wanted(0))
        };
        SessionRequest { id, epoch, by_id: false, wanted: partitions.iter().map(want).collect(), forgotten: vec![] }
    }

    fn quiet(partition: i32, high_watermark: i64) -> (Key, Reported) {
        let high_watermark = Offset(high_watermark);
        (named(partition), Reported { has_news: false, is_error: false, high_watermark, log_start: Offset(0) })
    }

    fn begun(sessions: &mut Sessions) -> Plan {
        let plan = sessions.open(NOW, request(0, 0, &[0, 1]), 7).unwrap();
        assert_eq!((plan.id, plan.incremental, plan.items.len()), (7, false, 2));
        assert_eq!(sessions.answer(&plan, &[quiet(0, 5), quiet(1, 5)]), vec![true, true]);
        plan
    }

    #[test]
    fn an_incremental_answer_names_only_what_changed() {
        let mut sessions = Sessions::new(Settings::default());
        begun(&mut sessions);
        let plan = sessions.open(NOW, request(7, 1, &[]), 8).unwrap();
        assert_eq!((plan.incremental, plan.items.len()), (true, 2));
        assert_eq!(sessions.answer(&plan, &[quiet(0, 5), quiet(1, 6)]), vec![false, true]);
    }

    #[test]
    fn an_error_is_told_every_time_and_its_end_too() {
        let mut sessions = Sessions::new(Settings::default());
        begun(&mut sessions);
        let plan = sessions.open(NOW, request(7, 1, &[]), 8).unwrap();
        let mut broken = quiet(0, 5);
        broken.1.is_error = true;
        assert_eq!(sessions.answer(&plan, &[broken.clone()]), vec![true]);
        assert_eq!(sessions.answer(&plan, &[broken]), vec![true]);
        assert_eq!(sessions.answer(&plan, &[quiet(0, 5)]), vec![true]);
        assert_eq!(sessions.answer(&plan, &[quiet(0, 5)]), vec![false]);
    }

    #[test]
    fn who_got_records_is_read_last_next_time() {
        let mut sessions = Sessions::new(Settings::default());
        begun(&mut sessions);
        let plan = sessions.open(NOW, request(7, 1, &[]), 8).unwrap();
        let mut fed = quiet(0, 9);
        fed.1.has_news = true;
        sessions.answer(&plan, &[fed, quiet(1, 5)]);
        let plan = sessions.open(NOW, request(7, 2, &[]), 8).unwrap();
        assert_eq!(plan.items.iter().map(|item| item.partition.0).collect::<Vec<_>>(), [1, 0]);
    }

    #[test]
    fn partitions_are_added_changed_and_forgotten() {
        let mut sessions = Sessions::new(Settings::default());
        begun(&mut sessions);
        let mut next = request(7, 1, &[2]);
        next.forgotten = vec![named(0)];
        next.wanted.push((named(1).0, PartitionId(1), wanted(33)));
        let plan = sessions.open(NOW, next, 8).unwrap();
        let read: Vec<_> = plan.items.iter().map(|i| (i.partition.0, i.wanted.fetch_offset.0)).collect();
        assert_eq!(read, [(1, 33), (2, 0)]);
    }

    #[test]
    fn requests_out_of_turn_or_of_no_session_are_refused() {
        let mut sessions = Sessions::new(Settings::default());
        begun(&mut sessions);
        assert_eq!(sessions.open(NOW, request(9, 1, &[]), 8), Err(SessionError::NotFound(9)));
        let wrong = SessionError::WrongEpoch { id: 7, given: 2, expected: 1 };
        assert_eq!(sessions.open(NOW, request(7, 2, &[]), 8), Err(wrong));
        let mut mixed = request(7, 1, &[]);
        mixed.by_id = true;
        mixed.wanted = vec![(TopicKey::Id(TopicId::ZERO), PartitionId(0), wanted(0))];
        assert_eq!(sessions.open(NOW, mixed, 8), Err(SessionError::MixedNames(7)));
    }

    #[test]
    fn a_session_ends_when_asked_or_when_nothing_is_left_of_it() {
        let mut sessions = Sessions::new(Settings::default());
        begun(&mut sessions);
        assert_eq!(sessions.open(NOW, request(7, -1, &[0]), 8).unwrap().id, 0);
        assert!(sessions.is_empty());
        begun(&mut sessions);
        let mut next = request(7, 1, &[]);
        next.forgotten = vec![named(0), named(1)];
        assert_eq!(sessions.open(NOW, next, 8).unwrap().id, 0);
        assert!(sessions.is_empty());
    }

    #[test]
    fn request_numbers_begin_again_after_the_last() {
        let mut sessions = Sessions::new(Settings::default());
        begun(&mut sessions);
        sessions.sessions.get_mut(&7).unwrap().next_epoch = i32::MAX;
        sessions.open(NOW, request(7, i32::MAX, &[]), 8).unwrap();
        assert!(sessions.open(NOW, request(7, 1, &[]), 8).is_ok());
    }

    #[test]
    fn a_full_cache_gives_room_only_from_who_is_idle() {
        let mut sessions = Sessions::new(Settings { sessions_max: 1, ..Settings::default() });
        begun(&mut sessions);
        let crowded = sessions.open(NOW + Duration::from_secs(1), request(0, 0, &[0]), 8).unwrap();
        assert_eq!(crowded.id, 0);
        sessions.open(NOW + Duration::from_secs(100), request(7, 1, &[]), 8).unwrap();
        let busy = sessions.open(NOW + Duration::from_secs(130), request(0, 0, &[0]), 8).unwrap();
        assert_eq!(busy.id, 0, "it was used in between");
        let idle = sessions.open(NOW + Duration::from_secs(230), request(0, 0, &[0]), 8).unwrap();
        assert_eq!((idle.id, sessions.len()), (8, 1));
    }
}
