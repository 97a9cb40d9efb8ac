use super::{Applied, Applying, check_text};
use crate::column::{json, number, signed, to_json};
use crate::command::{FormPlatform, PutSetting};
use crate::{Answer, NodeIdentity, Refusal, limits, row};
use sqlx::Row;

impl Applying<'_> {
    pub(super) async fn form_platform(&mut self, args: &FormPlatform) -> Applied<Answer> {
        check_text("cluster id", &args.cluster_id)?;
        if let Some(cluster_id) = self.cluster_id().await? {
            return self.formed_before(args, cluster_id).await;
        }
        if args.regions.is_empty() {
            return Err(Refusal::unusable("platform", &args.cluster_id, "it needs a region").into());
        }
        sqlx::query("INSERT INTO platform (only_row, cluster_id, formed_at) VALUES (0, ?, ?)")
            .bind(&args.cluster_id)
            .bind(self.at.0)
            .execute(&mut *self.connection)
            .await?;
        let nodes = self.found(args).await?;
        for group in &args.groups {
            self.create_group(group).await?;
        }
        Ok(Answer::Platform { nodes })
    }

    async fn found(&mut self, args: &FormPlatform) -> Applied<Vec<NodeIdentity>> {
        let mut nodes = Vec::new();
        for (index, founder) in args.regions.iter().enumerate() {
            let index = u16::try_from(index).unwrap_or(u16::MAX);
            nodes.push(self.new_region(&founder.region, index, &founder.disk_id, &founder.addresses).await?);
        }
        if let Some(witness) = &args.witness {
            nodes.push(self.new_witness(&witness.name, &witness.disk_id, &witness.council).await?);
        }
        Ok(nodes)
    }

    /// Several nodes may form the platform at once; the later ones learn what the first one got.
    async fn formed_before(&mut self, args: &FormPlatform, cluster_id: String) -> Applied<Answer> {
        if cluster_id != args.cluster_id {
            return Err(Refusal::OtherPlatform { cluster_id }.into());
        }
        let mut nodes: Vec<_> =
            row::regions(self.connection).await?.iter().map(|region| region.identity(None)).collect();
        nodes.extend(row::witnesses(self.connection).await?.iter().map(|witness| witness.identity(None)));
        Ok(Answer::Platform { nodes })
    }

    async fn cluster_id(&mut self) -> Applied<Option<String>> {
        let row = sqlx::query("SELECT cluster_id FROM platform").fetch_optional(&mut *self.connection).await?;
        Ok(row.map(|row| row.try_get("cluster_id")).transpose()?)
    }

    pub(super) async fn check_formed(&mut self) -> Applied<()> {
        if self.cluster_id().await?.is_none() {
            return Err(Refusal::Unformed.into());
        }
        Ok(())
    }

    pub(super) async fn put_setting(&mut self, args: &PutSetting) -> Applied<Answer> {
        check_text("setting", &args.name)?;
        let value = to_json(&args.value);
        if value.len() > limits::DOCUMENT_BYTES_MAX {
            return Err(Refusal::too_many("bytes of a setting", value.len(), limits::DOCUMENT_BYTES_MAX).into());
        }
        let (now, revision) = self.setting(&args.name).await?;
        check_revision("setting", &args.name, args.expected, revision)?;
        if now.as_ref() == Some(&args.value) {
            return Ok(Answer::Revision { revision });
        }
        self.touch().platform = true;
        if args.value.is_null() {
            sqlx::query("DELETE FROM settings WHERE name = ?").bind(&args.name).execute(&mut *self.connection).await?;
            return Ok(Answer::Revision { revision: 0 });
        }
        let revision = self.next_number("setting revision").await?;
        sqlx::query(
            "INSERT OR REPLACE INTO settings (name, value, revision, changed_at, changed_by) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(&args.name)
        .bind(value)
        .bind(signed(revision))
        .bind(self.at.0)
        .bind(self.by)
        .execute(&mut *self.connection)
        .await?;
        Ok(Answer::Revision { revision })
    }

    async fn setting(&mut self, name: &str) -> Applied<(Option<serde_json::Value>, u64)> {
        let row = sqlx::query("SELECT value, revision FROM settings WHERE name = ?")
            .bind(name)
            .fetch_optional(&mut *self.connection)
            .await?;
        match row {
            Some(row) => Ok((Some(json(&row, "value")?), number(&row, "revision")?)),
            None => Ok((None, 0)),
        }
    }
}

/// Refuses when somebody changed the thing since the asker looked at it.
pub(super) fn check_revision(what: &str, name: &str, expected: Option<u64>, revision: u64) -> Applied<()> {
    match expected {
        Some(expected) if expected != revision => {
            Err(Refusal::Changed { what: what.to_owned(), name: name.to_owned(), expected, revision }.into())
        }
        _ => Ok(()),
    }
}
