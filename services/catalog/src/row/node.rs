use crate::CatalogError;
use crate::answer::{NodeIdentity, VirtualNode};
use crate::column::{number, text};
use crate::command::{WITNESS_SLOT, council_node_id};
use crate::view::Gateway;
use model::{BrokerSlot, Incarnation, RegionAddress, RegionName};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

/// A row of `regions` with its incarnation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RegionRow {
    pub(crate) address: RegionAddress,
    pub(crate) disk_id: String,
}

impl RegionRow {
    fn read(row: &SqliteRow) -> Result<Self, CatalogError> {
        let address = RegionAddress {
            region: text(row, "name")?,
            index: number(row, "region_index")?,
            incarnation: Incarnation(number(row, "incarnation")?),
            clients: row.try_get("clients")?,
            gateways: row.try_get("gateways")?,
            internal: row.try_get("internal")?,
            council: row.try_get("council")?,
            rest: row.try_get("rest")?,
        };
        Ok(Self { address, disk_id: row.try_get("disk_id")? })
    }

    pub(crate) fn node_id(&self) -> u64 {
        council_node_id(BrokerSlot(self.address.index), self.address.incarnation)
    }

    pub(crate) fn identity(&self, replaces: Option<u64>) -> NodeIdentity {
        let name = self.address.region.to_string();
        NodeIdentity { name, incarnation: self.address.incarnation, node_id: self.node_id(), replaces }
    }
}

/// All regions, by index.
pub(crate) async fn regions(connection: &mut SqliteConnection) -> Result<Vec<RegionRow>, CatalogError> {
    let rows = sqlx::query(
        "SELECT regions.*, incarnations.disk_id FROM regions \
         JOIN incarnations ON incarnations.number = regions.incarnation ORDER BY region_index",
    )
    .fetch_all(connection)
    .await?;
    rows.iter().map(RegionRow::read).collect()
}

/// A row of `witnesses` with its incarnation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WitnessRow {
    pub(crate) name: String,
    pub(crate) incarnation: Incarnation,
    pub(crate) council: String,
    pub(crate) disk_id: String,
}

impl WitnessRow {
    fn read(row: &SqliteRow) -> Result<Self, CatalogError> {
        Ok(Self {
            name: row.try_get("name")?,
            incarnation: Incarnation(number(row, "incarnation")?),
            council: row.try_get("council")?,
            disk_id: row.try_get("disk_id")?,
        })
    }

    pub(crate) fn node_id(&self) -> u64 {
        council_node_id(WITNESS_SLOT, self.incarnation)
    }

    pub(crate) fn identity(&self, replaces: Option<u64>) -> NodeIdentity {
        NodeIdentity { name: self.name.clone(), incarnation: self.incarnation, node_id: self.node_id(), replaces }
    }
}

/// The witness, if there is one.
pub(crate) async fn witnesses(connection: &mut SqliteConnection) -> Result<Vec<WitnessRow>, CatalogError> {
    let rows = sqlx::query(
        "SELECT witnesses.*, incarnations.disk_id FROM witnesses \
         JOIN incarnations ON incarnations.number = witnesses.incarnation ORDER BY name",
    )
    .fetch_all(connection)
    .await?;
    rows.iter().map(WitnessRow::read).collect()
}

/// A row of `incarnations`.
pub(crate) struct IncarnationRow {
    pub(crate) number: Incarnation,
    pub(crate) holder: String,
}

impl IncarnationRow {
    /// The one a disk was given.
    pub(crate) async fn of_disk(
        connection: &mut SqliteConnection,
        disk_id: &str,
    ) -> Result<Option<Self>, CatalogError> {
        let row = sqlx::query("SELECT number, holder FROM incarnations WHERE disk_id = ?")
            .bind(disk_id)
            .fetch_optional(connection)
            .await?;
        let read =
            |row: SqliteRow| Ok(Self { number: Incarnation(number(&row, "number")?), holder: row.try_get("holder")? });
        row.map(read).transpose()
    }
}

/// The virtual nodes of all gateways, or of one, by id.
pub(crate) async fn virtual_nodes(
    connection: &mut SqliteConnection,
    gateway: Option<&str>,
) -> Result<Vec<VirtualNode>, CatalogError> {
    let rows = sqlx::query(
        "SELECT virtual_nodes.*, gateways.host FROM virtual_nodes \
         JOIN gateways ON gateways.name = virtual_nodes.gateway WHERE ?1 IS NULL OR gateway = ?1 ORDER BY id",
    )
    .bind(gateway)
    .fetch_all(connection)
    .await?;
    rows.iter().map(virtual_node).collect()
}

fn virtual_node(row: &SqliteRow) -> Result<VirtualNode, CatalogError> {
    let region: RegionName = text(row, "region")?;
    Ok(VirtualNode {
        id: number(row, "id")?,
        gateway: row.try_get("gateway")?,
        host: row.try_get("host")?,
        port: number(row, "port")?,
        region,
        slot: BrokerSlot(number(row, "slot")?),
    })
}

/// All gateways with their virtual nodes, by name.
pub(crate) async fn gateways(connection: &mut SqliteConnection) -> Result<Vec<Gateway>, CatalogError> {
    let nodes = virtual_nodes(connection, None).await?;
    let rows = sqlx::query("SELECT * FROM gateways ORDER BY name").fetch_all(connection).await?;
    let read = |row: &SqliteRow| {
        let name: String = row.try_get("name")?;
        let nodes = nodes.iter().filter(|node| node.gateway == name).cloned().collect();
        Ok(Gateway { host: row.try_get("host")?, port: number(row, "port")?, nodes, name })
    };
    rows.iter().map(read).collect()
}
