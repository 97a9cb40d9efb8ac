//! Diverged tails: what the new lineage holds of them, and writing again what it lacks.
//!
//! The council's leader does the writing itself, as a client of the owner. What it sends was agreed on in the council
//! before ([`ReinjectionPlan`]), so that the next leader goes on where it stopped, and a leader that was taken for dead
//! sends nothing twice.

use super::destination::{Destination, Unpublished, destination, id_of};
use super::{WorkError, Works};
use crate::council::{Call, Council, CouncilError, Reply};
use crate::ports::{PortError, TailFile, TailSite};
use catalog::CatalogError;
use catalog::command::{FinishReinjection, ReinjectionOutcome, ReinjectionPlan, ReinjectionSummary, StartReinjection};
use catalog::reader::{Publication, RecordedTail, Reinjection, WorkState};
use env::PortFuture;
use mirror_core::salvage::{Findings, Tally, Wish};
use model::{RegionName, TopicState};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long a region may take for a piece of a file.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a comparison may take that somebody waits for.
const COMPARE_TIMEOUT: Duration = Duration::from_secs(12);
/// How long is waited for a comparison before a re-injection begins.
const LOOK_TIMEOUT: Duration = Duration::from_secs(4);
/// How often a re-injection is tried until it counts as failed; a later request goes on with it.
const ATTEMPTS_MAX: u32 = 10;
const ATTEMPT_PAUSE: Duration = Duration::from_secs(2);

/// A diverged tail and what was done about it.
#[derive(Clone, Debug)]
pub(crate) struct KnownTail {
    pub(crate) recorded: RecordedTail,
    pub(crate) reinjection: Option<Reinjection>,
    pub(crate) publication: Option<Publication>,
    /// Where it is published, now or later.
    pub(crate) destination: Result<Destination, Unpublished>,
}

impl KnownTail {
    /// Whether it is another region's tail of the same partition and epoch.
    pub(super) fn is_of_the_lineage(&self, other: &Self) -> bool {
        self.recorded.id() != other.recorded.id() && self.recorded.tail.is_of_the_lineage(&other.recorded.tail)
    }
}

impl Works {
    /// All diverged tails.
    pub(crate) async fn tails(&self) -> Result<Vec<KnownTail>, CatalogError> {
        let (reader, view) = (self.council.reader(), self.council.view());
        let tails = reader.diverged(None).await?;
        let mut reinjections: BTreeMap<String, Reinjection> =
            reader.reinjections().await?.into_iter().map(|known| (known.tail.clone(), known)).collect();
        let mut publications: BTreeMap<String, Publication> =
            reader.publications().await?.into_iter().map(|known| (known.tail.clone(), known)).collect();
        let holding = tails.iter().map(|known| id_of(known.tail.topic, known.tail.ownership_epoch)).collect();
        let known = tails.into_iter().map(|recorded| {
            let id = recorded.id();
            let publication = publications.remove(&id);
            let plan = publication.as_ref().map(|publication| &publication.plan);
            let destination = destination(&view, &recorded.tail, plan, &holding);
            KnownTail { reinjection: reinjections.remove(&id), publication, destination, recorded }
        });
        Ok(known.collect())
    }

    /// One of them.
    pub(crate) async fn tail(&self, id: &str) -> Result<KnownTail, WorkError> {
        let found = self.tails().await?.into_iter().find(|tail| tail.recorded.id() == id);
        found.ok_or_else(|| WorkError::UnknownTail(id.to_owned()))
    }

    /// What the owner's log holds of a tail now, and what `wish` would have written again.
    pub(crate) async fn compare(&self, tail: &RecordedTail, wish: Wish) -> Result<Findings, WorkError> {
        let what = || format!("the comparison of {} takes longer than {COMPARE_TIMEOUT:?}", tail.id());
        let late = || WorkError::Region { region: tail.region.clone(), what: what() };
        self.compare_within(tail, wish, COMPARE_TIMEOUT).await?.ok_or_else(late)
    }

    /// The same; `None` when it takes longer than `limit`.
    async fn compare_within(
        &self,
        tail: &RecordedTail,
        wish: Wish,
        limit: Duration,
    ) -> Result<Option<Findings>, WorkError> {
        let (site, file) = (self.site(tail)?, self.file(tail));
        let failed = |error: PortError| WorkError::Region { region: tail.region.clone(), what: error.0 };
        match timeout(limit, self.ports.salvor.compare(&site, wish, &file)).await {
            Ok(compared) => compared.map(Some).map_err(failed),
            Err(_) => Ok(None),
        }
    }

    /// Begins to write a tail again, unless that has begun; one that has failed goes on. Says how it stands.
    ///
    /// # Errors
    /// [`WorkError::NotReinjectable`] when its records belong nowhere.
    pub(crate) async fn reinject(&self, id: &str, wish: Wish, by: &str) -> Result<Reinjection, WorkError> {
        let linearizable = self.council.ensure_linearizable().await;
        linearizable.map_err(|error| CouncilError::NotDone(error.to_string()))?;
        let known = self.tail(id).await?;
        let behind = self.written_again(&known).await?;
        let plan = match known.reinjection {
            Some(there) if there.state != WorkState::Failed => return Ok(there),
            Some(failed) => failed.plan,
            None => self.agreed(&known.recorded, wish).await?,
        };
        let start = StartReinjection { region: known.recorded.region, tail: id.to_owned(), plan, behind };
        match self.council.propose(by, start).await {
            // Somebody else was quicker.
            Ok(_) | Err(CouncilError::Refused(catalog::Refusal::Ended { .. })) => {}
            Err(error) => return Err(error.into()),
        }
        let begun = self.council.reader().reinjection(id).await?;
        begun.ok_or_else(|| WorkError::UnknownTail(id.to_owned()))
    }

