//! Places where a drill may have the process that copies die: `FARSHORE_MIRROR_FAILPOINT=<file>`.
//!
//! Each line of the file says who dies where: `<region> <place>`, the places as [`Place::name`] has them, `any` for
//! whichever region comes there. Whoever comes there takes its line away, moves the file as it was to `<file>.died`, so
//! that nobody dies of it twice, and aborts, as if it had been killed. While there is no such file nobody dies; without
//! the variable nobody looks.

use crate::salvor::Purpose;
use env::PortFuture;
use mirror::{CommitsRequest, Connector, FetchAnswer, FetchRequest, Source, SourceError};
use mirror_core::verify::{AskCheckpoints, CheckpointsPage};
use mirror_core::window::Body;
use model::{CommitPage, FollowMetadata, Leaders, RegionAddress, RegionName};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// The variable that names the file.
const VARIABLE: &str = "FARSHORE_MIRROR_FAILPOINT";
/// Whichever region.
const ANY: &str = "any";
/// Held by whoever looks.
static LOOKING: Mutex<()> = Mutex::new(());

/// A place in the life of a copied record, commit, topic or fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Records have arrived; nothing is done with them.
    AnswerReceived,
    /// They are to be appended.
    AppendBegun,
    /// They are appended, and on no disk yet.
    AppendDone,
    /// They are on disk; readers are not shown them.
    Flushed,
    /// Commits of consumer groups have arrived; nothing is done with them.
    CommitsReceived,
    /// They are durable here; nobody has taken note of how far that is.
    CommitsWritten,
    /// Hashes of the source have arrived; nothing is compared.
    ProofReceived,
    /// The council has decided something; nothing of it is real here.
    DecisionReceived,
    /// It is real here: topics are made, configurations are others, the mode's rule is on or off.
    DecisionReal,
    /// The source has dropped what is not copied; nothing is stored of that.
    GapFound,
    /// The gap is stored; the copy's log is as it was.
    GapRecorded,
    /// The copy's log is empty and begins behind the gap.
    LogRestarted,
    /// The copy's log start has followed the source's.
    LogStartRaised,
    /// The copy has diverged; nothing is archived.
    TailFound,
    /// The tail is archived, and still in the log.
    TailArchived,
    /// It is cut off.
    TailTruncated,
    /// The council has stored what was found; this region does not know.
    FactStored,
    /// Some of a diverged tail is written again.
    TailHalfSent,
    /// Some of it is published.
    TailHalfPublished,
}

impl Place {
    /// Its name.
    const fn name(self) -> &'static str {
        match self {
            Self::AnswerReceived => "answer-received",
            Self::AppendBegun => "append-begun",
            Self::AppendDone => "append-done",
            Self::Flushed => "flushed",
            Self::CommitsReceived => "commits-received",
            Self::CommitsWritten => "commits-written",
            Self::ProofReceived => "proof-received",
            Self::DecisionReceived => "decision-received",
            Self::DecisionReal => "decision-real",
            Self::GapFound => "gap-found",
            Self::GapRecorded => "gap-recorded",
            Self::LogRestarted => "log-restarted",
            Self::LogStartRaised => "log-start-raised",
            Self::TailFound => "tail-found",
            Self::TailArchived => "tail-archived",
            Self::TailTruncated => "tail-truncated",
            Self::FactStored => "fact-stored",
            Self::TailHalfSent => "tail-half-sent",
            Self::TailHalfPublished => "tail-half-published",
        }
    }

    /// Where some of a diverged tail is sent.
    pub(super) const fn of_half_sent(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Reinjection => Self::TailHalfSent,
            Purpose::Publication => Self::TailHalfPublished,
        }
    }
}

/// Where this process is to die, if anywhere.
#[derive(Clone, Debug, Default)]
pub(super) struct Failpoint(Option<Arc<Armed>>);

#[derive(Debug)]
struct Armed {
    region: RegionName,
    file: PathBuf,
}

impl Failpoint {
    /// As the environment says, for a process of `region`.
    pub(super) fn of(region: &RegionName) -> Self {
        let file = std::env::var_os(VARIABLE).map(PathBuf::from);
        Self(file.map(|file| Arc::new(Armed { region: region.clone(), file })))
    }

    /// Dies here if that is asked for.
    pub(super) fn reach(&self, place: Place) {
        let Some(armed) = &self.0 else { return };
        let _nobody_passes_one_that_dies = LOOKING.lock();
        if armed.is_due(place) {
            tracing::error!(place = place.name(), "dying here, as {VARIABLE} asks");
            std::process::abort();
        }
    }

