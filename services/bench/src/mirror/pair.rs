//! Two regions with the line between them, and what mirrors one to the other.

use crate::subject::{Place, Recipe, Server};
use anyhow::Context;
use chaos::line::Line;
use chaos::platform::{Options, Platform};
use std::path::{Path, PathBuf};

/// What is measured.
pub(super) trait Pair {
    /// Where clients find the source, without the line.
    fn source(&self) -> String;
    /// Where clients find the target, without the line.
    fn target(&self) -> String;
    /// What a topic of this measurement is called.
    fn topic(&self, of: &str) -> String {
        of.to_owned()
    }
    /// Has `topic` mirrored from now on, and no other.
    fn begin(&mut self, topic: &str) -> anyhow::Result<()>;
    /// Everything that works for it.
    fn pids(&self) -> Vec<i32>;
    /// What mirrors.
    fn mirror_pids(&self) -> Vec<i32>;
}

/// Two regions of ours; the line lies before the internal listeners of both.
pub(super) struct Ours(Platform);

impl Ours {
    pub(super) fn start(farshore: &Path, directory: &Path, line: &Line) -> anyhow::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let arguments = vec!["--links-at".to_owned(), line.far().to_string()];
        let options = Options { regions: 2, arguments, ..Options::temporary(farshore.to_owned(), directory)? };
        let platform = Platform::start(options)?;
        // What is measured is the mirror: nothing takes over because a line is slow.
        platform.command(&["protection", "set", "automatic", "off"])?;
        Ok(Self(platform))
    }

    fn bootstrap(&self, region: usize) -> String {
        self.0.endpoints().regions.get(region).map_or_else(String::new, |region| region.bootstrap.clone())
    }
}

impl Pair for Ours {
    fn source(&self) -> String {
        self.bootstrap(0)
    }

    fn target(&self) -> String {
        self.bootstrap(1)
    }

    fn begin(&mut self, _: &str) -> anyhow::Result<()> {
        Ok(())
    }

    fn pids(&self) -> Vec<i32> {
        self.0.endpoints().regions.iter().flat_map(|region| region.pids.iter().map(|pid| *pid as i32)).collect()
    }

    fn mirror_pids(&self) -> Vec<i32> {
        self.pids()
    }
}

/// Two clusters of Apache Kafka, one of them behind the line.
pub(super) struct Clusters {
    source: Server,
    target: Server,
    far: String,
    directory: PathBuf,
}

impl Clusters {
    pub(super) fn start(directory: &Path, line: &Line) -> anyhow::Result<Self> {
        let place = Place::new(directory, "kafka-source")?;
        let far = format!("{}:{}", line.far(), place.port + 2);
        let source = Recipe::kafka_behind_line(&place, line.far())?.start().context("the source cluster")?;
        let target = Place::new(directory, "kafka-target")?;
        let target = Recipe::kafka_behind_line(&target, line.far())?.start().context("the target cluster")?;
        Ok(Self { source, target, far, directory: directory.to_owned() })
    }
}

/// What mirrors one cluster of Apache Kafka to the other: a process beside the target, as it is recommended.
pub(super) struct Between<'a> {
    clusters: &'a Clusters,
    /// Our binary; MirrorMaker 2 without.
    farshore: Option<&'a Path>,
    mirror: Option<Server>,
}

impl<'a> Between<'a> {
    /// `farshore attach`.
    pub(super) fn ours(clusters: &'a Clusters, farshore: &'a Path) -> Self {
        Self { clusters, farshore: Some(farshore), mirror: None }
    }

    /// MirrorMaker 2.
    pub(super) fn theirs(clusters: &'a Clusters) -> Self {
        Self { clusters, farshore: None, mirror: None }
    }

    fn recipe(&self, topic: &str) -> anyhow::Result<Recipe> {
        let (Clusters { far, directory, .. }, target) = (self.clusters, self.target());
        match self.farshore {
            Some(farshore) => Ok(Recipe::attach(&Place::new(directory, "attach")?, farshore, far, &target, topic)),
            None => Recipe::mirror_maker(&Place::new(directory, "mirror-maker")?, far, &target, topic),
        }
    }
}

impl Pair for Between<'_> {
    fn source(&self) -> String {
        self.clusters.source.bootstrap()
    }

    fn target(&self) -> String {
        self.clusters.target.bootstrap()
    }

    fn topic(&self, of: &str) -> String {
        // One topic is never mirrored by both.
        format!("{of}-{}", if self.farshore.is_some() { "attach" } else { "mirror-maker" })
    }

    fn begin(&mut self, topic: &str) -> anyhow::Result<()> {
        self.mirror = None;
        self.mirror = Some(self.recipe(topic)?.spawn()?);
        Ok(())
    }

    fn pids(&self) -> Vec<i32> {
        let Clusters { source, target, .. } = self.clusters;
        [source, target].into_iter().chain(&self.mirror).flat_map(Server::pids).collect()
    }

    fn mirror_pids(&self) -> Vec<i32> {
        self.mirror.iter().flat_map(Server::pids).collect()
    }
}
