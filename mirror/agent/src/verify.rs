//! Comparing copies with their sources: what each side has hashed, asked for in bounded pages, and the digests of keys that
//! come with it.
//!
//! A copy asks only when an answer can prove more than is proven; one too short to be hashed never does.

use crate::follower::Unproven;
use crate::ports::{CopyKey, Sink, SinkError, Source, SourceError};
use crate::way::Address;
use mirror_core::gap::Gap;
use mirror_core::verify::limits::ASKED_MAX;
use mirror_core::verify::{AskCheckpoints, CheckpointsPage, CheckpointsSince, Kept};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// A source that does not answer within that is asked again in the next round.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What one broker of the source is asked.
struct Questions {
    source: Arc<dyn Source>,
    asked: Vec<Question>,
}

struct Question {
    ask: CheckpointsSince,
    of: Unproven,
    copy: Kept,
}

/// One round over `unproven`: every broker of the source is asked by itself.
pub(crate) async fn prove(unproven: Vec<Unproven>, sink: &Arc<dyn Sink>) {
    let mut asking = JoinSet::new();
    for questions in questions(unproven, &**sink).await.into_values() {
        asking.spawn(questions.ask(sink.clone()));
    }
    while asking.join_next().await.is_some() {}
}

async fn questions(unproven: Vec<Unproven>, sink: &dyn Sink) -> BTreeMap<Address, Questions> {
    let mut questions = BTreeMap::new();
    for of in unproven {
        let Some(copy) = sink.checkpoints(of.key()) else { continue };
        compare_keys(&of, &copy, sink).await;
        let Some(ask) = of.ask(&copy) else { continue };
        let (address, source) = of.source();
        let at = questions.entry(address).or_insert_with(|| Questions { source, asked: vec![] });
        at.asked.push(Question { ask, of, copy });
    }
    questions
}

async fn compare_keys(of: &Unproven, copy: &Kept, sink: &dyn Sink) {
    let (difference, wanted) = of.compare_keys(copy);
    wanted.into_iter().for_each(|wanted| sink.want_digest(of.key(), wanted));
    if let Some(difference) = difference {
        keep(of, difference, copy, sink).await;
    }
}

/// Keeps a difference beside the copy first: that is what counts.
async fn keep(of: &Unproven, difference: Gap, copy: &Kept, sink: &dyn Sink) {
    let kept: Result<(), SinkError> = async {
        sink.mark_different(of.key(), difference.range, copy.remade).await?;
        sink.record_gap(difference).await
    }
    .await;
    if let Err(error) = kept {
        tracing::error!(%error, "a difference between regions could not be stored; it is looked for again");
        of.find_again();
    }
}

impl Questions {
    async fn ask(self, sink: Arc<dyn Sink>) {
        for asked in self.asked.chunks(ASKED_MAX) {
            let ask = AskCheckpoints { partitions: asked.iter().map(|question| question.ask).collect() };
            match answer(&*self.source, ask).await {
                Ok(pages) => take(asked, pages, &*sink).await,
                Err(error) => return tracing::debug!(%error, "copies are not compared"),
            }
        }
    }
}

async fn answer(source: &dyn Source, ask: AskCheckpoints) -> Result<Vec<CheckpointsPage>, SourceError> {
    let answered = timeout(ANSWER_WITHIN, source.checkpoints(ask)).await;
    answered.map_err(|_| SourceError("it is silent".to_owned()))?
}

async fn take(asked: &[Question], pages: Vec<CheckpointsPage>, sink: &dyn Sink) {
    let asked: BTreeMap<CopyKey, &Question> = asked.iter().map(|question| (question.of.key(), question)).collect();
    for page in pages {
        let Some(question) = asked.get(&(page.topic, page.partition)) else { continue };
        if let Some(difference) = question.of.take(page, &question.copy) {
            keep(&question.of, difference, &question.copy, sink).await;
        }
    }
}
