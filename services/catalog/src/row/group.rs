use crate::CatalogError;
use crate::column::{json, number, text, word};
use dr_planner::policy;
use model::{
    Coverage, Grant, GrantState, Incarnation, ModeState, Opening, OwnershipEpoch, ProtectionGroup, RegionName,
};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

/// A row of `protection_groups`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GroupRow {
    pub(crate) policy: policy::Group,
    pub(crate) coverage: Coverage,
    pub(crate) revision: u64,
    pub(crate) owner: RegionName,
    pub(crate) owner_incarnation: Incarnation,
    pub(crate) ownership_epoch: OwnershipEpoch,
    pub(crate) state: GrantState,
    pub(crate) openings: Vec<Opening>,
    pub(crate) route_owner: RegionName,
    pub(crate) route_grant: OwnershipEpoch,
    pub(crate) route_epoch: u64,
    pub(crate) mode: ModeState,
}

impl GroupRow {
    fn read(row: &SqliteRow) -> Result<Self, CatalogError> {
        Ok(Self {
            policy: json(row, "policy")?,
            coverage: json(row, "coverage")?,
            revision: number(row, "revision")?,
            owner: text(row, "owner")?,
            owner_incarnation: Incarnation(number(row, "owner_incarnation")?),
            ownership_epoch: OwnershipEpoch(number(row, "ownership_epoch")?),
            state: word(row, "state")?,
            openings: json(row, "openings")?,
            route_owner: text(row, "route_owner")?,
            route_grant: OwnershipEpoch(number(row, "route_grant")?),
            route_epoch: number(row, "route_epoch")?,
            mode: json(row, "mode")?,
        })
    }

    pub(crate) fn name(&self) -> &ProtectionGroup {
        &self.policy.name
    }

    pub(crate) fn grant(&self) -> Grant {
        Grant {
            group: self.policy.name.clone(),
            owner: self.owner.clone(),
            ownership_epoch: self.ownership_epoch,
            state: self.state,
            home: self.policy.home.clone(),
            standbys: self.policy.standbys.clone(),
            coverage: self.coverage.clone(),
            openings: self.openings.clone(),
            mode: self.mode.clone(),
            active: None,
        }
    }

    /// The group called `name`.
    pub(crate) async fn find(
        connection: &mut SqliteConnection,
        name: &ProtectionGroup,
    ) -> Result<Option<Self>, CatalogError> {
        let row = sqlx::query("SELECT * FROM protection_groups WHERE name = ?")
            .bind(name.as_str())
            .fetch_optional(connection)
            .await?;
        row.as_ref().map(Self::read).transpose()
    }

    /// All groups, by name.
    pub(crate) async fn all(connection: &mut SqliteConnection) -> Result<Vec<Self>, CatalogError> {
        let rows = sqlx::query("SELECT * FROM protection_groups ORDER BY name").fetch_all(connection).await?;
        rows.iter().map(Self::read).collect()
    }
}
