//! The fetches of a session that have no answer yet.

use crate::fetcher::Served;
use mirror_core::window::{Fetch, Stream, Ticket};
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

/// What became of one of them.
pub(super) enum Outcome {
    /// It has waited long enough.
    Due(Fetch),
    /// It was answered, or never will be.
    Answered(Ticket, Option<Served>),
}

/// Fetches of one run, and one that is to begin another.
#[derive(Default)]
pub(super) struct Asked {
    stream: Option<Stream>,
    now: Vec<(Ticket, oneshot::Receiver<Served>)>,
    later: Option<(Fetch, Instant)>,
}

impl Asked {
    /// `fetch` is asked at once; the answer comes through what is returned. Another run puts an end to the one before.
    pub(super) fn ask(&mut self, fetch: &Fetch) -> oneshot::Sender<Served> {
        self.turn_to(fetch);
        let (reply, answer) = oneshot::channel();
        self.now.push((fetch.ticket, answer));
        reply
    }

    /// `fetch` is to be asked after its pause.
    pub(super) fn ask_later(&mut self, fetch: Fetch) {
        self.turn_to(&fetch);
        self.later = Some((fetch, Instant::now() + fetch.pause));
    }

    fn turn_to(&mut self, fetch: &Fetch) {
        if fetch.stream.is_none() || self.stream != fetch.stream {
            *self = Self { stream: fetch.stream, ..Self::default() };
        }
        self.later = None;
    }

    /// What becomes of the first of which anything becomes.
    pub(super) async fn next(&mut self) -> Outcome {
        let (now, later) = (&mut self.now, &self.later);
        let due = async {
            match later {
                Some((_, at)) => sleep_until(*at).await,
                None => pending().await,
            }
        };
        tokio::select! {
            answered = poll_fn(|context| first(now, context)) => Outcome::Answered(answered.0, answered.1),
            () = due => Outcome::Due(self.later.take().expect("it was waited for").0),
        }
    }
}

fn first(
    asked: &mut Vec<(Ticket, oneshot::Receiver<Served>)>,
    context: &mut Context<'_>,
) -> Poll<(Ticket, Option<Served>)> {
    for at in 0..asked.len() {
        if let Poll::Ready(answer) = Pin::new(&mut asked[at].1).poll(context) {
            return Poll::Ready((asked.swap_remove(at).0, answer.ok()));
        }
    }
    Poll::Pending
}
