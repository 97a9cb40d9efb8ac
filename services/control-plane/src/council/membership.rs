//! How a node comes to be in the council: as a founder, as the one it was, or, with an empty disk, as a new one.

use super::{Call, Config, Council, CouncilError, Reply, StartError, call_from_outside};
use catalog::command::{CreateGroup, FormPlatform, Founder, FoundingWitness, JoinRegion, JoinWitness, WITNESS_SLOT};
use catalog::{Change, Command};
use model::{BrokerSlot, Incarnation, RegionName, Timestamp, TopicId};
use quorum::{Member, NodeId};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const JOIN_TIMEOUT: Duration = Duration::from_secs(5);
const JOIN_PATIENCE: Duration = Duration::from_secs(120);
const RETRY_PAUSE: Duration = Duration::from_millis(100);
const ADMISSION_TIMEOUT: Duration = Duration::from_secs(70);

/// Who a node is to the council.
#[derive(Clone, Debug)]
pub enum Identity {
    /// The node of a region.
    Region {
        /// The region's number.
        index: u16,
        /// The region.
        founder: Founder,
    },
    /// The node in no region.
    Witness(FoundingWitness),
}

/// How the council began: the same for all its nodes, for ever, but for addresses.
#[derive(Clone, Debug)]
pub struct Founding {
    /// The cluster id Kafka clients see.
    pub cluster_id: String,
    /// The regions of the first hour, with the addresses they have today.
    pub regions: Vec<Founder>,
    /// The witness.
    pub witness: Option<FoundingWitness>,
    /// Whether the council has been formed before: an empty disk is a lost one then.
    pub is_formed: bool,
    /// The id of the canary topic of `default`, drawn when the platform was made.
    pub canary: TopicId,
}

/// What a node starts as.
pub(super) struct Membership {
    pub(super) id: NodeId,
    pub(super) is_new: bool,
    /// Set for a node that was let in anew and has no vote yet.
    replaces: Option<Option<u64>>,
}

impl Identity {
    fn name(&self) -> &str {
        match self {
            Self::Region { founder, .. } => founder.region.as_str(),
            Self::Witness(witness) => &witness.name,
        }
    }

    fn address(&self) -> &str {
        match self {
            Self::Region { founder, .. } => &founder.addresses.council,
            Self::Witness(witness) => &witness.council,
        }
    }

    /// The region it belongs to.
    pub fn region(&self) -> Option<&RegionName> {
        match self {
            Self::Region { founder, .. } => Some(&founder.region),
            Self::Witness(_) => None,
        }
    }

    fn founding_id(&self, regions: usize) -> NodeId {
        match self {
            Self::Region { index, .. } => NodeId::of(BrokerSlot(*index), Incarnation(index + 1)),
            Self::Witness(_) => NodeId::of(WITNESS_SLOT, Incarnation(regions as u16 + 1)),
        }
    }

    /// The entry that takes it in, or tells its new addresses.
    fn join(&self) -> Change {
        match self.clone() {
            Self::Region { index, founder } => {
                let Founder { region, disk_id, addresses } = founder;
                JoinRegion { region, index, disk_id, addresses }.into()
            }
            Self::Witness(FoundingWitness { name, disk_id, council }) => JoinWitness { name, disk_id, council }.into(),
        }
    }
}

impl Founding {
    fn identities(&self) -> impl Iterator<Item = Identity> + '_ {
        let regions = self.regions.iter().enumerate();
        let regions =
            regions.map(|(index, founder)| Identity::Region { index: index as u16, founder: founder.clone() });
        regions.chain(self.witness.clone().map(Identity::Witness))
    }

    fn members(&self) -> BTreeMap<NodeId, Member> {
        let member = |identity: Identity| {
            (identity.founding_id(self.regions.len()), Member::new(identity.name(), identity.address()))
        };
        self.identities().map(member).collect()
    }

    /// Where council nodes are today, by slot.
    pub(super) fn addresses(&self) -> BTreeMap<BrokerSlot, String> {
        let slot = |identity: &Identity| identity.founding_id(self.regions.len()).slot();
        self.identities().map(|identity| (slot(&identity), identity.address().to_owned())).collect()
    }

    fn form(&self) -> Option<FormPlatform> {
        let regions: Vec<RegionName> = self.regions.iter().map(|founder| founder.region.clone()).collect();
        let policy = dr_planner::policy::default_group(&regions)?;
        Some(FormPlatform {
            cluster_id: self.cluster_id.clone(),
            regions: self.regions.clone(),
            witness: self.witness.clone(),
            groups: vec![CreateGroup { policy, canary: self.canary }],
        })
    }
}

