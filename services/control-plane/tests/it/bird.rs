//! A Kafka client that is none.

use control_plane::ports::{Canary, CanaryPass, PortError, Salvor, TailFile, TailSite};
use env::{Clock, PortFuture};
use mirror_core::attached::Run;
use mirror_core::salvage::{Findings, Published, Salvage, Tally, Wish};
use model::{Offset, ProducerId, ProtectionGroup, TopicName};
use std::sync::Mutex;

/// A client whose canaries go through unless told otherwise.
#[derive(Default)]
pub(crate) struct Bird {
    pub(crate) dies: Mutex<bool>,
    /// What tails were written again under, attempt by attempt.
    pub(crate) written: Mutex<Vec<(TopicName, Wish, ProducerId)>>,
    /// What tails were published in, attempt by attempt.
    pub(crate) published: Mutex<Vec<(TopicName, ProducerId)>>,
    /// How many tails had brought the same records there before, publication by publication.
    pub(crate) others: Mutex<Vec<usize>>,
}

impl Canary for Bird {
    fn pass<'a>(&'a self, _: &'a ProtectionGroup, _: &'a str) -> PortFuture<'a, Result<CanaryPass, PortError>> {
        let now = env::real::SystemClock.now();
        let dies = *self.dies.lock().unwrap();
        let passed = CanaryPass { produced_at: now, consumed_at: now };
        Box::pin(async move { if dies { Err(PortError("no answer".into())) } else { Ok(passed) } })
    }
}

/// Every record is lacking; the first attempt to write a tail and the first to publish one fail.
impl Salvor for Bird {
    fn agree<'a>(&'a self, _: &'a TailSite) -> PortFuture<'a, Result<(ProducerId, i16, Offset), PortError>> {
        Box::pin(async { Ok((ProducerId(7), 0, Offset(20))) })
    }

    fn compare<'a>(
        &'a self,
        site: &'a TailSite,
        _: Wish,
        _: &'a dyn TailFile,
    ) -> PortFuture<'a, Result<Findings, PortError>> {
        let tally = Tally { lacking: site.tail.records, ..Tally::default() };
        Box::pin(async move { Ok(Salvage::default().findings(tally, 1)) })
    }

    fn publish<'a>(
        &'a self,
        site: &'a TailSite,
        (producer, _, since): (ProducerId, i16, Offset),
        _: &'a dyn TailFile,
        others: &'a [&'a dyn TailFile],
    ) -> PortFuture<'a, Result<Published, PortError>> {
        self.others.lock().unwrap().push(others.len());
        let mut published = self.published.lock().unwrap();
        published.push((site.topic.clone(), producer));
        let (is_first, count) = (published.len() == 1, site.tail.records);
        let tally = Tally { lacking: count, ..Tally::default() };
        let runs = vec![Run { source: site.tail.range.start, target: since, count }];
        let done = Published { tally, runs };
        Box::pin(async move { if is_first { Err(PortError("the owner is away".into())) } else { Ok(done) } })
    }

    fn reinject<'a>(
        &'a self,
        site: &'a TailSite,
        wish: Wish,
        (producer, ..): (ProducerId, i16, Offset),
        _: &'a dyn TailFile,
    ) -> PortFuture<'a, Result<Tally, PortError>> {
        let mut written = self.written.lock().unwrap();
        written.push((site.topic.clone(), wish, producer));
        let is_first = written.len() == 1;
        let tally = Tally { lacking: site.tail.records, ..Tally::default() };
        Box::pin(async move { if is_first { Err(PortError("the owner is away".into())) } else { Ok(tally) } })
    }
}
