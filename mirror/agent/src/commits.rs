//! The commits of one protection group's consumer groups, carried raw from its owner.
//!
//! Each partition of the owner's `__consumer_offsets` is carried by the broker that leads the partition of that number
//! here: the same groups lie in it.

use crate::ports::{Sink, SinkError, Source};
use crate::way::{Address, Way};
use model::{CommitPage, CommitPart, CommitsSince, OwnershipEpoch, PartitionId, ProtectionGroup, SyncCommits};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long an idle source holds a request.
const POLL: Duration = Duration::from_millis(500);
/// How many commits are carried at a time.
const PAGE: u32 = 2000;
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Which partitions are asked for where.
type Plan = BTreeMap<Address, Vec<PartitionId>>;

/// Follows the commits of `group` under one grant, for ever: those of each broker of the source on their own.
pub(crate) async fn follow(group: ProtectionGroup, epoch: OwnershipEpoch, way: Arc<Way>, sink: Arc<dyn Sink>) {
    let link =
        Arc::new(CommitLink { group, epoch, way, sink, readings: Mutex::default(), counted: watch::Sender::new(0) });
    let (mut routes, mut led) = (link.way.routes(), link.sink.led_changes());
    let mut counted = link.counted.subscribe();
    let (mut plan, mut carrying) = (Plan::new(), JoinSet::new());
    loop {
        let next = link.plan();
        if next != plan {
            // What was begun is begun again: what is there already is not written twice.
            carrying = JoinSet::new();
            for (address, partitions) in &next {
                carrying.spawn(link.clone().carry_from(link.way.source(address), partitions.clone()));
            }
            plan = next;
        }
        tokio::select! {
            Ok(()) = routes.changed() => {}
            Ok(()) = led.changed() => {}
            Ok(()) = counted.changed() => {}
            // It ends only with a broken rule; then all of it begins anew.
            Some(_) = carrying.join_next() => plan.clear(),
            else => return,
        }
    }
}

struct CommitLink {
    group: ProtectionGroup,
    epoch: OwnershipEpoch,
    way: Arc<Way>,
    sink: Arc<dyn Sink>,
    readings: Mutex<Readings>,
    /// How many partitions of commits the source was seen to have.
    counted: watch::Sender<usize>,
}

impl CommitLink {
    fn readings(&self) -> MutexGuard<'_, Readings> {
        self.readings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who is asked for what is to be carried here. What nobody coordinates waits.
    fn plan(&self) -> Plan {
        let (wanted, routes) = (self.readings().wanted(&self.sink.led_offsets()), self.way.routes().borrow().clone());
        let mut plan = Plan::new();
        for partition in wanted {
            if let Some(address) = routes.coordinator(partition) {
                plan.entry(address.clone()).or_default().push(partition);
            }
        }
        plan
    }

    /// Carries what one broker of the source has of these partitions, for ever.
    async fn carry_from(self: Arc<Self>, source: Arc<dyn Source>, partitions: Vec<PartitionId>) {
        loop {
            let since = self.readings().since(&partitions);
            if let Err(reason) = self.carry(&*source, since).await {
                tracing::debug!(group = %self.group, reason, "commits are not carried");
                self.way.note_stale();
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }

    /// Carries one page of what came after `since`.
    async fn carry(&self, source: &dyn Source, since: Vec<CommitsSince>) -> Result<(), String> {
        let max_wait_ms = POLL.as_millis() as u32;
        let ask = SyncCommits { group: self.group.clone(), since, max_wait_ms, limit: PAGE };
        let page = source.commits(ask.clone()).await.map_err(|error| error.to_string())?;
        if page.ownership_epoch != self.epoch {
            return Err(format!("the source holds ownership epoch {}, not {}", page.ownership_epoch, self.epoch));
        }
        let (here, there) = (self.sink.led_offsets().1, self.see(&page));
        let exist =
            ask.since.iter().filter(|since| usize::try_from(since.partition.0).is_ok_and(|n| n < there)).count();
        let mut refused =
            (page.parts.len() < exist).then(|| "the source does not lead all that was asked for".to_owned());
        for part in page.parts {
            if self.readings().lack(&part) {
                let written = self.write(part).await;
                refused = written.err().map(|error| error.to_string()).or(refused);
            }
        }
        if refused.is_some() && here != there {
            tracing::warn!(group = %self.group, here, there, ?refused, "offsets topics differ in their partitions");
        }
        // A source without any of them answers at once.
        let refused = refused.or((exist == 0).then(|| "the source has none of these partitions".to_owned()));
        refused.map_or(Ok(()), Err)
    }

    /// Takes note of how many partitions the source has.
    fn see(&self, page: &CommitPage) -> usize {
        let count = usize::try_from(page.partitions).unwrap_or(0);
        self.readings().count(count);
        self.counted.send_if_modified(|known| std::mem::replace(known, count) != count);
        count
    }

    async fn write(&self, mut part: CommitPart) -> Result<(), SinkError> {
        let commits = std::mem::take(&mut part.commits);
        self.sink.apply_commits(&self.group, self.epoch, part.partition, commits, part.next).await?;
        self.readings().heard.insert(part.partition, part.onwards());
        Ok(())
    }
}

/// How far each partition of the source's topic has been heard.
#[derive(Default)]
struct Readings {
    heard: BTreeMap<PartitionId, CommitsSince>,
    /// How many it has, once that is known.
    count: Option<usize>,
}

impl Readings {
    /// What is carried where `led` of `count` partitions are led: those of the source with the same numbers, counted around
    /// where it has more.
    fn wanted(&self, (led, count): &(Vec<PartitionId>, usize)) -> Vec<PartitionId> {
        let (step, there) = ((*count).max(1), self.count.unwrap_or(*count));
        let like = |number: &PartitionId| (usize::try_from(number.0).unwrap_or(0)..there).step_by(step);
        led.iter().flat_map(like).map(|number| PartitionId(number as i32)).collect()
    }

    /// The source was seen to have so many. One that has none yet is not taken at its word: whoever asks it for nothing never
    /// hears of the first.
    fn count(&mut self, count: usize) {
        if count > 0 {
            self.count = Some(count);
        }
    }

    /// What to ask for.
    fn since(&self, partitions: &[PartitionId]) -> Vec<CommitsSince> {
        let of = |number: &PartitionId| self.heard.get(number).copied().unwrap_or(CommitsSince::beginning(*number));
        partitions.iter().map(of).collect()
    }

    /// Whether the part says something new.
    fn lack(&self, part: &CommitPart) -> bool {
        !part.commits.is_empty() || self.heard.get(&part.partition) != Some(&part.onwards())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(readings: &Readings, led: &[i32], count: usize) -> Vec<i32> {
        let led = led.iter().map(|number| PartitionId(*number)).collect();
        readings.wanted(&(led, count)).into_iter().map(|partition| partition.0).collect()
    }

    #[test]
    fn each_partition_is_carried_by_the_leader_of_the_one_with_its_number() {
        let mut readings = Readings::default();
        assert_eq!(asked(&readings, &[0, 2], 4), [0, 2], "as many there as here, as long as nothing is known");
        readings.count(0);
        assert_eq!(asked(&readings, &[0, 2], 4), [0, 2], "a source that has none yet is asked on");
        readings.count(10);
        assert_eq!(asked(&readings, &[0, 2], 4), [0, 4, 8, 2, 6]);
        readings.count(2);
        assert_eq!(asked(&readings, &[0, 2], 4), [0]);
        assert_eq!(asked(&readings, &[], 4), [0; 0]);
    }
}
