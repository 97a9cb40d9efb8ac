//! Which port belongs to what.

use anyhow::{Context, Result, bail};
use model::RegionName;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// How many brokers a region may have: virtual nodes keep their ports when it grows.
pub(crate) const BROKERS_PER_REGION_MAX: u16 = 3;
/// How many ports a platform packs behind its base port whose regions are one process each.
pub(crate) const PACKED_PORTS: u16 = 70;
/// Where the ports of brokers begin behind the base port, how many each region has of them, and how many each of its
/// brokers, where they are processes of their own.
const MEMBERS_FROM: u16 = 100;
const MEMBERS_PER_REGION: u16 = 20;
const PORTS_PER_MEMBER: u16 = 4;
const REGIONS_MAX: u16 = 5;

/// The ports of one process of a region of several brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemberPorts {
    /// Its own Kafka clients.
    pub(crate) clients: u16,
    /// The gateways.
    pub(crate) gateways: u16,
    /// Links, offset sync, metadata followers.
    pub(crate) internal: u16,
    /// Its node of the region's metadata quorum.
    pub(crate) controller: u16,
}

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
    /// The first of those of its brokers and its desk, where they are processes of their own; else 0.
    #[serde(default)]
    pub(crate) members: u16,
}

impl RegionPorts {
    fn from(first: u16) -> Self {
        Self {
            clients: first,
            gateways: first + 1,
            internal: first + 2,
            council: first + 3,
            rest: first + 4,
            members: 0,
        }
    }

    fn with_members(self, brokers: u16, first: u16) -> Self {
        Self { members: if brokers > 1 { first } else { 0 }, ..self }
    }

    /// The ports of the broker in `slot`; the slot behind the last one is the desk's.
    pub(crate) fn member(&self, slot: u16) -> MemberPorts {
        let first = self.members + PORTS_PER_MEMBER * slot.min(BROKERS_PER_REGION_MAX);
        MemberPorts { clients: first, gateways: first + 1, internal: first + 2, controller: first + 3 }
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
    pub(crate) fn well_known(regions: u16, brokers: u16) -> Self {
        let region = |first: u16| RegionPorts::from(first).with_members(brokers, first + MEMBERS_FROM);
        let regions = (0..regions).map(|index| region(19092 + 1000 * index)).collect();
        Self { gateway: 9092, virtual_nodes: 9093, rest: 8080, s3: 9000, witness: 18095, regions }
    }

    /// All ports in one block from `base` on.
    ///
    /// # Errors
    /// When the block does not fit below 65536.
    pub(crate) fn packed(base: u16, regions: u16, brokers: u16) -> Result<Self> {
        let ports = packed_ports(brokers);
        if base.checked_add(ports).is_none() || base < 1024 {
            bail!("--base-port {base}: choose one from 1024 to {}", u16::MAX - ports);
        }
        let members = |index| base + MEMBERS_FROM + MEMBERS_PER_REGION * index;
        let region = |index| RegionPorts::from(base + 20 + 10 * index).with_members(brokers, members(index));
        let regions = (0..regions).map(region).collect();
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
    pub(crate) fn assert_free(&self, regions: &[RegionName], brokers: u16, witness: bool) -> Result<()> {
        for (what, port) in self.named(regions, brokers, witness) {
            TcpListener::bind(loopback(port)).map(drop).with_context(|| {
                format!(
                    "port {port} ({what}) is taken: stop what listens there (`ss -ltnp 'sport = :{port}'`) or choose \
                     other ports with --base-port"
                )
            })?;
        }
        Ok(())
    }

    fn named(&self, regions: &[RegionName], brokers: u16, witness: bool) -> Vec<(String, u16)> {
        let mut named =
            vec![("gateway".to_owned(), self.gateway), ("REST".to_owned(), self.rest), ("S3".to_owned(), self.s3)];
        if witness {
            named.push(("witness".to_owned(), self.witness));
        }
        for (index, (region, ports)) in regions.iter().zip(&self.regions).enumerate() {
            for slot in 0..brokers {
                named.push((format!("virtual node {slot} of {region}"), self.virtual_node(index as u16, slot)));
            }
            if brokers == 1 {
                named.push((format!("brokers of {region}"), ports.clients));
                named.push((format!("gateways' listener of {region}"), ports.gateways));
                named.push((format!("internal listener of {region}"), ports.internal));
            } else {
                named.extend(members(region, ports, brokers));
            }
            named.push((format!("council node of {region}"), ports.council));
            named.push((format!("REST of {region}"), ports.rest));
        }
        named
    }
}

/// The ports of all brokers of a region, and of its desk.
fn members(region: &RegionName, ports: &RegionPorts, brokers: u16) -> Vec<(String, u16)> {
    let of = |slot: u16| {
        let at = ports.member(slot);
        let who = if slot < brokers { format!("broker {slot} of {region}") } else { format!("desk of {region}") };
        [("clients", at.clients), ("gateways", at.gateways), ("internal", at.internal), ("controller", at.controller)]
            .map(|(what, port)| (format!("{what} of {who}"), port))
    };
    (0..brokers).chain([BROKERS_PER_REGION_MAX]).flat_map(of).collect()
}

/// How many ports a platform packs behind its base port.
fn packed_ports(brokers: u16) -> u16 {
    if brokers > 1 { MEMBERS_FROM + MEMBERS_PER_REGION * REGIONS_MAX } else { PACKED_PORTS }
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
        for brokers in 1..=BROKERS_PER_REGION_MAX {
            for addresses in [Addresses::well_known(5, brokers), Addresses::packed(20_000, 5, brokers).unwrap()] {
                let named = addresses.named(&regions(5), brokers, true);
                let ports: BTreeSet<u16> = named.iter().map(|(_, port)| *port).collect();
                assert_eq!(ports.len(), named.len(), "{named:?}");
            }
        }
    }

    #[test]
    fn a_packed_platform_stays_in_its_block() {
        for brokers in 1..=BROKERS_PER_REGION_MAX {
            let named = Addresses::packed(20_000, 5, brokers).unwrap().named(&regions(5), brokers, true);
            let block = 20_000..20_000 + packed_ports(brokers);
            assert!(named.iter().all(|(_, port)| block.contains(port)), "{named:?}");
            assert!(Addresses::packed(65_500, 2, brokers).is_err());
        }
    }

    #[test]
    fn a_taken_port_is_named_with_the_remedy() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut addresses = Addresses::packed(free_base_port().unwrap(), 2, 1).unwrap();
        addresses.s3 = holder.local_addr().unwrap().port();
        let refusal = addresses.assert_free(&regions(2), 1, true).unwrap_err().to_string();
        assert!(refusal.contains("S3") && refusal.contains("--base-port"), "{refusal}");
    }
}
