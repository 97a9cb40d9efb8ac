//! The commits of one protection group's consumer groups, carried raw from its owner.
//!
//! Each partition of the owner's `__consumer_offsets` is carried by the broker that leads the partition of that number
//! here: the same groups lie in it.

use crate::ports::{Sink, SinkError, Source};
use model::{CommitPage, CommitPart, CommitsSince, OwnershipEpoch, PartitionId, ProtectionGroup, SyncCommits};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long an idle source holds a request.
const POLL: Duration = Duration::from_millis(500);
/// How many commits are carried at a time.
const PAGE: u32 = 2000;
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Follows the commits of `group` under one grant, for ever.
pub(crate) async fn follow(
    group: ProtectionGroup,
    epoch: OwnershipEpoch,
    source: Arc<dyn Source>,
    sink: Arc<dyn Sink>,
) {
    let mut link = CommitLink { group, epoch, sink, readings: Readings::default() };
    loop {
        let since = link.readings.since(&link.sink.led_offsets());
        if let Err(reason) = link.carry(&*source, since).await {
            tracing::debug!(group = %link.group, reason, "commits are not carried");
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
}

struct CommitLink {
    group: ProtectionGroup,
    epoch: OwnershipEpoch,
    sink: Arc<dyn Sink>,
    readings: Readings,
}

impl CommitLink {
    /// Carries one page of what came after `since`.
    async fn carry(&mut self, source: &dyn Source, since: Vec<CommitsSince>) -> Result<(), String> {
        if since.is_empty() {
            return Err("no partition of the offsets topic is led here".to_owned());
        }
        let max_wait_ms = POLL.as_millis() as u32;
        let ask = SyncCommits { group: self.group.clone(), since, max_wait_ms, limit: PAGE };
        let page = source.commits(ask.clone()).await.map_err(|error| error.to_string())?;
        if page.ownership_epoch != self.epoch {
            return Err(format!("the source holds ownership epoch {}, not {}", page.ownership_epoch, self.epoch));
        }
        let is_whole = page.parts.len() == ask.since.len();
        let mut refused = self.readings.see(&page);
        for part in page.parts.into_iter().filter(|part| self.readings.lack(part)).collect::<Vec<_>>() {
            refused = self.write(part).await.err().map(|error| error.to_string()).or(refused);
        }
        match refused {
            Some(reason) => Err(reason),
            None if is_whole => Ok(()),
            None => Err("the source does not lead all that was asked for".to_owned()),
        }
    }

    async fn write(&mut self, mut part: CommitPart) -> Result<(), SinkError> {
        let commits = std::mem::take(&mut part.commits);
        self.sink.apply_commits(&self.group, self.epoch, part.partition, commits, part.next).await?;
        self.readings.heard.insert(part.partition, part.onwards());
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
    /// What to ask for where `led` of `count` partitions are led here: those of the source with the same numbers, counted
    /// around where it has more.
    fn since(&self, (led, count): &(Vec<PartitionId>, usize)) -> Vec<CommitsSince> {
        let (step, there) = ((*count).max(1), self.count.unwrap_or(*count));
        let like = |number: &PartitionId| (usize::try_from(number.0).unwrap_or(0)..there).step_by(step);
        let wanted = led.iter().flat_map(like).map(|number| PartitionId(number as i32));
        let of = |number| self.heard.get(&number).copied().unwrap_or(CommitsSince::beginning(number));
        wanted.map(of).collect()
    }

    /// Takes note of how many partitions there are; says what is wrong with that.
    fn see(&mut self, page: &CommitPage) -> Option<String> {
        let count = usize::try_from(page.partitions).ok();
        let is_news = self.count.is_some_and(|known| Some(known) != count);
        self.count = count;
        is_news.then(|| format!("the source has {} partitions of commits now", page.partitions))
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
        readings.since(&(led, count)).into_iter().map(|since| since.partition.0).collect()
    }

    #[test]
    fn each_partition_is_carried_by_the_leader_of_the_one_with_its_number() {
        let mut readings = Readings::default();
        assert_eq!(asked(&readings, &[0, 2], 4), [0, 2], "as many there as here, as long as nothing is known");
        readings.count = Some(10);
        assert_eq!(asked(&readings, &[0, 2], 4), [0, 4, 8, 2, 6]);
        readings.count = Some(2);
        assert_eq!(asked(&readings, &[0, 2], 4), [0]);
        assert_eq!(asked(&readings, &[], 4), [0; 0]);
    }
}
