//! The council's newest assignment on every broker of the region: links need more of it than the metadata holds.
//!
//! The desk is told by the council, and the brokers ask the desk: after a start, and again and again for a newer one.

use super::{Ask, Told};
use crate::Broker;
use model::{Assignment, BrokerSlot};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// How long the desk waits for a newer assignment before it says that there is none.
const NEWS_WAIT: Duration = Duration::from_secs(1);
/// How long to wait before a desk is asked again that did not answer.
const RETRY: Duration = Duration::from_millis(100);

/// The newest assignment this broker has heard of.
#[derive(Debug, Default)]
pub(crate) struct Newest(watch::Sender<Option<Arc<Assignment>>>);

impl Newest {
    /// Takes note of `assignment` if it is not older than the one known.
    pub(crate) fn note(&self, assignment: Assignment) {
        self.0.send_if_modified(|known| {
            let is_news = known.as_ref().is_none_or(|known| {
                known.council_index < assignment.council_index
                    || **known != assignment && known.council_index == assignment.council_index
            });
            if is_news {
                *known = Some(Arc::new(assignment));
            }
            is_news
        });
    }

    fn index(&self) -> Option<u64> {
        self.0.borrow().as_ref().map(|known| known.council_index)
    }
}

impl Broker {
    /// The newest assignment of the council that this broker has heard of, now and later; `None` before the first.
    pub fn watch_assignment(&self) -> watch::Receiver<Option<Arc<Assignment>>> {
        self.0.newest.0.subscribe()
    }

    /// The assignment that is newer than `above`, as soon as there is one; `None` after a while without.
    pub(super) async fn newer_assignment(&self, above: Option<u64>) -> Option<Assignment> {
        let mut newest = self.watch_assignment();
        let is_newer = |known: &Option<Arc<Assignment>>| known.as_ref().map(|known| known.council_index) > above;
        let found = timeout(NEWS_WAIT, newest.wait_for(is_newer)).await.ok()?.ok()?;
        found.as_ref().map(|known| Assignment::clone(known))
    }

    /// Asks the desk for newer assignments until this broker stops.
    pub(crate) async fn follow_assignment(self, desk: BrokerSlot) {
        let mut stop = self.0.stop.subscribe();
        loop {
            let ask = Ask::Assignment { above: self.0.newest.index() };
            tokio::select! {
                answer = self.ask_broker(desk, ask, NEWS_WAIT) => match answer {
                    Some(Told::Assignment(Some(newer))) => self.0.newest.note(*newer),
                    Some(Told::Assignment(None)) => {}
                    _ => sleep(RETRY).await,
                },
                () = crate::listener::stopped(&mut stop) => return,
            }
        }
    }
}