    /// The same, where `holds` says that it is the place.
    pub(super) fn reach_if(&self, holds: bool, place: Place) {
        if holds {
            self.reach(place);
        }
    }

    /// Sources whose answers are such places.
    pub(super) fn over(&self, connector: Arc<dyn Connector>) -> Arc<dyn Connector> {
        match &self.0 {
            None => connector,
            Some(_) => Arc::new(Observed { inner: connector, failpoint: self.clone() }),
        }
    }
}

impl Armed {
    /// Whether somebody is to die here and nobody has yet; from now on somebody has.
    fn is_due(&self, place: Place) -> bool {
        let asked = fs::read_to_string(&self.file).unwrap_or_default();
        let (here, elsewhere): (Vec<&str>, Vec<&str>) = asked.lines().partition(|line| self.is_meant(line, place));
        !here.is_empty() && self.take(&elsewhere).is_ok()
    }

    fn is_meant(&self, line: &str, place: Place) -> bool {
        line.trim()
            .split_once(' ')
            .is_some_and(|(region, asked)| asked == place.name() && (region == ANY || region == self.region.as_str()))
    }

    /// Leaves what is asked for `elsewhere`; fails if somebody else has taken the file.
    fn take(&self, elsewhere: &[&str]) -> io::Result<()> {
        fs::rename(&self.file, self.file.with_added_extension("died"))?;
        if elsewhere.is_empty() {
            return Ok(());
        }
        let draft = self.file.with_added_extension("left");
        fs::write(&draft, elsewhere.join("\n"))?;
        fs::rename(draft, &self.file)
    }
}

/// A connector, or a source of it.
struct Observed<T: ?Sized> {
    inner: Arc<T>,
    failpoint: Failpoint,
}

impl Connector for Observed<dyn Connector> {
    fn source(&self, region: &RegionAddress, address: &str) -> Arc<dyn Source> {
        Arc::new(Observed { inner: self.inner.source(region, address), failpoint: self.failpoint.clone() })
    }
}

impl Source for Observed<dyn Source> {
    fn fetch(&self, request: FetchRequest) -> PortFuture<'_, Result<FetchAnswer, SourceError>> {
        Box::pin(async move {
            let answer = self.inner.fetch(request).await?;
            let brings = |body: &Body| matches!(body, Body::Records(records) if !records.is_empty());
            let is_news = answer.partitions.iter().any(|(_, answer)| brings(&answer.body));
            self.failpoint.reach_if(is_news, Place::AnswerReceived);
            Ok(answer)
        })
    }

    fn commits(&self, request: CommitsRequest) -> PortFuture<'_, Result<CommitPage, SourceError>> {
        Box::pin(async move {
            let page = self.inner.commits(request).await?;
            let is_news = page.parts.iter().any(|part| !part.commits.is_empty());
            self.failpoint.reach_if(is_news, Place::CommitsReceived);
            Ok(page)
        })
    }

    fn leaders(&self, ask: FollowMetadata) -> PortFuture<'_, Result<Leaders, SourceError>> {
        self.inner.leaders(ask)
    }

    fn checkpoints(&self, ask: AskCheckpoints) -> PortFuture<'_, Result<Vec<CheckpointsPage>, SourceError>> {
        Box::pin(async move {
            let pages = self.inner.checkpoints(ask).await?;
            self.failpoint.reach_if(!pages.is_empty(), Place::ProofReceived);
            Ok(pages)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_dies_where_it_is_told_to_and_once() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("die");
        let armed = |region: &str| Armed { region: RegionName::new(region).unwrap(), file: file.clone() };
        assert!(!armed("r2").is_due(Place::Flushed), "nobody asks for it");
        fs::write(&file, "r2 flushed\n").unwrap();
        assert!(!armed("r1").is_due(Place::Flushed) && !armed("r2").is_due(Place::AppendDone), "elsewhere");
        assert_eq!([(); 2].map(|()| armed("r2").is_due(Place::Flushed)), [true, false]);
        assert!(directory.path().join("die.died").exists());
        fs::write(&file, "any flushed").unwrap();
        assert!(armed("r3").is_due(Place::Flushed), "whoever comes there");
        fs::write(&file, "r2 flushed\nr2 fact-stored").unwrap();
        let twice = [Place::FactStored, Place::FactStored, Place::Flushed, Place::Flushed];
        assert_eq!(twice.map(|place| armed("r2").is_due(place)), [true, false, true, false], "in any order");
        assert!(!file.exists());
    }
}
