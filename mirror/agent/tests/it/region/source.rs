//! The region as others read it.

use super::{Region, done, nothing};
use env::PortFuture;
use mirror::{CommitsRequest, CopyKey, FetchAnswer, FetchRequest, Source, SourceError};
use mirror_core::verify::{AskCheckpoints, CheckpointsPage};
use mirror_core::window::{Answer, Body};
use model::{CommitPage, FollowMetadata, Leaders, RegionName};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How another region, the last of the three, reaches one broker of this one.
pub(crate) struct MemorySource(pub(crate) Arc<Region>, pub(crate) u16, pub(crate) RegionName);

/// Counts a fetch as under way.
struct UnderWay<'a>(&'a Region);

impl<'a> UnderWay<'a> {
    fn new(region: &'a Region, request: &FetchRequest) -> Self {
        let mut state = region.state();
        state.fetches.push((request.partitions.len(), request.max_wait));
        state.under_way.0 += 1;
        state.under_way.1 = state.under_way.1.max(state.under_way.0);
        Self(region)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.state().under_way.0 -= 1;
    }
}

impl MemorySource {
    async fn until_it_answers(&self) {
        if self.0.state().hung.contains(&self.1) {
            std::future::pending::<()>().await;
        }
    }

    fn breaks_off(&self, request: &FetchRequest) -> bool {
        let mut state = self.0.state();
        let breaks = state.breaks > 0 && state.under_way.0 > 1 && !request.partitions.is_empty();
        state.breaks -= usize::from(breaks);
        breaks
    }

    fn look(&self, request: &FetchRequest) -> Result<(Vec<(CopyKey, Answer)>, bool), SourceError> {
        let mut state = self.0.state();
        if state.is_down {
            return Err(SourceError("connection refused".into()));
        }
        let (mut answers, mut bytes, mut is_urgent) = (Vec::new(), 0, request.partitions.is_empty());
        state.words.extend(request.partitions.iter().filter(|asked| asked.bytes_max == 0));
        for asked in &request.partitions {
            let bytes_left = (request.bytes_max as usize).saturating_sub(bytes);
            let answer =
                if state.leader(asked.key) == self.1 { state.answer(&self.2, asked, bytes_left) } else { nothing() };
            match &answer.body {
                Body::Records(records) => bytes += records.len(),
                _ => is_urgent = true,
            }
            answers.push((asked.key, answer));
        }
        Ok((answers, is_urgent || bytes > 0))
    }
}

impl Source for MemorySource {
    fn fetch(&self, request: FetchRequest) -> PortFuture<'_, Result<FetchAnswer, SourceError>> {
        Box::pin(async move {
            self.until_it_answers().await;
            let _under_way = (!request.partitions.is_empty()).then(|| UnderWay::new(&self.0, &request));
            let began = Instant::now();
            let deadline = began + request.max_wait;
            loop {
                let heard = self.0.bell.notified();
                let (partitions, is_enough) = self.look(&request)?;
                if is_enough || Instant::now() >= deadline {
                    self.until_it_answers().await;
                    let (delay, held) = (self.0.state().delay, Some(began.elapsed()));
                    tokio::time::sleep(delay).await;
                    if self.breaks_off(&request) {
                        return Err(SourceError("connection reset".into()));
                    }
                    return Ok(FetchAnswer { partitions, held });
                }
                let _ = timeout_at(deadline, heard).await;
            }
        })
    }

    fn leaders(&self, ask: FollowMetadata) -> PortFuture<'_, Result<Leaders, SourceError>> {
        Box::pin(async move {
            self.until_it_answers().await;
            let deadline = Instant::now() + Duration::from_millis(ask.max_wait_ms.into());
            loop {
                let heard = self.0.bell.notified();
                let leaders = self.0.state().leaders(&self.0.name);
                if self.0.state().brokers < 2 {
                    // There is nobody else to ask.
                    std::future::pending::<()>().await;
                }
                if leaders.version != ask.since || Instant::now() >= deadline {
                    return Ok(leaders);
                }
                let _ = timeout_at(deadline, heard).await;
            }
        })
    }

    fn checkpoints(&self, ask: AskCheckpoints) -> PortFuture<'_, Result<Vec<CheckpointsPage>, SourceError>> {
        let mut state = self.0.state();
        done(Ok(ask.answer(|asked| {
            asked.judge.iter().for_each(|interval| state.judge(*interval));
            Some(state.hashed.clone())
        })))
    }

    fn commits(&self, request: CommitsRequest) -> PortFuture<'_, Result<CommitPage, SourceError>> {
        Box::pin(async move {
            let deadline = Instant::now() + Duration::from_millis(request.max_wait_ms.into());
            loop {
                let heard = self.0.bell.notified();
                {
                    let state = self.0.state();
                    if state.is_down || !state.is_owner {
                        return Err(SourceError("not here".into()));
                    }
                    let page = state.commit_page(&request);
                    let is_news = page.parts[0].next != request.since[0].cursor;
                    if is_news || Instant::now() >= deadline {
                        return Ok(page);
                    }
                }
                let _ = timeout_at(deadline, heard).await;
            }
        })
    }
}
