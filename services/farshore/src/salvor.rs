//! Diverged tails, compared, written again and published over our own Kafka client.

use bytes::Bytes;
use control_plane::ports::{PortError, Salvor, TailFile, TailSite};
use env::PortFuture;
use mirror::salvage::{self, Reinjection};
use mirror_core::salvage::{Findings, Published, Tally, Wish};
use model::{Offset, ProducerId};
use std::sync::atomic::{AtomicU32, Ordering};

/// From where on something of a tail of large enough records has been sent.
const HALF_SENT_FROM: u64 = 256 << 10;
/// How many keys a report names.
const TOP_KEYS: usize = 20;

/// What a tail is sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be written again.
    Reinjection,
    /// To be published.
    Publication,
}

/// Works on tails as a client of the owner.
#[derive(Default)]
pub(crate) struct WireSalvor {
    /// Called whenever some of a tail is sent, and not all of it.
    half_sent: Option<Box<dyn Fn(Purpose) + Send + Sync>>,
}

impl WireSalvor {
    /// The same, with `half_sent` called whenever some of a tail is sent, and not all of it.
    pub(crate) fn watched(half_sent: impl Fn(Purpose) + Send + Sync + 'static) -> Self {
        Self { half_sent: Some(Box::new(half_sent)) }
    }

    fn sent<'f>(&'f self, file: &'f dyn TailFile, purpose: Purpose) -> Sent<'f> {
        Sent { file: Read(file), begun: AtomicU32::new(0), half_sent: self.half_sent.as_deref(), purpose }
    }
}

/// A file of the control plane as the mirror reads it.
struct Read<'f>(&'f dyn TailFile);

impl salvage::TailFile for Read<'_> {
    fn read(&self, at: u64, max: u32) -> PortFuture<'_, Result<Bytes, String>> {
        Box::pin(async move { self.0.read(at, max).await.map(Bytes::from).map_err(|error| error.0) })
    }
}

/// The same, read a first time to be judged and a second time to be sent.
struct Sent<'f> {
    file: Read<'f>,
    begun: AtomicU32,
    half_sent: Option<&'f (dyn Fn(Purpose) + Send + Sync)>,
    purpose: Purpose,
}

impl salvage::TailFile for Sent<'_> {
    fn read(&self, at: u64, max: u32) -> PortFuture<'_, Result<Bytes, String>> {
        // What was read before, and held a whole parcel, has been sent by then.
        let begun = self.begun.fetch_add(u32::from(at == 0), Ordering::Relaxed);
        if let Some(half_sent) = self.half_sent.filter(|_| at >= HALF_SENT_FROM && begun > 1) {
            half_sent(self.purpose);
        }
        self.file.read(at, max)
    }
}

fn client(site: &TailSite) -> salvage::Salvor {
    salvage::Salvor::new(&site.address)
}

fn tail(site: &TailSite) -> salvage::Tail {
    salvage::Tail {
        region: site.region.clone(),
        epoch: site.tail.ownership_epoch,
        topic: site.topic.clone(),
        partition: site.tail.partition,
        range: site.tail.range,
        records: site.tail.records,
    }
}

fn failed(error: impl std::error::Error) -> PortError {
    PortError(error.to_string())
}

impl Salvor for WireSalvor {
    fn agree<'a>(&'a self, site: &'a TailSite) -> PortFuture<'a, Result<(ProducerId, i16, Offset), PortError>> {
        Box::pin(async move {
            let agreed = client(site).agree(&tail(site)).await.map_err(failed)?;
            Ok((agreed.producer_id, agreed.producer_epoch, agreed.until))
        })
    }

    fn compare<'a>(
        &'a self,
        site: &'a TailSite,
        wish: Wish,
        file: &'a dyn TailFile,
    ) -> PortFuture<'a, Result<Findings, PortError>> {
        Box::pin(async move { client(site).compare(&tail(site), wish, &Read(file), TOP_KEYS).await.map_err(failed) })
    }

    fn publish<'a>(
        &'a self,
        site: &'a TailSite,
        (producer_id, producer_epoch, since): (ProducerId, i16, Offset),
        file: &'a dyn TailFile,
        others: &'a [&'a dyn TailFile],
    ) -> PortFuture<'a, Result<Published, PortError>> {
        Box::pin(async move {
            let agreed = Reinjection { producer_id, producer_epoch, until: since };
            let others: Vec<_> = others.iter().copied().map(Read).collect();
            let others: Vec<_> = others.iter().map(|other| other as &dyn salvage::TailFile).collect();
            let file = self.sent(file, Purpose::Publication);
            client(site).publish(&tail(site), agreed, &file, &others).await.map_err(failed)
        })
    }

    fn reinject<'a>(
        &'a self,
        site: &'a TailSite,
        wish: Wish,
        (producer_id, producer_epoch, until): (ProducerId, i16, Offset),
        file: &'a dyn TailFile,
    ) -> PortFuture<'a, Result<Tally, PortError>> {
        Box::pin(async move {
            let agreed = Reinjection { producer_id, producer_epoch, until };
            let file = self.sent(file, Purpose::Reinjection);
            let findings = client(site).reinject(&tail(site), wish, agreed, &file).await;
            findings.map(|findings| findings.tally).map_err(failed)
        })
    }
}
