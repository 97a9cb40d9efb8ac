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
    /// Has `topic` mirrored from now on.
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

/// Two clusters of Apache Kafka and MirrorMaker 2 beside the target, as it is recommended.
pub(super) struct Theirs {
    source: Server,
    target: Server,
    maker: Option<Server>,
    far: String,
    directory: PathBuf,
}

impl Theirs {
    pub(super) fn start(directory: &Path, line: &Line) -> anyhow::Result<Self> {
        let place = Place::new(directory, "kafka-source")?;
        let far = format!("{}:{}", line.far(), place.port + 2);
        let source = Recipe::kafka_behind_line(&place, line.far())?.start().context("the source cluster")?;
        let target = Place::new(directory, "kafka-target")?;
        let target = Recipe::kafka_behind_line(&target, line.far())?.start().context("the target cluster")?;
        Ok(Self { source, target, maker: None, far, directory: directory.to_owned() })
    }
}

impl Pair for Theirs {
    fn source(&self) -> String {
        self.source.bootstrap()
    }

    fn target(&self) -> String {
        self.target.bootstrap()
    }

    fn begin(&mut self, topic: &str) -> anyhow::Result<()> {
        self.maker = None;
        let place = Place::new(&self.directory, "mirror-maker")?;
        self.maker = Some(Recipe::mirror_maker(&place, &self.far, &self.target(), topic)?.spawn()?);
        Ok(())
    }

    fn pids(&self) -> Vec<i32> {
        [&self.source, &self.target].into_iter().chain(&self.maker).flat_map(Server::pids).collect()
    }

    fn mirror_pids(&self) -> Vec<i32> {
        self.maker.iter().flat_map(Server::pids).collect()
    }
}
