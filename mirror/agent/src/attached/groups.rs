//! Commits of consumer groups, translated.

mod gone;
mod kept;

use super::{AttachedError, Settings, Shared, Views, look};
use gone::committed_or_none;
use kept::KeptLedger;
use mirror_core::attached::Translated;
use mirror_core::attached::groups::{Decision, Written};
use model::Offset;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use wire::ErrorCode;
use wire::client::{Cluster, GroupOffset};

/// How many commits one link looks after.
const COMMITS_MAX: usize = 1_000_000;

/// A group's place in a partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Seat {
    group: String,
    topic: String,
    partition: i32,
}

/// What one look at all groups came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Groups with commits in copied partitions.
    pub groups: usize,
    /// Their commits.
    pub commits: usize,
    /// Those that are exact: the copy has come as far as the group.
    pub exact: usize,
    /// Commits written to the target in this round.
    pub written: usize,
    /// Commits that the source has no more and that wait for their grace to pass.
    pub gone: usize,
    /// Commits deleted in the target in this round, because the source has them no more.
    pub deleted: usize,
    /// Groups with members in the target: they commit there themselves.
    pub active: BTreeSet<String>,
    /// Groups that have committed in the target by themselves: left alone.
    pub foreign: BTreeSet<String>,
    /// Why not all could be looked at.
    pub failure: Option<String>,
}

/// A commit that should be in the target.
struct Wish {
    seat: Seat,
    translated: Translated,
    metadata: String,
}

/// Carries commits, and remembers what it wrote.
pub(super) struct GroupSync {
    source: Arc<Cluster>,
    target: Arc<Cluster>,
    path: PathBuf,
    ledger: BTreeMap<Seat, Written>,
    /// How long a commit outlives the one in the source.
    grace: Duration,
    /// The same ledger in the target cluster, when it is known which that is.
    kept: Option<KeptLedger>,
    /// Whether the directory had one.
    is_found: bool,
}

impl GroupSync {
    pub(super) fn open(settings: &Settings, source: Arc<Cluster>, target: Arc<Cluster>) -> Result<Self, AttachedError> {
        let path = settings.directory.join("groups.json");
        let found = read(&path).map_err(|source| AttachedError::Disk { path: path.clone(), source })?;
        let (is_found, ledger) = (found.is_some(), found.unwrap_or_default());
        Ok(Self { source, target, path, ledger, grace: settings.group_grace, kept: None, is_found })
    }

    /// Looks at every group of the source once and commits in the target what has changed.
    pub(super) async fn round(&mut self, views: &Views) -> Result<Round, AttachedError> {
        let mut round = Round::default();
        let (mut due, mut present) = (Vec::new(), BTreeSet::new());
        let is_open = |view: &Shared| look(view).copy.is_some();
        let copied: BTreeSet<_> =
            views.iter().filter(|(_, view)| is_open(view)).map(|(place, _)| place.clone()).collect();
        for group in self.all_groups().await? {
            let wishes = self.wishes(&group, views).await?;
            self.take_as_present(&wishes);
            present.extend(wishes.iter().map(|wish| wish.seat.clone()));
            round.groups += usize::from(!wishes.is_empty());
            round.commits += wishes.len();
            round.exact += wishes.iter().filter(|wish| wish.translated.is_exact).count();
            let stale: Vec<_> = wishes.into_iter().filter(|wish| !self.is_done(wish)).collect();
            if !stale.is_empty() {
                due.extend(self.intended(&group, stale, &mut round).await?.map(|commits| (group, commits)));
            }
        }
        if !due.is_empty() {
            self.save().await?;
            for (group, commits) in due {
                self.commit(&group, commits, &mut round).await?;
            }
            self.save().await?;
        }
        self.let_go(&present, &copied, &mut round).await?;
        Ok(round)
    }

    /// Those that the source lists, and those that it may list no more: whether they are gone, or only their coordinator is,
    /// each is asked for by name.
    async fn all_groups(&self) -> Result<BTreeSet<String>, AttachedError> {
        let listed = self.source.groups().await.map_err(AttachedError::of_source)?;
        Ok(listed.into_iter().chain(self.ledger.keys().map(|seat| seat.group.clone())).collect())
    }

    fn take_as_present(&mut self, wishes: &[Wish]) {
        for wish in wishes {
            self.ledger.entry(wish.seat.clone()).and_modify(|written| *written = written.present());
        }
    }

    async fn wishes(&self, group: &str, views: &Views) -> Result<Vec<Wish>, AttachedError> {
        let committed = committed_or_none(self.source.committed(group).await).map_err(AttachedError::of_source)?;
        let wish = |commit: GroupOffset| {
            let view = views.get(&(commit.topic.clone(), commit.partition))?;
            let translated = look(view).copy.as_ref()?.translate(Offset(commit.offset));
            let seat = Seat { group: group.to_owned(), topic: commit.topic, partition: commit.partition };
            Some(Wish { seat, translated, metadata: commit.metadata })
        };
        Ok(committed.into_iter().filter(|commit| commit.offset >= 0).filter_map(wish).collect())
    }

