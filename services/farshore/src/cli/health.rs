//! `farshore health`

use super::place::Place;
use super::region::state;
use crate::output::{Unwritten, say};
use crate::table::{self, Table, or_dash};
use anyhow::Result;
use api::health::{GroupHealth, Health as Document, HealthStatus};
use std::process::ExitCode;

/// Says how the platform is. Exit code 0: all is well; 1: clients are not served; 0 with findings when degraded.
#[derive(Debug, clap::Args)]
pub(crate) struct Health {
    /// Fails as well when the platform is only degraded.
    #[arg(long)]
    strict: bool,
}

impl Health {
    pub(super) async fn run(self, place: &Place) -> Result<ExitCode> {
        let health: Document = place.api().get("/v1/health").await?;
        if !place.json {
            summary(&health)?;
        }
        table::print(place.json, &health, |health| groups(&health.groups))?;
        let failed = match health.status {
            HealthStatus::Ok => false,
            HealthStatus::Degraded => self.strict,
            HealthStatus::Failing => true,
        };
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn word(status: HealthStatus) -> &'static str {
    match status {
        HealthStatus::Ok => "ok",
        HealthStatus::Degraded => "degraded",
        HealthStatus::Failing => "failing",
    }
}

fn summary(health: &Document) -> Result<(), Unwritten> {
    let leader = or_dash(health.council.leader.as_ref());
    let quorum = if health.council.quorum { "quorum" } else { "NO QUORUM" };
    say!("{}  council: {quorum}, leader {leader}, term {}", word(health.status), health.council.term)?;
    let regions: Vec<String> =
        health.regions.iter().map(|region| format!("{} {}", region.name, state(region.state))).collect();
    say!("regions: {}", regions.join(", "))?;
    for finding in &health.findings {
        say!("{}: {} ({})", finding.subject, finding.detail, word(finding.status))?;
    }
    Ok(())
}

fn groups(groups: &[GroupHealth]) -> Table {
    let mut table = Table::new(["group", "owner", "writable", "ready standbys", "lag", "objective"]);
    for group in groups {
        table.row([
            group.name.clone(),
            group.owner.clone(),
            if group.writable { "yes" } else { "no" }.to_owned(),
            if group.ready_standbys.is_empty() { "-".to_owned() } else { group.ready_standbys.join(",") },
            or_dash(group.lag_seconds.map(super::seconds)),
            if group.rpo_met { "met" } else { "missed" }.to_owned(),
        ]);
    }
    table
}
