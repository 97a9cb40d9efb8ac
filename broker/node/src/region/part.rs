//! One broker's part of what its region is asked.

use super::{Ask, Told};
use crate::Broker;
use crate::orders::ends;
use crate::replica::Lost;
use model::{CommitMarks, LinkPartitionStatus, OwnershipEpoch, PartitionEnd, ProtectionGroup, RegionName};
use std::time::Duration;
use tokio::time::timeout;

/// How long writes that were taken may need for their answers.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a copy may need to catch up within one attempt.
pub(crate) const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(20);
/// How long all replicas that are in sync may need to have the same on their disks.
pub(crate) const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a broker could not do its part, in words.
type Outcome = Result<Told, String>;

fn text(error: impl ToString) -> String {
    error.to_string()
}

impl Broker {
    /// This broker's answer.
    pub(crate) async fn tell(&self, ask: Ask) -> Told {
        let told = match ask {
            Ask::Drained(group) => self.drained(&group).await,
            Ask::CaughtUp { group, epoch, ends, commits } => self.caught_up(&group, epoch, &ends, &commits).await,
            Ask::Collected { group, from } => self.collected(&group, &from).await,
            Ask::Sealed(group) => self.sealed(&group).await,
            Ask::Begun(group) => self.begun(&group).await,
            Ask::Status { with_hashes } => {
                self.own_status(with_hashes).await.map(Box::new).map(Told::Status).map_err(text)
            }
            Ask::Links => Ok(Told::Links(self.own_links())),
            Ask::Rebuild(group) => self.rebuild(&group).await,
            Ask::ConsumerGroups => Ok(Told::ConsumerGroups(self.own_consumer_groups())),
            Ask::Facts => {
                let (diverged, gaps) = self.0.facts.pending();
                Ok(Told::Facts(diverged, gaps))
            }
            Ask::Acknowledge { diverged, gaps } => {
                self.0.facts.acknowledge(&diverged, &gaps).map(|()| Told::Done).map_err(text)
            }
            Ask::Diverged { file, at, max } => self.own_diverged(&file, at, max).await.map(Told::Diverged),
            Ask::Assignment { above } => Ok(Told::Assignment(self.newer_assignment(above).await.map(Box::new))),
            Ask::Topic(ask) => Ok(Told::Topic(self.ask_council(ask).await)),
        };
        told.unwrap_or_else(Told::Failed)
    }

    /// How far the copies are that are led here. Whether one is a standby is known beside its log, whatever the link does.
    fn own_links(&self) -> Vec<LinkPartitionStatus> {
        let mut links = self.0.links.get().map(|links| links.status()).unwrap_or_default();
        for link in &mut links {
            if let Some(state) = self.copy_defect(link.topic_id, link.partition) {
                state.clone_into(&mut link.state);
            }
            if let Some(range) = self.copy_difference(link.topic_id, link.partition) {
                link.proof.get_or_insert_default().difference.get_or_insert(range);
            }
        }
        links
    }

    /// Drops the copies led here that are no standby until they are copied anew, and has them copied.
    async fn rebuild(&self, group: &ProtectionGroup) -> Outcome {
        let mut rebuilt = 0;
        let due = self.own_links().into_iter().filter(|link| link.group == *group && link.must_be_rebuilt());
        for link in due {
            self.remake_copy(link.topic_id, link.partition).await.map_err(text)?;
            tracing::warn!(topic = %link.topic, partition = %link.partition, source = %link.source,
                "the copy was dropped by order, and is copied anew");
            rebuilt += 1;
        }
        Ok(Told::Rebuilt(rebuilt))
    }

    async fn drained(&self, group: &ProtectionGroup) -> Outcome {
        self.control().catch_up().await.map_err(text)?;
        let gate = self.0.gates.of(group).filter(|gate| gate.is_stopped());
        let gate = gate.ok_or_else(|| format!("writes to {group} are not stopped here yet"))?;
        let drained = timeout(DRAIN_TIMEOUT, gate.drained()).await;
        drained.map_err(|_| "writes that were taken are not answered yet".to_owned())?;
        let read = timeout(DRAIN_TIMEOUT, self.groups_loaded()).await;
        read.map_err(|_| "the commits of its consumer groups are still being read".to_owned())?;
        self.settled_ends(group).await
    }

    async fn caught_up(
        &self,
        group: &ProtectionGroup,
        epoch: OwnershipEpoch,
        wanted: &[PartitionEnd],
        commits: &CommitMarks,
    ) -> Outcome {
        let all = async {
            ends::caught_up(self, wanted).await;
            self.commits_reached(group, epoch, commits).await;
        };
        let reached = timeout(CATCH_UP_TIMEOUT, all).await;
        reached.map_err(|_| "its copies have not caught up yet".to_owned())?;
        Ok(Told::Ends { ends: ends::ends(self, group), commits: self.reached_commits(group, epoch) })
    }

    async fn collected(&self, group: &ProtectionGroup, from: &[RegionName]) -> Outcome {
        let links = self.0.links.get().ok_or("its links are not started")?;
        links.collect(group, from).await.map_err(text)?;
        self.settled_ends(group).await
    }

    async fn sealed(&self, group: &ProtectionGroup) -> Outcome {
        self.control().catch_up().await.map_err(text)?;
        self.settled(ends::flushed_ends(self, group)).await?;
        Ok(Told::Sealed(ends::sealed(self, group)))
    }

    async fn begun(&self, group: &ProtectionGroup) -> Outcome {
        self.control().catch_up().await.map_err(text)?;
        Ok(self.ends(self.settled(ends::opened_ends(self, group)).await?))
    }

    async fn settled_ends(&self, group: &ProtectionGroup) -> Outcome {
        Ok(self.ends(self.settled(ends::flushed_ends(self, group)).await?))
    }

    async fn settled<T>(&self, settling: impl Future<Output = Result<T, Lost>>) -> Result<T, String> {
        let late = |_| "not all replicas that are in sync have everything on their disks yet".to_owned();
        timeout(SETTLE_TIMEOUT, settling).await.map_err(late)?.map_err(text)
    }

    fn ends(&self, ends: Vec<PartitionEnd>) -> Told {
        Told::Ends { ends, commits: self.commit_marks() }
    }
}
