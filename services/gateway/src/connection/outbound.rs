//! Answers on their way to the client, in the order of their requests.

use super::splice::{Incoming, write_all};
use super::{Closed, Waiting};
use crate::state::Entered;
use bytes::Bytes;
use model::RegionName;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

/// The longest a region may take for an answer: longer than any request may ask it to wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(330);
/// What of an answer is looked at: the correlation id.
const HEAD: usize = 4;

/// What comes next on the way to the client.
pub(super) enum Due {
    /// This frame, prefix included.
    Ready(Bytes),
    /// From here on, answers come from this connection.
    Attach(RegionName, OwnedReadHalf),
    /// The next answer from upstream, which must be this one. The request is on its way until it is sent.
    Upstream(i32, Entered),
}

/// The writing half of a client connection.
pub(super) struct Outbound {
    client: OwnedWriteHalf,
    upstream: Option<(RegionName, Incoming)>,
    waiting: Arc<Waiting>,
}

impl Outbound {
    pub(super) fn new(client: OwnedWriteHalf, waiting: Arc<Waiting>) -> Self {
        Self { client, upstream: None, waiting }
    }

    /// Sends what is due until nothing more can become due.
    ///
    /// # Errors
    /// When either side fails.
    pub(super) async fn run(mut self, mut due: mpsc::Receiver<Due>) -> Result<(), Closed> {
        while let Some(next) = due.recv().await {
            match next {
                Due::Ready(frame) => write_all(&mut self.client, &frame).await?,
                Due::Attach(region, read) => self.upstream = Some((region, Incoming::new(read))),
                Due::Upstream(correlation_id, _entered) => self.pass_answer(correlation_id).await?,
            }
        }
        Ok(())
    }

    async fn pass_answer(&mut self, expected: i32) -> Result<(), Closed> {
        let (region, incoming) = self.upstream.as_mut().expect("a connection is attached before answers come from it");
        let broken = || Closed::BrokenOff(region.clone());
        let len = incoming.next(HEAD, ANSWER_TIMEOUT).await?.ok_or_else(broken)?;
        let found = i32::from_be_bytes(*incoming.head(len).first_chunk().ok_or_else(broken)?);
        if found != expected {
            return Err(Closed::OutOfOrder { expected, found });
        }
        incoming.pass(len, &mut self.client).await?;
        self.waiting.remove();
        Ok(())
    }
}
