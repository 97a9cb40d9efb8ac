//! What every role knows: the platform as its data directory describes it.

use crate::up::addresses::{MemberPorts, RegionPorts, loopback};
use crate::up::data_dir::{DataDir, Platform};
use anyhow::{Context as _, Result};
use catalog::command::{Addresses, Founder, FoundingWitness};
use control_plane::council::Founding;
use model::RegionName;
use object_store::{Client, Credentials, Location};
use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;

/// The name of the gateway of a platform on one machine.
pub(crate) const GATEWAY: &str = "gateway";
/// The name of the council node in no region.
pub(crate) const WITNESS: &str = "witness";

const S3_ACCESS_KEY: &str = "farshore";
const S3_BUCKET: &str = "farshore";

/// The platform a process belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// Where it lives.
    pub(crate) data: DataDir,
    /// What it is.
    pub(crate) platform: Platform,
}

impl Context {
    /// Reads it.
    ///
    /// # Errors
    /// When no platform has been started there.
    pub(crate) fn read(data: &DataDir) -> Result<Self> {
        let platform = data.platform()?.with_context(|| format!("no platform in {}", data.path().display()))?;
        Ok(Self { data: data.clone(), platform })
    }

    /// The ports of the region called `name`, and its number.
    ///
    /// # Errors
    /// When there is no such region.
    pub(crate) fn region(&self, name: &RegionName) -> Result<(u16, RegionPorts)> {
        let index = self.platform.region_index(name)?;
        Ok((index, self.platform.addresses.regions[usize::from(index)]))
    }

    /// The region and the slot of the broker whose process is called `name`.
    pub(crate) fn broker(&self, name: &str) -> Option<(RegionName, u16)> {
        let (region, slot) = name.rsplit_once('-')?;
        let region = self.platform.regions.iter().find(|known| known.as_str() == region)?;
        Some((region.clone(), slot.parse().ok().filter(|slot| *slot < self.platform.brokers)?))
    }

    /// How the council began, with the addresses of today.
    pub(crate) fn founding(&self) -> Founding {
        let regions = self.platform.regions.iter().zip(&self.platform.addresses.regions);
        Founding {
            cluster_id: self.platform.cluster_id.clone(),
            regions: regions.map(|(name, ports)| self.founder(name, ports)).collect(),
            witness: self.platform.has_witness().then(|| self.witness()),
            is_formed: self.platform.formed,
            canary: self.platform.canary,
        }
    }

    fn founder(&self, name: &RegionName, ports: &RegionPorts) -> Founder {
        Founder {
            region: name.clone(),
            disk_id: self.platform.disk_ids.get(name.as_str()).cloned().unwrap_or_default(),
            addresses: self.addresses(ports),
        }
    }

    /// Where other processes reach the listener on `port`.
    pub(crate) fn reached(&self, port: u16) -> SocketAddr {
        self.platform.nodes_at.map_or_else(|| loopback(port), |at| SocketAddr::new(at, port))
    }

    /// The addresses of a region, as the council stores them.
    pub(crate) fn addresses(&self, ports: &RegionPorts) -> Addresses {
        let mut addresses = addresses(ports, self.platform.brokers);
        let at = |port| self.reached(port).to_string();
        if self.platform.nodes_at.is_some() {
            (addresses.gateways, addresses.internal) = (at(ports.gateways), at(ports.internal));
            (addresses.council, addresses.rest) = (at(ports.council), at(ports.rest));
        }
        if let Some(links_at) = self.platform.links_at {
            addresses.internal = SocketAddr::new(links_at, ports.internal).to_string();
        }
        addresses
    }

    fn witness(&self) -> FoundingWitness {
        FoundingWitness {
            name: WITNESS.to_owned(),
            disk_id: self.platform.disk_ids.get(WITNESS).cloned().unwrap_or_default(),
            council: self.reached(self.platform.addresses.witness).to_string(),
        }
    }

    /// `host:port` of every council node.
    pub(crate) fn council_addresses(&self) -> Vec<String> {
        let regions = self.platform.addresses.regions.iter().map(|ports| ports.council);
        let witness = self.platform.has_witness().then_some(self.platform.addresses.witness);
        regions.chain(witness).map(|port| self.reached(port).to_string()).collect()
    }

    /// What the disk of `role` calls itself. A disk that was emptied since gets a new name.
    ///
    /// # Errors
    /// When the disk cannot be read or written.
    pub(crate) fn disk_id(&self, role: &str) -> Result<String> {
        let dir = self.data.join(role);
        fs::create_dir_all(&dir)?;
        let path = dir.join("disk_id");
        match fs::read_to_string(&path) {
            Ok(id) => Ok(id.trim().to_owned()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let founding = self.platform.disk_ids.get(role).filter(|_| !self.platform.formed);
                let id = founding.cloned().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
                fs::write(&path, &id).with_context(|| format!("cannot write {}", path.display()))?;
                Ok(id)
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Who may use the embedded S3 server.
    pub(crate) fn s3_credentials(&self) -> Credentials {
        Credentials { access_key: S3_ACCESS_KEY.to_owned(), secret_key: self.platform.s3_secret.clone() }
    }

    /// Whether there is one: a region that runs alone has none.
    pub(crate) fn has_objects(&self) -> bool {
        self.platform.addresses.s3 != 0
    }

    /// A client of it.
    pub(crate) fn objects(&self) -> Client {
        Client::new(&Location {
            endpoint: format!("http://{}", self.reached(self.platform.addresses.s3)),
            region: "local".to_owned(),
            bucket: S3_BUCKET.to_owned(),
            credentials: self.s3_credentials(),
        })
    }
}

/// The addresses of a region, as the council stores them: those of its `brokers` in the order of their slots, separated by
/// commas.
pub(crate) fn addresses(ports: &RegionPorts, brokers: u16) -> Addresses {
    let at = |port| loopback(port).to_string();
    let all = |of_region: u16, of_member: fn(MemberPorts) -> u16| match brokers {
        0 | 1 => at(of_region),
        _ => (0..brokers).map(|slot| at(of_member(ports.member(slot)))).collect::<Vec<_>>().join(","),
    };
    Addresses {
        clients: all(ports.clients, |member| member.clients),
        gateways: all(ports.gateways, |member| member.gateways),
        internal: all(ports.internal, |member| member.internal),
        council: at(ports.council),
        rest: at(ports.rest),
    }
}
