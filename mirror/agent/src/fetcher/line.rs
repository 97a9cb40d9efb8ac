//! The way every request to one broker takes: what is measured on it says what the line there is like.

use crate::ports::{FetchAnswer, FetchRequest, Source, SourceError};
use mirror_core::flow::RoundTrip;
use mirror_core::line::Lately;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A broker of a source, and the line to it.
pub(super) struct Line {
    source: Arc<dyn Source>,
    since: Instant,
    measured: Mutex<Measured>,
}

#[derive(Default)]
struct Measured {
    round_trip: RoundTrip,
    lately: Lately,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}

impl Line {
    pub(super) fn to(source: Arc<dyn Source>) -> Arc<Self> {
        Arc::new(Self { source, since: Instant::now(), measured: Mutex::default() })
    }

    /// Sends a request; its answer, and how long it was on its way, all in all. A request that is dropped on its way has
    /// neither failed nor been answered.
    ///
    /// # Errors
    /// There was no answer: it was refused, broken off, or did not come in time. An answer without records is none.
    pub(super) async fn fetch(&self, request: FetchRequest) -> Result<(FetchAnswer, Duration), SourceError> {
        let began = Instant::now();
        let answered = self.source.fetch(request).await;
        let (now, mut measured) = (self.since.elapsed(), self.measured());
        let answer = match answered {
            Ok(answer) => answer,
            Err(error) => {
                measured.lately.failed(now);
                return Err(error);
            }
        };
        let travelled = began.elapsed().saturating_sub(answer.held.unwrap_or_default());
        let known = answer.held.map(|_| travelled);
        measured.lately.answered(now, known);
        if let Some(took) = known {
            measured.round_trip.measured(now, took);
        }
        Ok((answer, travelled))
    }

    /// How long the line takes there and back, where that is known.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.measured().round_trip.estimate()
    }

    /// What it was like in the last seconds.
    pub(super) fn lately(&self) -> model::Line {
        self.measured().lately.line(self.since.elapsed())
    }

    fn measured(&self) -> MutexGuard<'_, Measured> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
