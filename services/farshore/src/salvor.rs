//! Diverged tails, compared and written again over our own Kafka client.

use bytes::Bytes;
use control_plane::ports::{PortError, Salvor, TailFile, TailSite};
use env::PortFuture;
use mirror::salvage::{self, Reinjection};
use mirror_core::salvage::{Findings, Tally, Wish};
use model::{Offset, ProducerId};

/// How many keys a report names.
const TOP_KEYS: usize = 20;

/// Works on tails as a client of the owner.
#[derive(Debug, Default)]
pub(crate) struct WireSalvor;

/// A file of the control plane as the mirror reads it.
struct Read<'f>(&'f dyn TailFile);

impl salvage::TailFile for Read<'_> {
    fn read(&self, at: u64, max: u32) -> PortFuture<'_, Result<Bytes, String>> {
        Box::pin(async move { self.0.read(at, max).await.map(Bytes::from).map_err(|error| error.0) })
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

    fn reinject<'a>(
        &'a self,
        site: &'a TailSite,
        wish: Wish,
        (producer_id, producer_epoch, until): (ProducerId, i16, Offset),
        file: &'a dyn TailFile,
    ) -> PortFuture<'a, Result<Tally, PortError>> {
        Box::pin(async move {
            let agreed = Reinjection { producer_id, producer_epoch, until };
            let findings = client(site).reinject(&tail(site), wish, agreed, &Read(file)).await;
            findings.map(|findings| findings.tally).map_err(failed)
        })
    }
}
