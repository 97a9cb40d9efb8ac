//! Which port belongs to what.

use anyhow::{Context, Result, bail};
use model::RegionName;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// How many brokers a region may have: virtual nodes keep their ports when it grows.
pub(crate) const BROKERS_PER_REGION_MAX: u16 = 3;
/// How many ports a platform packs behind its base port.
pub(crate) const PACKED_PORTS: u16 = 70;

/// The ports of one region's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RegionPorts {
    /// Its own Kafka clients.
    pub(crate) clients: u16,
    /// The gateways.
    pub(crate) gateways: u16,
    /// Links, offset sync, metadata followers.
    pub(crate) internal: u16,
    /// Its council node.
    pub(crate) council: u16,
    /// Its REST API.
    pub(crate) rest: u16,
}

impl RegionPorts {
    fn from(first: u16) -> Self {
        Self { clients: first, gateways: first + 1, internal: first + 2, council: first + 3, rest: first + 4 }
    }
}

/// Every port of a platform. All are bound on 127.0.0.1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Addresses {
    /// The gateway's bootstrap listener.
    pub(crate) gateway: u16,
    /// The first virtual node's listener; they follow each other.
    pub(crate) virtual_nodes: u16,
    /// REST, Swagger UI and console.
    pub(crate) rest: u16,
    /// S3.
    pub(crate) s3: u16,
    /// The witness's council node.
    pub(crate) witness: u16,
    /// The regions, in order.
    pub(crate) regions: Vec<RegionPorts>,
}

impl Addresses {
    /// The ports a newcomer finds in the README.
    pub(crate) fn well_known(regions: u16) -> Self {
        let regions = (0..regions).map(|index| RegionPorts::from(19092 + 1000 * index)).collect();
        Self { gateway: 9092, virtual_nodes: 9093, rest: 8080, s3: 9000, witness: 18095, regions }
    }

    /// All ports in one block from `base` on.
    ///
    /// # Errors
    /// When the block does not fit below 65536.
    pub(crate) fn packed(base: u16, regions: u16) -> Result<Self> {
        if base.checked_add(PACKED_PORTS).is_none() || base < 1024 {
            bail!("--base-port {base}: choose one from 1024 to {}", u16::MAX - PACKED_PORTS);
        }
        let regions = (0..regions).map(|index| RegionPorts::from(base + 20 + 10 * index)).collect();
        Ok(Self { gateway: base, virtual_nodes: base + 1, rest: base + 16, s3: base + 17, witness: base + 18, regions })
    }

    /// The ports of a region alone, from `first` on; there is no gateway, no S3 and no witness.
    ///
    /// # Errors
    /// When they do not fit below 65536.
    pub(crate) fn alone(first: u16) -> Result<Self> {
        if !(1024..=u16::MAX - 5).contains(&first) {
            bail!("--port {first}: choose one from 1024 to {}", u16::MAX - 5);
        }
        Ok(Self { gateway: 0, virtual_nodes: 0, rest: 0, s3: 0, witness: 0, regions: vec![RegionPorts::from(first)] })
    }

    /// The port of the virtual node that stands for one broker of one region.
    pub(crate) fn virtual_node(&self, region: u16, slot: u16) -> u16 {
        self.virtual_nodes + region * BROKERS_PER_REGION_MAX + slot
    }

    /// Fails, naming the port and the remedy, when something else listens on one of the ports.
    pub(crate) fn assert_free(&self, regions: &[RegionName], witness: bool) -> Result<()> {
        for (what, port) in self.named(regions, witness) {
            TcpListener::bind(loopback(port)).map(drop).with_context(|| {
                format!(
                    "port {port} ({what}) is taken: stop what listens there (`ss -ltnp 'sport = :{port}'`) or choose \
                     other ports with --base-port"
                )
            })?;
        }
        Ok(())
    }

    fn named(&self, regions: &[RegionName], witness: bool) -> Vec<(String, u16)> {
        let mut named =
            vec![("gateway".to_owned(), self.gateway), ("REST".to_owned(), self.rest), ("S3".to_owned(), self.s3)];
        if witness {
            named.push(("witness".to_owned(), self.witness));
        }
        for (index, (region, ports)) in regions.iter().zip(&self.regions).enumerate() {
            named.push((format!("virtual node of {region}"), self.virtual_node(index as u16, 0)));
            named.push((format!("brokers of {region}"), ports.clients));
            named.push((format!("gateways' listener of {region}"), ports.gateways));
            named.push((format!("internal listener of {region}"), ports.internal));
            named.push((format!("council node of {region}"), ports.council));
            named.push((format!("REST of {region}"), ports.rest));
        }
        named
    }
}

/// `port` on this machine only. Until authentication is configured, nothing else can be bound.
pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// The first port of a block in which a platform finds all its ports free.
///
/// # Errors
/// When no such block is found.
#[cfg(test)]
pub(crate) fn free_base_port() -> Result<u16> {
    // Each process looks in another place first, so that platforms started side by side do not meet.
    let seed = uuid::Uuid::new_v4().as_u128();
    const FIRST: u16 = 20_000;
    const BLOCKS: u16 = (32_000 - FIRST) / PACKED_PORTS;
    for attempt in 0..BLOCKS {
        let block = ((seed + u128::from(attempt)) % u128::from(BLOCKS)) as u16;
        let base = FIRST + block * PACKED_PORTS;
        if (base..base + PACKED_PORTS).all(|port| TcpListener::bind(loopback(port)).is_ok()) {
            return Ok(base);
        }
    }
    bail!("no block of {PACKED_PORTS} free ports between {FIRST} and 32000; name one with --base-port")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn regions(count: u16) -> Vec<RegionName> {
        (1..=count).map(|n| RegionName::new(format!("r{n}")).unwrap()).collect()
    }

    #[test]
    fn no_port_is_given_twice() {
        for addresses in [Addresses::well_known(5), Addresses::packed(20_000, 5).unwrap()] {
            let named = addresses.named(&regions(5), true);
            let ports: BTreeSet<u16> = named.iter().map(|(_, port)| *port).collect();
            assert_eq!(ports.len(), named.len(), "{named:?}");
        }
    }

    #[test]
    fn a_packed_platform_stays_in_its_block() {
        let named = Addresses::packed(20_000, 5).unwrap().named(&regions(5), true);
        assert!(named.iter().all(|(_, port)| (20_000..20_000 + PACKED_PORTS).contains(port)), "{named:?}");
        assert!(Addresses::packed(65_500, 2).is_err());
    }

    #[test]
    fn a_taken_port_is_named_with_the_remedy() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut addresses = Addresses::packed(free_base_port().unwrap(), 2).unwrap();
        addresses.s3 = holder.local_addr().unwrap().port();
        let refusal = addresses.assert_free(&regions(2), true).unwrap_err().to_string();
        assert!(refusal.contains("S3") && refusal.contains("--base-port"), "{refusal}");
    }
}
