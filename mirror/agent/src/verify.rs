//! Comparing copies with their sources: what each side has hashed, asked for in bounded pages, and the digests of keys that
//! come with it.
//!
//! A copy asks only when an answer can prove more than is proven; one too short to be hashed never does. Where both differ it
//! asks, too, which of them is damaged, and has its own side read again.

use crate::follower::{Finding, Unproven};
use crate::ports::{CopyKey, Sink, SinkError, Source, SourceError};
use crate::way::Address;
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
        asking.spawn(questions.ask());
    }
    while asking.join_next().await.is_some() {}
}

async fn questions(unproven: Vec<Unproven>, sink: &dyn Sink) -> BTreeMap<Address, Questions> {
    let mut questions = BTreeMap::new();
    for of in unproven {
        let Some(copy) = sink.checkpoints(of.key()) else { continue };
        compare_keys(&of, &copy, sink).await;
        judge(&of, &copy, sink).await;
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

async fn judge(of: &Unproven, copy: &Kept, sink: &dyn Sink) {
    let (found, wanted) = of.judge(copy);
    wanted.into_iter().for_each(|wanted| sink.want_judgement(of.key(), wanted));
    if let Some(found) = found {
        keep(of, found, copy, sink).await;
    }
}

/// Keeps a finding beside the copy first, if the copy is to blame: that is what counts.
async fn keep(of: &Unproven, Finding { fact, blames_copy }: Finding, copy: &Kept, sink: &dyn Sink) {
    let range = fact.range;
    let kept: Result<(), SinkError> = async {
        if blames_copy {
            sink.mark_different(of.key(), range, copy.remade).await?;
        }
        sink.record_gap(fact).await
    }
    .await;
    if let Err(error) = kept {
        tracing::error!(%error, "a difference between regions could not be stored; it is looked for again");
        of.find_again(range);
    }
}

impl Questions {
    async fn ask(self) {
        for asked in self.asked.chunks(ASKED_MAX) {
            let ask = AskCheckpoints { partitions: asked.iter().map(|question| question.ask).collect() };
            match answer(&*self.source, ask).await {
                Ok(pages) => take(asked, pages),
                Err(error) => return tracing::debug!(%error, "copies are not compared"),
            }
        }
    }
}

async fn answer(source: &dyn Source, ask: AskCheckpoints) -> Result<Vec<CheckpointsPage>, SourceError> {
    let answered = timeout(ANSWER_WITHIN, source.checkpoints(ask)).await;
    answered.map_err(|_| SourceError("it is silent".to_owned()))?
}

fn take(asked: &[Question], pages: Vec<CheckpointsPage>) {
    let asked: BTreeMap<CopyKey, &Question> = asked.iter().map(|question| (question.of.key(), question)).collect();
    for page in pages {
        let Some(question) = asked.get(&(page.topic, page.partition)) else { continue };
        question.of.take(page, &question.copy);
    }
}