    fn is_done(&self, wish: &Wish) -> bool {
        self.ledger.get(&wish.seat).is_some_and(|written| written.is_done(wish.translated.offset))
    }

    /// Decides what to commit, and takes note of it; `None` when nothing is.
    async fn intended(
        &mut self,
        group: &str,
        stale: Vec<Wish>,
        round: &mut Round,
    ) -> Result<Option<Vec<Wish>>, AttachedError> {
        let found = committed_or_none(self.target.committed(group).await).map_err(AttachedError::of_target)?;
        let mut commits = Vec::new();
        for wish in stale {
            let is_there =
                |found: &&GroupOffset| found.topic == wish.seat.topic && found.partition == wish.seat.partition;
            let found = found.iter().find(is_there).map(|found| Offset(found.offset)).filter(|found| found.0 >= 0);
            let (written, wanted) = (self.ledger.get(&wish.seat).copied().unwrap_or_default(), wish.translated.offset);
            match written.decide(found, wanted) {
                Decision::Foreign { .. } => _ = round.foreign.insert(group.to_owned()),
                Decision::Keep => self.enter(&wish.seat, Written::committed(wanted))?,
                Decision::Commit => {
                    self.enter(&wish.seat, written.intending(found, wanted))?;
                    commits.push(wish);
                }
            }
        }
        Ok((!commits.is_empty()).then_some(commits))
    }

    fn enter(&mut self, seat: &Seat, written: Written) -> Result<(), AttachedError> {
        if self.ledger.len() >= COMMITS_MAX && !self.ledger.contains_key(seat) {
            return Err(AttachedError::Refused(format!(
                "more than {COMMITS_MAX} commits of groups; use several links"
            )));
        }
        self.ledger.insert(seat.clone(), written);
        Ok(())
    }

    async fn commit(&mut self, group: &str, commits: Vec<Wish>, round: &mut Round) -> Result<(), AttachedError> {
        let offset = |wish: &Wish| GroupOffset {
            topic: wish.seat.topic.clone(),
            partition: wish.seat.partition,
            offset: wish.translated.offset.0,
            leader_epoch: -1,
            metadata: wish.metadata.clone(),
        };
        let offsets: Vec<_> = commits.iter().map(offset).collect();
        match self.target.commit(group, &offsets).await {
            Ok(()) => {
                round.written += commits.len();
                for wish in commits {
                    self.ledger.insert(wish.seat, Written::committed(wish.translated.offset));
                }
                Ok(())
            }
            // It has members there.
            Err(error) if is_active(error.code()) => {
                round.active.insert(group.to_owned());
                Ok(())
            }
            Err(error) => Err(AttachedError::of_target(error)),
        }
    }

    async fn save(&mut self) -> Result<(), AttachedError> {
        write(&self.path, &self.ledger).map_err(|source| AttachedError::Disk { path: self.path.clone(), source })?;
        if let Some(kept) = &mut self.kept {
            kept.follow(&self.ledger).await;
        }
        Ok(())
    }
}

fn is_active(code: Option<ErrorCode>) -> bool {
    let codes = [
        ErrorCode::UNKNOWN_MEMBER_ID,
        ErrorCode::ILLEGAL_GENERATION,
        ErrorCode::REBALANCE_IN_PROGRESS,
        ErrorCode::STALE_MEMBER_EPOCH,
    ];
    code.is_some_and(|code| codes.contains(&code))
}

fn read(path: &Path) -> io::Result<Option<BTreeMap<Seat, Written>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice::<Vec<(Seat, Written)>>(&bytes)?.into_iter().collect())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn write(path: &Path, ledger: &BTreeMap<Seat, Written>) -> io::Result<()> {
    let fresh = path.with_extension("new");
    fs::write(&fresh, serde_json::to_vec(&ledger.iter().collect::<Vec<_>>())?)?;
    File::open(&fresh)?.sync_all()?;
    fs::rename(&fresh, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_remembered() {
        let directory = std::env::temp_dir().join(format!("farshore-groups-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("groups.json");
        assert!(read(&path).unwrap().is_none());
        let seat = Seat { group: "billing \"eu\"".into(), topic: "orders".into(), partition: 3 };
        let ledger = BTreeMap::from([(seat, Written::committed(Offset(7)).intending(Some(Offset(7)), Offset(9)))]);
        write(&path, &ledger).unwrap();
        assert_eq!(read(&path).unwrap(), Some(ledger));
        fs::remove_dir_all(directory).unwrap();
    }
}