/// Who this node is: what its disk says, a founder, or whom the council lets it be.
pub(super) async fn find(config: &Config) -> Result<Membership, StartError> {
    let dir = config.dir.join("council");
    if let Some(id) = quorum::owner_of(&dir)? {
        return Ok(Membership { id, is_new: false, replaces: None });
    }
    if !config.founding.is_formed {
        let id = config.identity.founding_id(config.founding.regions.len());
        return Ok(Membership { id, is_new: true, replaces: None });
    }
    join_anew(config).await
}

/// Asks the others until one lets this node in.
async fn join_anew(config: &Config) -> Result<Membership, StartError> {
    let deadline = Instant::now() + JOIN_PATIENCE;
    let mut last = "nobody was asked".to_owned();
    while Instant::now() < deadline {
        for other in config.founding.identities().filter(|other| other.name() != config.identity.name()) {
            // The council's leader stamps what matters; this is for the audit.
            let command = Command::new(Timestamp(0), config.identity.name(), config.identity.join());
            let call = Call::Join(Box::new(command));
            match call_from_outside(&config.founding.cluster_id, other.address(), &call, JOIN_TIMEOUT).await {
                Ok(Reply::Identity(identity)) => {
                    let replaces = Some(identity.replaces);
                    return Ok(Membership { id: identity.node_id.into(), is_new: true, replaces });
                }
                Ok(other) => last = format!("{other:?}"),
                Err(error) => last = error.to_string(),
            }
        }
        tracing::info!(reason = last, "waiting to be let into the council");
        sleep(RETRY_PAUSE * 5).await;
    }
    Err(StartError::NotAdmitted(last))
}

/// Completes what `find` began: founds the council, or gets this node its vote, and tells today's addresses.
pub(super) async fn settle(council: &Council, config: &Config, membership: &Membership) -> Result<(), StartError> {
    if let Some(replaces) = membership.replaces {
        admit(council.clone(), config.clone(), replaces);
    } else if !config.founding.is_formed {
        council.found(config.founding.members()).await?;
    }
    let (council, config) = (council.clone(), config.clone());
    tokio::spawn(async move {
        if let Some(form) = config.founding.form().filter(|_| !config.founding.is_formed) {
            propose_until_decided(&council, form.into()).await;
        }
        propose_until_decided(&council, config.identity.join()).await;
    });
    Ok(())
}

fn admit(council: Council, config: Config, replaces: Option<u64>) {
    tokio::spawn(async move {
        let (name, address) = (config.identity.name().to_owned(), config.identity.address().to_owned());
        let call = Call::Admit { replaces, node_id: council.id().into(), name, address };
        let others: Vec<_> =
            config.founding.identities().filter(|other| other.name() != config.identity.name()).collect();
        loop {
            for other in &others {
                let asked = call_from_outside(&config.founding.cluster_id, other.address(), &call, ADMISSION_TIMEOUT);
                match asked.await {
                    Ok(Reply::Admitted) => return,
                    Ok(other) => tracing::warn!(?other, "no vote yet"),
                    Err(error) => tracing::warn!(%error, "no vote yet"),
                }
            }
            sleep(RETRY_PAUSE * 5).await;
        }
    });
}

/// Both entries can be repeated: they change nothing the second time.
async fn propose_until_decided(council: &Council, change: Change) {
    let by = format!("system:{}", council.id());
    loop {
        match council.propose(&by, change.clone()).await {
            Ok(_) => return,
            Err(CouncilError::Refused(refusal)) => {
                tracing::error!(%refusal, change = change.kind(), "the council refuses this node's start");
                return;
            }
            Err(error) => tracing::debug!(%error, change = change.kind(), "not decided yet"),
        }
        sleep(RETRY_PAUSE).await;
    }
}
