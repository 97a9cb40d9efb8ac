//! Tells what keeps a link waiting.

use super::News;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use wire::client::{Cluster, Trouble};

/// How often it is looked whether anything has to be tried again.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long a first attempt may take without a word.
const SILENCE_MAX: Duration = Duration::from_secs(1);

/// What is tried again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// `source` or `target`.
    pub side: &'static str,
    /// What is tried.
    pub doing: &'static str,
    /// Why it has not succeeded yet.
    pub reason: String,
}

/// Looks at both clusters of a link while it does something.
pub(super) struct Watch([(&'static str, Arc<Cluster>); 2]);

impl Watch {
    pub(super) fn over(source: &Arc<Cluster>, target: &Arc<Cluster>) -> Self {
        Self([("source", source.clone()), ("target", target.clone())])
    }

    /// Does `work`, and tells meanwhile what does not succeed.
    pub(super) async fn while_<T>(&self, work: impl Future<Output = T>, tell: &mut impl FnMut(News<'_>)) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = sleep(LOOK_EVERY) => self.look(tell),
            }
        }
    }

    fn look(&self, tell: &mut impl FnMut(News<'_>)) {
        let of = |(side, cluster): &(&'static str, Arc<Cluster>)| obstacle(side, cluster.trouble()?);
        let obstacles: Vec<_> = self.0.iter().filter_map(of).collect();
        if !obstacles.is_empty() {
            tell(News::Obstacles(&obstacles));
        }
    }
}

fn obstacle(side: &'static str, trouble: Trouble) -> Option<Obstacle> {
    let silence = || (trouble.since.elapsed() >= SILENCE_MAX).then(|| "no answer yet".to_owned());
    let reason = trouble.last.clone().or_else(silence)?;
    Some(Obstacle { side, doing: trouble.doing, reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, advance};

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_told_at_once_and_silence_after_a_while() {
        let trouble =
            |last: Option<&str>| Trouble { doing: "fetch", since: Instant::now(), last: last.map(str::to_owned) };
        assert_eq!(obstacle("source", trouble(Some("refused"))).unwrap().reason, "refused");
        let silent = trouble(None);
        assert_eq!(obstacle("source", silent.clone()), None);
        advance(SILENCE_MAX).await;
        assert_eq!(obstacle("source", silent).unwrap().reason, "no answer yet");
    }
}
