//! Publishing diverged tails: every record of a tail, as it is, in the topic that [`destination`](super::destination) names.
//!
//! The council's leader does it as a client of the topic's owner, as soon as it hears of a tail, and tries until it is done.
//! A region that comes back never waits for that: it cuts its tail off as soon as the file is written. Like a
//! re-injection, what is sent was agreed on in the council before, so that whoever goes on with it sends nothing twice.
//! Regions that copied from one lost owner have tails of the same records: they go one after the other, and each leaves out
//! what is there.

use super::destination::{Destination, config};
use super::salvage::{KnownTail, RegionFile};
use super::{WorkError, Works};
use crate::council::CouncilError;
use crate::ports::{PortError, TailFile, TailSite};
use crate::tenure::system_name;
use crate::topics::Topics;
use catalog::command::{
    FinishPublication, NewTopic, PublicationPlan, PublicationSummary, PublishedRun, StartPublication,
};
use catalog::limits::PUBLISHED_RUNS_MAX;
use catalog::reader::RecordedTail;
use mirror_core::salvage::Published;
use model::TopicState;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::sleep;

/// How long after a failed attempt the next one is made; each time twice as long, up to the second of them.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

impl Works {
    /// Publishes a tail, as often as it takes; each attempt takes one of `turns`.
    pub(super) async fn see_to_publication(&self, tail: String, turns: Arc<Semaphore>) {
        let mut pause = PAUSE;
        loop {
            let turn = turns.acquire().await;
            match self.publish(&tail).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(tail, %error, "a diverged tail is not published yet"),
            }
            drop(turn);
            sleep(pause).await;
            pause = (2 * pause).min(PAUSE_MAX);
        }
    }

    async fn publish(&self, id: &str) -> Result<(), WorkError> {
        let known = self.tail(id).await?;
        let Some(to) = known.due() else { return Ok(()) };
        self.make(to).await?;
        let (recorded, file) = (&known.recorded, self.file(&known.recorded));
        let site = self.site_in(recorded, to)?;
        let plan = match known.publication.clone() {
            Some(begun) => begun.plan,
            None => self.agreed_in(recorded, to, &site).await?,
        };
        let agreed = (plan.producer_id, plan.producer_epoch, plan.since);
        let others = self.others(&known).await?;
        let others: Vec<_> = others.iter().map(|other| other as &dyn TailFile).collect();
        let published = self.ports.salvor.publish(&site, agreed, &file, &others).await;
        let summary = summary(published.map_err(|error| failed(recorded, error))?);
        tracing::info!(tail = id, topic = %plan.name, records = summary.records, "a diverged tail is published");
        self.finish(FinishPublication { tail: id.to_owned(), summary }).await;
        Ok(())
    }

    /// The tails of other regions that may have brought the same records; none of them is at work.
    async fn others(&self, known: &KnownTail) -> Result<Vec<RegionFile>, WorkError> {
        let all = self.tails().await?;
        let published = all.iter().filter(|other| other.is_of_the_lineage(known) && other.is_published());
        Ok(published.map(|other| self.file(&other.recorded)).collect())
    }

    /// Makes the topic, or more partitions of it, where they are not there.
    async fn make(&self, to: &Destination) -> Result<(), WorkError> {
        let topics = Topics::new(self.council.clone(), system_name(&self.council));
        let there = self.council.view().topics.of_id(to.id).map(|topic| topic.partitions);
        match there {
            Some(partitions) if partitions >= to.partitions => {}
            Some(_) => drop(topics.grow(to.name.clone(), to.partitions).await?),
            None => drop(only(topics.create(vec![to.new_topic()]).await?)?),
        }
        Ok(())
    }

    async fn agreed_in(
        &self,
        recorded: &RecordedTail,
        to: &Destination,
        site: &TailSite,
    ) -> Result<PublicationPlan, WorkError> {
        let agreed = self.ports.salvor.agree(site).await;
        let (producer_id, producer_epoch, since) = agreed.map_err(|error| failed(recorded, error))?;
        let plan = PublicationPlan { topic: to.id, name: to.name.clone(), producer_id, producer_epoch, since };
        let (region, tail) = (recorded.region.clone(), recorded.id());
        let start = StartPublication { region, tail: tail.clone(), plan: plan.clone() };
        self.council.propose(&system_name(&self.council), start).await?;
        // Somebody else may have been quicker.
        Ok(self.council.reader().publication(&tail).await?.map_or(plan, |begun| begun.plan))
    }

    fn site_in(&self, recorded: &RecordedTail, to: &Destination) -> Result<TailSite, WorkError> {
        let view = self.council.view();
        let lost =
            |what: &str| WorkError::Region { region: recorded.region.clone(), what: format!("{}: {what}", to.name) };
        let topic = view.topics.of_id(to.id).ok_or_else(|| lost("it is not there yet"))?;
        let owner = self.owner(&topic.group)?;
        let region = view.region(&owner).ok_or_else(|| lost("its owner is gone"))?;
        Ok(TailSite {
            address: region.address.gateways.clone(),
            region: recorded.region.clone(),
            topic: to.name.clone(),
            tail: recorded.tail.clone(),
        })
    }
}

impl KnownTail {
    /// Where it is to be published, if it is to be and is not.
    pub(super) fn due(&self) -> Option<&Destination> {
        self.destination.as_ref().ok().filter(|_| !self.is_published())
    }

    fn is_published(&self) -> bool {
        self.publication.as_ref().is_some_and(|publication| publication.summary.is_some())
    }
}

impl Destination {
    fn new_topic(&self) -> NewTopic {
        NewTopic {
            id: self.id,
            name: self.name.clone(),
            partitions: self.partitions,
            config: config(),
            state: TopicState::Live,
            epochs_above: None,
        }
    }
}

fn failed(recorded: &RecordedTail, error: PortError) -> WorkError {
    WorkError::Region { region: recorded.region.clone(), what: error.0 }
}

/// What became of the only thing that was asked for.
fn only<T>(outcomes: Vec<Result<T, catalog::Refusal>>) -> Result<Option<T>, CouncilError> {
    outcomes.into_iter().next().transpose().map_err(CouncilError::Refused)
}

fn summary(published: Published) -> PublicationSummary {
    let runs = published.runs.iter().take(PUBLISHED_RUNS_MAX);
    PublicationSummary {
        records: published.tally.sent(),
        held: published.tally.held,
        aborted: published.tally.aborted,
        open: published.tally.open,
        runs: runs.map(|run| PublishedRun { from: run.source, to: run.target, count: run.count }).collect(),
        runs_complete: published.runs.len() <= PUBLISHED_RUNS_MAX,
    }
}
