//! The commits of one protection group's consumer groups, carried raw from its owner.

use crate::ports::{Sink, Source};
use mirror_core::cursor::{CommitPage, CommitSink, GroupCommit};
use model::{Commit, CommitCursor, OwnershipEpoch, ProtectionGroup, SyncCommits};
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
    let mut commits = held(&group, &*sink).await;
    loop {
        match page(&group, epoch, &*source, &mut commits).await {
            Ok((fresh, reached)) => {
                let fresh = fresh.into_iter().map(Commit::from).collect();
                if let Err(error) = sink.apply_commits(&group, epoch, fresh, reached).await {
                    tracing::debug!(%group, %error, "commits are not written; they are carried again");
                    commits = held(&group, &*sink).await;
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
            Err(error) => {
                tracing::debug!(%group, error, "commits are not carried");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

async fn held(group: &ProtectionGroup, sink: &dyn Sink) -> CommitSink {
    loop {
        match sink.held_commits(group).await {
            Ok(held) => return CommitSink::new(held.into_iter().map(GroupCommit::from)),
            Err(error) => tracing::debug!(%group, %error, "the commits here are not known yet"),
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// The commits that differ from those held, and how far the source has been heard.
async fn page(
    group: &ProtectionGroup,
    epoch: OwnershipEpoch,
    source: &dyn Source,
    commits: &mut CommitSink,
) -> Result<(Vec<GroupCommit>, CommitCursor), String> {
    let asked = commits.cursor();
    let max_wait_ms = POLL.as_millis() as u32;
    let request = SyncCommits { group: group.clone(), since: asked, max_wait_ms, limit: PAGE };
    let page = source.commits(request).await.map_err(|error| error.to_string())?;
    if page.ownership_epoch != epoch {
        return Err(format!("the source holds ownership epoch {}, not {epoch}", page.ownership_epoch));
    }
    let page = CommitPage {
        cursor: page.next,
        session_changed: page.next.session != asked.session,
        more: page.next.version < page.newest.version,
        commits: page.commits.into_iter().map(GroupCommit::from).collect(),
    };
    let fresh = commits.apply(asked, page);
    Ok((fresh, commits.cursor()))
}
