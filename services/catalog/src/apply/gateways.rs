use super::{Applied, Applying, check_text};
use crate::command::{NodePort, RegisterGateway};
use crate::{Answer, Refusal, limits, row};
use sqlx::Row;
use std::collections::BTreeSet;

impl Applying<'_> {
    pub(super) async fn register_gateway(&mut self, args: &RegisterGateway) -> Applied<Answer> {
        self.check_formed().await?;
        self.check_gateway(args).await?;
        let before = row::gateways(self.connection).await?;
        sqlx::query(
            "INSERT INTO gateways (name, host, port, registered_at) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (name) DO UPDATE SET host = ?2, port = ?3",
        )
        .bind(&args.gateway)
        .bind(&args.host)
        .bind(i64::from(args.port))
        .bind(self.at.0)
        .execute(&mut *self.connection)
        .await?;
        for node in &args.nodes {
            self.write_virtual_node(&args.gateway, node).await?;
        }
        self.check_ports(args).await?;
        if row::gateways(self.connection).await? != before {
            self.touch().gateways = true;
        }
        Ok(Answer::Gateway { nodes: row::virtual_nodes(self.connection, Some(&args.gateway)).await? })
    }

    async fn check_gateway(&mut self, args: &RegisterGateway) -> Applied<()> {
        check_text("gateway", &args.gateway)?;
        check_text("host", &args.host)?;
        if args.nodes.len() > limits::VIRTUAL_NODES_PER_GATEWAY_MAX {
            let limit = limits::VIRTUAL_NODES_PER_GATEWAY_MAX;
            return Err(Refusal::too_many("virtual nodes", args.nodes.len(), limit).into());
        }
        let count = self.count("SELECT count(*) FROM gateways").await?;
        if count >= limits::GATEWAYS_MAX && !self.is_gateway(&args.gateway).await? {
            return Err(Refusal::too_many("gateways", count + 1, limits::GATEWAYS_MAX).into());
        }
        let regions = row::regions(self.connection).await?;
        let known = |node: &&NodePort| !regions.iter().any(|region| region.address.region == node.region);
        match args.nodes.iter().find(known) {
            Some(node) => Err(Refusal::not_found("region", &node.region).into()),
            None => Ok(()),
        }
    }

    async fn is_gateway(&mut self, name: &str) -> Applied<bool> {
        let row = sqlx::query("SELECT 1 FROM gateways WHERE name = ?").bind(name);
        Ok(row.fetch_optional(&mut *self.connection).await?.is_some())
    }

    async fn write_virtual_node(&mut self, gateway: &str, node: &NodePort) -> Applied<()> {
        let changed = sqlx::query("UPDATE virtual_nodes SET port = ? WHERE gateway = ? AND region = ? AND slot = ?")
            .bind(i64::from(node.port))
            .bind(gateway)
            .bind(node.region.as_str())
            .bind(i64::from(node.slot.0))
            .execute(&mut *self.connection)
            .await?;
        if changed.rows_affected() > 0 {
            return Ok(());
        }
        let id = self.next_number("virtual node").await?;
        sqlx::query("INSERT INTO virtual_nodes (id, gateway, region, slot, port) VALUES (?, ?, ?, ?, ?)")
            .bind(crate::column::signed(id))
            .bind(gateway)
            .bind(node.region.as_str())
            .bind(i64::from(node.slot.0))
            .bind(i64::from(node.port))
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }

    /// Two listeners of one host cannot share a port.
    async fn check_ports(&mut self, args: &RegisterGateway) -> Applied<()> {
        let rows = sqlx::query(
            "SELECT port, name AS holder FROM gateways WHERE host = ?1 UNION ALL \
             SELECT virtual_nodes.port, gateway || ' for ' || region || ' slot ' || slot FROM virtual_nodes \
             JOIN gateways ON gateways.name = virtual_nodes.gateway WHERE host = ?1 ORDER BY 1, 2",
        )
        .bind(&args.host)
        .fetch_all(&mut *self.connection)
        .await?;
        let mut ports = BTreeSet::new();
        for row in rows {
            let port: u16 = crate::column::number(&row, "port")?;
            if !ports.insert(port) {
                let holder = row.try_get("holder")?;
                return Err(Refusal::PortTaken { host: args.host.clone(), port, holder }.into());
            }
        }
        Ok(())
    }
}