    /// The tails of other regions that were written again and may have brought the same records.
    async fn written_again(&self, known: &KnownTail) -> Result<Vec<String>, CatalogError> {
        let is_written = |other: &KnownTail| {
            other.reinjection.as_ref().is_some_and(|reinjection| reinjection.state == WorkState::Completed)
        };
        let all = self.tails().await?;
        let of_lineage = all.iter().filter(|other| other.is_of_the_lineage(known) && is_written(other));
        Ok(of_lineage.map(|other| other.recorded.id()).collect())
    }

    async fn agreed(&self, tail: &RecordedTail, wish: Wish) -> Result<ReinjectionPlan, WorkError> {
        // Nothing is begun that cannot be judged, as far as that shows soon.
        self.compare_within(tail, wish, LOOK_TIMEOUT).await?;
        let agreed = self.ports.salvor.agree(&self.site(tail)?).await;
        let failed = |error: PortError| WorkError::Region { region: tail.region.clone(), what: error.0 };
        let (producer_id, producer_epoch, until) = agreed.map_err(failed)?;
        let Wish { keys_not_newer, leave_unknown } = wish;
        Ok(ReinjectionPlan { keys_not_newer, leave_unknown, producer_id, producer_epoch, until })
    }

    /// Where the records of a tail belong now.
    fn site(&self, recorded: &RecordedTail) -> Result<TailSite, WorkError> {
        let refused = |what: String| WorkError::NotReinjectable { tail: recorded.id(), what };
        let view = self.council.view();
        let topic = view.topics.of_id(recorded.tail.topic).filter(|topic| topic.state == TopicState::Live);
        let topic = topic.ok_or_else(|| refused("its topic was deleted".to_owned()))?;
        if topic.name.is_internal() {
            return Err(refused(format!("{} is an internal topic, which clients do not write", topic.name)));
        }
        let owner = self.owner(&topic.group)?;
        let region = view.region(&owner).ok_or_else(|| refused(format!("there is no region {owner}")))?;
        let address = region.address.gateways.clone();
        Ok(TailSite {
            address,
            region: recorded.region.clone(),
            topic: topic.name.clone(),
            tail: recorded.tail.clone(),
        })
    }

    pub(super) fn file(&self, recorded: &RecordedTail) -> RegionFile {
        let (council, region) = (self.council.clone(), recorded.region.clone());
        RegionFile { council, region, file: recorded.tail.file.clone() }
    }

    pub(super) async fn see_to_reinjection(&self, reinjection: Reinjection) {
        let mut attempt = 1;
        let outcome = loop {
            match self.carry_out(&reinjection).await {
                Ok(tally) => break ReinjectionOutcome::Completed(summary(tally)),
                Err(error) if attempt >= ATTEMPTS_MAX => {
                    break ReinjectionOutcome::Failed { reason: error.to_string() };
                }
                Err(error) => {
                    tracing::warn!(tail = reinjection.tail, attempt, %error, "a re-injection does not go on yet");
                }
            }
            attempt += 1;
            sleep(ATTEMPT_PAUSE).await;
        };
        tracing::info!(tail = reinjection.tail, ?outcome, "a re-injection has ended");
        self.finish(FinishReinjection { tail: reinjection.tail, outcome }).await;
    }

    async fn carry_out(&self, reinjection: &Reinjection) -> Result<Tally, WorkError> {
        let recorded = self.tail(&reinjection.tail).await?.recorded;
        let (site, file, plan) = (self.site(&recorded)?, self.file(&recorded), &reinjection.plan);
        let wish = Wish { keys_not_newer: plan.keys_not_newer, leave_unknown: plan.leave_unknown };
        let agreed = (plan.producer_id, plan.producer_epoch, plan.until);
        let written = self.ports.salvor.reinject(&site, wish, agreed, &file).await;
        written.map_err(|error| WorkError::Region { region: recorded.region.clone(), what: error.0 })
    }
}

/// A file of a region, read through its node.
pub(super) struct RegionFile {
    council: Council,
    region: RegionName,
    file: String,
}

impl TailFile for RegionFile {
    fn read(&self, at: u64, max: u32) -> PortFuture<'_, Result<Vec<u8>, PortError>> {
        Box::pin(async move {
            let call = Call::ReadDiverged { file: self.file.clone(), at, max };
            match self.council.call_region(&self.region, &call, READ_TIMEOUT).await {
                Ok(Reply::Diverged(bytes)) => Ok(bytes),
                Ok(other) => Err(PortError(format!("{} answered {other:?}", self.region))),
                Err(error) => Err(PortError(format!("{}: {}", self.region, error.what))),
            }
        })
    }
}

const fn summary(tally: Tally) -> ReinjectionSummary {
    let Tally { lacking, unknown, held, newer_key, unknown_left, aborted, open } = tally;
    ReinjectionSummary { lacking, unknown, held, newer_key, unknown_left, aborted, open }
}
