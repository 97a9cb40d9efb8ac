use super::{Applied, Applying, check_text};
use crate::column::signed;
use crate::command::{Addresses, JoinRegion, JoinWitness, WITNESS_SLOT, council_node_id};
use crate::row::{self, IncarnationRow, RegionRow, WitnessRow};
use crate::{Answer, NodeIdentity, Refusal, limits};
use model::{BrokerSlot, Incarnation, RegionName};

impl Applying<'_> {
    pub(super) async fn join_region(&mut self, args: &JoinRegion) -> Applied<Answer> {
        self.check_formed().await?;
        let regions = row::regions(self.connection).await?;
        let known = regions.iter().find(|region| region.address.region == args.region);
        let identity = match known {
            None => {
                check_index(&regions, args)?;
                self.new_region(&args.region, args.index, &args.disk_id, &args.addresses).await?
            }
            Some(known) => self.known_region(known, args).await?,
        };
        Ok(Answer::Region(identity))
    }

    async fn known_region(&mut self, known: &RegionRow, args: &JoinRegion) -> Applied<NodeIdentity> {
        let (region, index) = (args.region.clone(), known.address.index);
        if index != args.index {
            return Err(Refusal::OtherIndex { region, index, asked: args.index }.into());
        }
        let same_disk = known.disk_id == args.disk_id;
        let incarnation = if same_disk {
            known.address.incarnation
        } else {
            let incarnation = self.new_incarnation(region.as_str(), BrokerSlot(index), &args.disk_id).await?;
            self.revoke_all_of(&region).await?;
            self.forget_target(&region).await?;
            incarnation
        };
        self.write_region(&region, index, incarnation, &args.addresses).await?;
        let node_id = council_node_id(BrokerSlot(index), incarnation);
        let replaces = (!same_disk).then(|| known.node_id());
        Ok(NodeIdentity { name: region.to_string(), incarnation, node_id, replaces })
    }

    pub(super) async fn new_region(
        &mut self,
        region: &RegionName,
        index: u16,
        disk_id: &str,
        addresses: &Addresses,
    ) -> Applied<NodeIdentity> {
        let count = self.count("SELECT count(*) FROM regions").await? + 1;
        if count > limits::REGIONS_MAX {
            return Err(Refusal::too_many("regions", count, limits::REGIONS_MAX).into());
        }
        let twice = row::regions(self.connection).await?.iter().any(|other| other.address.region == *region);
        if twice {
            return Err(Refusal::Exists { what: "region".into(), name: region.to_string() }.into());
        }
        let incarnation = self.new_incarnation(region.as_str(), BrokerSlot(index), disk_id).await?;
        self.write_region(region, index, incarnation, addresses).await?;
        let node_id = council_node_id(BrokerSlot(index), incarnation);
        Ok(NodeIdentity { name: region.to_string(), incarnation, node_id, replaces: None })
    }

    async fn write_region(
        &mut self,
        region: &RegionName,
        index: u16,
        incarnation: Incarnation,
        addresses: &Addresses,
    ) -> Applied<()> {
        check_addresses(addresses)?;
        let changed = sqlx::query(
            "INSERT INTO regions (name, region_index, incarnation, clients, gateways, internal, council, rest) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (name) DO UPDATE SET \
             incarnation = ?3, clients = ?4, gateways = ?5, internal = ?6, council = ?7, rest = ?8 \
             WHERE (incarnation, clients, gateways, internal, council, rest) IS NOT (?3, ?4, ?5, ?6, ?7, ?8)",
        )
        .bind(region.as_str())
        .bind(i64::from(index))
        .bind(i64::from(incarnation.0))
        .bind(&addresses.clients)
        .bind(&addresses.gateways)
        .bind(&addresses.internal)
        .bind(&addresses.council)
        .bind(&addresses.rest)
        .execute(&mut *self.connection)
        .await?;
        if changed.rows_affected() > 0 {
            self.touch().platform = true;
        }
        Ok(())
    }

    pub(super) async fn join_witness(&mut self, args: &JoinWitness) -> Applied<Answer> {
        self.check_formed().await?;
        let identity = match row::witnesses(self.connection).await?.first() {
            None => self.new_witness(&args.name, &args.disk_id, &args.council).await?,
            Some(known) if known.name != args.name => {
                return Err(Refusal::Exists { what: "witness".into(), name: known.name.clone() }.into());
            }
            Some(known) => self.known_witness(known, args).await?,
        };
        Ok(Answer::Region(identity))
    }

    async fn known_witness(&mut self, known: &WitnessRow, args: &JoinWitness) -> Applied<NodeIdentity> {
        if known.disk_id == args.disk_id {
            return self.write_witness(&args.name, known.incarnation, &args.council, None).await;
        }
        let incarnation = self.new_incarnation(&args.name, WITNESS_SLOT, &args.disk_id).await?;
        self.write_witness(&args.name, incarnation, &args.council, Some(known.node_id())).await
    }

    pub(super) async fn new_witness(&mut self, name: &str, disk_id: &str, council: &str) -> Applied<NodeIdentity> {
        check_text("witness", name)?;
        let incarnation = self.new_incarnation(name, WITNESS_SLOT, disk_id).await?;
        self.write_witness(name, incarnation, council, None).await
    }

    async fn write_witness(
        &mut self,
        name: &str,
        incarnation: Incarnation,
        council: &str,
        replaces: Option<u64>,
    ) -> Applied<NodeIdentity> {
        check_text("address", council)?;
        sqlx::query(
            "INSERT INTO witnesses (name, incarnation, council) VALUES (?1, ?2, ?3) \
             ON CONFLICT (name) DO UPDATE SET incarnation = ?2, council = ?3",
        )
        .bind(name)
        .bind(i64::from(incarnation.0))
        .bind(council)
        .execute(&mut *self.connection)
        .await?;
        self.touch().platform = true;
        let node_id = council_node_id(WITNESS_SLOT, incarnation);
        Ok(NodeIdentity { name: name.to_owned(), incarnation, node_id, replaces })
    }

    /// The number of a disk that was never seen. A disk that was is refused: it is somebody else's, or was replaced.
    async fn new_incarnation(&mut self, holder: &str, slot: BrokerSlot, disk_id: &str) -> Applied<Incarnation> {
        check_text("disk id", disk_id)?;
        if let Some(seen) = IncarnationRow::of_disk(self.connection, disk_id).await? {
            let disk_id = disk_id.to_owned();
            return Err(Refusal::DiskReplaced { disk_id, holder: seen.holder, incarnation: seen.number }.into());
        }
        let next = self.next_number("incarnation").await?;
        let limit = usize::from(u16::MAX);
        let number = u16::try_from(next).map_err(|_| Refusal::too_many("incarnations", limit + 1, limit))?;
        sqlx::query("INSERT INTO incarnations (number, holder, node_id, disk_id, given_at) VALUES (?, ?, ?, ?, ?)")
            .bind(i64::from(number))
            .bind(holder)
            .bind(signed(council_node_id(slot, Incarnation(number))))
            .bind(disk_id)
            .bind(self.at.0)
            .execute(&mut *self.connection)
            .await?;
        Ok(Incarnation(number))
    }
}

fn check_index(regions: &[RegionRow], args: &JoinRegion) -> Applied<()> {
    let holder = regions.iter().find(|region| region.address.index == args.index);
    match holder {
        Some(holder) => Err(Refusal::IndexTaken { index: args.index, region: holder.address.region.clone() }.into()),
        None => Ok(()),
    }
}

fn check_addresses(addresses: &Addresses) -> Applied<()> {
    let all = [&addresses.clients, &addresses.gateways, &addresses.internal, &addresses.council, &addresses.rest];
    all.into_iter().try_for_each(|address| check_text("address", address))
}
