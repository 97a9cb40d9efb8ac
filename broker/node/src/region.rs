//! The region as a whole: whoever speaks for it to the council asks every broker that hosts partitions, and puts together
//! what they say. In a region of one broker that is the broker itself.
//!
//! ```text
//!   council <--> desk (or the only broker) --Ask--> broker 0, 1, 2: each for what it leads
//!                      '--- proposes what all have to agree on to the region's quorum first
//! ```
//!
//! A broker makes real what was agreed on before it answers for it. One that is fenced meanwhile is not waited for: what it
//! led is led by others, who are asked again.

mod ask;
mod assignment;
mod facts;
mod part;
mod topics;

pub(crate) use ask::{Ask, Told, TopicAsk};
pub(crate) use assignment::Newest;
pub(crate) use part::{CATCH_UP_TIMEOUT, DRAIN_TIMEOUT, SETTLE_TIMEOUT};

use crate::Broker;
use crate::controller::{Question, Reply, encode};
use broker_core::region::{self, Incomplete, OfPartition, Said};
use model::{BrokerSlot, ProtectionGroup};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// How long to wait before brokers are asked again whose answers were not all.
const RETRY: Duration = Duration::from_millis(20);
/// How much longer than a broker may take for its part an answer is waited for.
const ON_THE_WAY: Duration = Duration::from_secs(2);

/// Why a region did not say what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsaid {
    /// Not everybody has said what is his to say.
    #[error("{0}")]
    Incomplete(Incomplete),
    /// A broker could not.
    #[error("broker {}: {reason}", .broker.0)]
    Failed {
        /// Which.
        broker: BrokerSlot,
        /// Why.
        reason: String,
    },
}

impl Broker {
    /// What the leaders of all partitions of `group` answer to `ask`, once it is complete and `is_enough`; and all that was
    /// told. A broker may take `within` for its part, and all of them together as long.
    pub(crate) async fn ask_leaders<T: OfPartition + Clone>(
        &self,
        group: &ProtectionGroup,
        ask: &Ask,
        within: Duration,
        read: impl Fn(&Told) -> Option<Vec<T>>,
        is_enough: impl Fn(&[T], &Said<Told>) -> Result<(), Incomplete>,
    ) -> Result<(Vec<T>, Said<Told>), Unsaid> {
        let deadline = Instant::now() + within;
        loop {
            let (told, failed) = self.ask_brokers(ask, within).await;
            let said: Said<Vec<T>> = told.iter().filter_map(|(slot, told)| Some((*slot, read(told)?))).collect();
            let image = self.image();
            let leads = region::leaders(&image, group);
            if let Some((broker, reason)) = failed.into_iter().find(|(slot, _)| leads.contains(slot)) {
                return Err(Unsaid::Failed { broker, reason });
            }
            let all = region::of_leaders(&image, group, &said);
            match all.and_then(|all| is_enough(&all, &told).map(|()| all)) {
                Ok(all) => return Ok((all, told)),
                Err(incomplete) if Instant::now() >= deadline => return Err(Unsaid::Incomplete(incomplete)),
                Err(_) => sleep(RETRY).await,
            }
        }
    }

    /// What every broker that hosts partitions and is let in says, and why others could not. Who does not answer in time, or
    /// is fenced meanwhile, is in neither.
    pub(crate) async fn ask_brokers(&self, ask: &Ask, within: Duration) -> (Said<Told>, Said<String>) {
        let mut asked = JoinSet::new();
        for slot in self.hosts() {
            let (broker, ask) = (self.clone(), ask.clone());
            asked.spawn(async move { (slot, broker.ask_broker(slot, ask, within).await) });
        }
        let (mut said, mut failed) = (Said::new(), Said::new());
        while let Some(answer) = asked.join_next().await {
            match answer {
                Ok((slot, Some(Told::Failed(reason)))) => drop(failed.insert(slot, reason)),
                Ok((slot, Some(told))) => drop(said.insert(slot, told)),
                Ok((_, None)) | Err(_) => {}
            }
        }
        (said, failed)
    }

    /// What one broker says; `None` when it does not.
    pub(crate) async fn ask_broker(&self, slot: BrokerSlot, ask: Ask, within: Duration) -> Option<Told> {
        if slot == self.0.config.slot {
            return timeout(within + ON_THE_WAY, self.tell(ask)).await.ok();
        }
        let question = encode(&Question::Region(Box::new(ask)));
        let answer = tokio::select! {
            answer = self.control().controller().ask(slot, question, within + ON_THE_WAY) => answer,
            // The desk is asked for what it knows, not for what it leads.
            () = self.fenced(slot), if self.0.config.desk != Some(slot) => return None,
        };
        match answer {
            Ok(Reply::Region(told)) => Some(*told),
            Ok(Reply::Unavailable(reason)) => Some(Told::Failed(reason)),
            Ok(other) => Some(Told::Failed(format!("it answered something else: {other:?}"))),
            Err(error) => {
                tracing::debug!(broker = slot.0, %error, "a broker of the region does not answer");
                None
            }
        }
    }

    /// The brokers that host partitions and are let in; in a region of one, that one.
    fn hosts(&self) -> Vec<BrokerSlot> {
        if !self.0.config.is_clustered() {
            return vec![self.0.config.slot];
        }
        let image = self.image();
        image.brokers().filter(|(_, known)| !known.is_fenced()).map(|(slot, _)| slot).collect()
    }

    /// Waits until the broker in `slot` is not let in.
    async fn fenced(&self, slot: BrokerSlot) {
        let mut images = self.watch_image();
        // The sender lives as long as the broker.
        _ = images.wait_for(|image| !image.is_unfenced(slot)).await;
    }
}
