//! A catalog with a log in front of it.

use catalog::command::{
    Addresses, CreateGroup, CreateTopics, FormPlatform, Founder, FoundingWitness, NewTopic, StartRun,
};
use catalog::{Answer, Catalog, Change, Command, Entry, Outcome, Position, Refusal};
use dr_planner::plan::{Kind, Plan, PlanId, Trigger};
use dr_planner::policy;
use model::{
    OwnershipEpoch, PartitionId, ProtectionGroup, RegionName, RunId, StepId, Timestamp, TopicId, TopicName, TopicSpec,
    TopicState,
};
use std::path::PathBuf;

/// A council of one node.
pub(crate) struct Council {
    pub(crate) catalog: Catalog,
    pub(crate) log: Vec<Entry>,
    pub(crate) directory: tempfile::TempDir,
}

impl Council {
    pub(crate) async fn empty() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(directory.path().join("catalog.sqlite")).await.unwrap();
        Self { catalog, log: vec![], directory }
    }

    /// With regions r1, r2, r3 and the group `default`.
    pub(crate) async fn formed() -> Self {
        let mut council = Self::empty().await;
        council.decide(form(3)).await.unwrap();
        council
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("catalog.sqlite")
    }

    pub(crate) async fn decide(&mut self, change: impl Into<Change>) -> Outcome {
        self.decide_command(command(self.log.len() as u64, change)).await
    }

    pub(crate) async fn decide_command(&mut self, command: Command) -> Outcome {
        let index = self.log.len() as u64 + 1;
        self.log.push(Entry { index, command });
        let entry = std::slice::from_ref(self.log.last().unwrap());
        self.catalog.apply(entry, at(index)).await.unwrap().pop().unwrap()
    }

    pub(crate) async fn refusal(&mut self, change: impl Into<Change>) -> Refusal {
        self.decide(change).await.expect_err("it should be refused")
    }

    pub(crate) async fn create(&mut self, names: &[&str]) -> Vec<Result<TopicSpec, Refusal>> {
        let topics = names.iter().map(|name| new_topic(name, self.log.len() as u128)).collect();
        match self.decide(CreateTopics { topics }).await {
            Ok(Answer::Topics { outcomes }) => outcomes,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn topic(&self, name: &str) -> TopicSpec {
        (**self.catalog.view().topics.named(name).unwrap()).clone()
    }

    /// Starts a run of the group from its owner to `target`.
    pub(crate) async fn start(&mut self, run: &str, kind: Kind, target: &str) -> Outcome {
        let plan = self.plan(run, kind, "default", target);
        self.decide(StartRun { run: run_id(run), plan, plan_digest: "digest".into() }).await
    }

    pub(crate) fn plan(&self, name: &str, kind: Kind, of: &str, target: &str) -> Plan {
        let view = self.catalog.view();
        let grant = &view.group(&group(of)).unwrap().grant;
        Plan {
            id: PlanId(format!("plan-{name}")),
            parent: None,
            generation: 1,
            kind,
            group: group(of),
            source: grant.owner.clone(),
            target: region(target),
            ownership_epoch: grant.ownership_epoch,
            partitions: vec![],
            holes: vec![],
            steps: vec![],
            created_at: Timestamp(1),
            incident_at: Timestamp(1),
            trigger: Trigger::Manual { by: "tester".into() },
            reason: "test".into(),
            inputs_digest: "digest".into(),
        }
    }

    pub(crate) fn epoch(&self, of: &str) -> OwnershipEpoch {
        self.catalog.view().group(&group(of)).unwrap().grant.ownership_epoch
    }

    /// Every row of every table, in an order of its own.
    pub(crate) async fn dump(&self) -> Vec<String> {
        dump(&self.path()).await
    }
}

/// Every row of every table of a database file but sqlx's own.
pub(crate) async fn dump(path: &std::path::Path) -> Vec<String> {
    use sqlx::{AssertSqlSafe, ConnectOptions, Row};
    let mut connection = sqlx::sqlite::SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    let tables =
        sqlx::query("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\'")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    let mut rows = vec![];
    for table in tables {
        let table: String = table.get(0);
        let columns = sqlx::query(AssertSqlSafe(format!("SELECT name FROM pragma_table_info('{table}')")))
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let quoted: Vec<String> = columns.iter().map(|row| format!("quote({})", row.get::<String, _>(0))).collect();
        let query = format!("SELECT {} FROM {table}", quoted.join(" || ',' || "));
        for row in sqlx::query(AssertSqlSafe(query)).fetch_all(&mut connection).await.unwrap() {
            rows.push(format!("{table}: {}", row.get::<String, _>(0)));
        }
    }
    rows.sort();
    rows
}

pub(crate) fn at(index: u64) -> Position {
    Position { index, token: format!("token {index}").into_bytes() }
}

pub(crate) fn command(tick: u64, change: impl Into<Change>) -> Command {
    Command::new(Timestamp(1_000 * tick as i64), "tester", change)
}

pub(crate) fn region(name: &str) -> RegionName {
    RegionName::new(name).unwrap()
}

pub(crate) fn group(name: &str) -> ProtectionGroup {
    ProtectionGroup::new(name).unwrap()
}

pub(crate) fn run_id(name: &str) -> RunId {
    RunId::new(name).unwrap()
}

pub(crate) fn step(name: &str) -> StepId {
    StepId::new(name).unwrap()
}

pub(crate) fn topic_name(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

pub(crate) fn topic_id(seed: u128) -> TopicId {
    TopicId(uuid::Uuid::from_u128(0xfa45_0000 << 64 | seed))
}

pub(crate) fn partition(number: i32) -> PartitionId {
    PartitionId(number)
}

/// A topic whose id follows from its name and `salt`.
pub(crate) fn new_topic(name: &str, salt: u128) -> NewTopic {
    let seed = name.bytes().fold(salt + 1, |hash, byte| (hash * 257 + u128::from(byte)) % (1 << 61));
    NewTopic {
        id: topic_id(seed),
        name: topic_name(name),
        partitions: 2,
        config: Default::default(),
        state: TopicState::Live,
        epochs_above: None,
    }
}

pub(crate) fn addresses(index: u16) -> Addresses {
    let address = |listener: u16| format!("127.0.0.1:{}", 19092 + 1000 * index + listener);
    Addresses { clients: address(0), gateways: address(1), internal: address(2), council: address(3), rest: address(4) }
}

pub(crate) fn form(regions: u16) -> FormPlatform {
    let names: Vec<_> = (1..=regions).map(|n| region(&format!("r{n}"))).collect();
    let founder = |(index, name): (usize, &RegionName)| Founder {
        region: name.clone(),
        disk_id: format!("disk-{name}"),
        addresses: addresses(index as u16),
    };
    FormPlatform {
        cluster_id: "farshore".into(),
        regions: names.iter().enumerate().map(founder).collect(),
        witness: regions.is_multiple_of(2).then(|| FoundingWitness {
            name: "witness".into(),
            disk_id: "disk-witness".into(),
            council: "127.0.0.1:18095".into(),
        }),
        groups: vec![CreateGroup { policy: policy::default_group(&names).unwrap(), canary: topic_id(1) }],
    }
}
