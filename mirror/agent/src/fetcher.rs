//! Gathers the fetches of many partitions into few requests to one source, several at a time.

use crate::ports::{CopyKey, FetchPartition, FetchRequest, Source};
use mirror_core::window::{Answer, Fetch};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// How many requests are under way to one source: a busy partition does not wait for the long poll of idle ones.
const REQUESTS_MAX: usize = 4;
/// How many partitions go into one request.
const PARTITIONS_MAX: usize = 500;
/// How long an idle source holds a request.
const POLL: Duration = Duration::from_millis(500);

/// One partition's fetch and where its answer goes; dropped when there is none.
pub(crate) struct Wish {
    /// Which partition.
    pub(crate) key: CopyKey,
    /// What.
    pub(crate) fetch: Fetch,
    /// The way back.
    pub(crate) reply: oneshot::Sender<Answer>,
}

/// The way to one source.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher {
    wishes: mpsc::UnboundedSender<Wish>,
    connected: watch::Receiver<bool>,
}

impl Fetcher {
    /// Starts fetching from `source` until the last handle is dropped.
    pub(crate) fn start(source: Arc<dyn Source>) -> Self {
        // Bounded by the number of partitions: each has one fetch under way.
        let (wishes, wished) = mpsc::unbounded_channel();
        let (is_connected, connected) = watch::channel(true);
        tokio::spawn(run(source, wished, is_connected));
        Self { wishes, connected }
    }

    /// Asks; the answer comes through `reply`, or `reply` is dropped.
    pub(crate) fn ask(&self, wish: Wish) {
        // Nobody takes wishes any more only when the runtime is going down.
        let _ = self.wishes.send(wish);
    }

    /// Whether the source answered last time.
    pub(crate) fn connected(&self) -> watch::Receiver<bool> {
        self.connected.clone()
    }

    /// Whether both are ways to the same source.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.wishes.same_channel(&other.wishes)
    }
}

async fn run(source: Arc<dyn Source>, mut wished: mpsc::UnboundedReceiver<Wish>, is_connected: watch::Sender<bool>) {
    let mut ready: Vec<Wish> = Vec::new();
    let mut requests = JoinSet::new();
    loop {
        tokio::select! {
            wish = wished.recv() => match wish {
                Some(wish) => ready.push(wish),
                None => return,
            },
            Some(answered) = requests.join_next(), if !requests.is_empty() => {
                let is_answered = answered.unwrap_or(false);
                is_connected.send_if_modified(|known| std::mem::replace(known, is_answered) != is_answered);
            }
        }
        while let Ok(wish) = wished.try_recv() {
            ready.push(wish);
        }
        while !ready.is_empty() && requests.len() < REQUESTS_MAX {
            let batch = ready.split_off(ready.len().saturating_sub(PARTITIONS_MAX));
            requests.spawn(ask(source.clone(), batch));
        }
    }
}

/// Sends one request and hands out its answers; whether there was one.
async fn ask(source: Arc<dyn Source>, wishes: Vec<Wish>) -> bool {
    let partitions = wishes.iter().map(|wish| FetchPartition {
        key: wish.key,
        from: wish.fetch.from,
        last_epoch: wish.fetch.last_epoch,
        durable: wish.fetch.durable,
        bytes_max: wish.fetch.bytes_max,
    });
    let request = FetchRequest { partitions: partitions.collect(), max_wait: POLL };
    let answers = match source.fetch(request).await {
        Ok(answers) => answers,
        Err(error) => {
            tracing::debug!(%error, "fetch");
            return false;
        }
    };
    let mut replies: HashMap<CopyKey, oneshot::Sender<Answer>> =
        wishes.into_iter().map(|wish| (wish.key, wish.reply)).collect();
    for (key, answer) in answers {
        if let Some(reply) = replies.remove(&key) {
            // A partition that is not followed any more does not listen.
            let _ = reply.send(answer);
        }
    }
    true
}
