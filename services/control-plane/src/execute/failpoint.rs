//! Places where a drill may have the executor die: `FARSHORE_FAILPOINT=<step>:<point>[:<file>]`.
//!
//! `<step>` is the token of a step (`seal`, `seal.undo`) or `finish`, the end of the run; `<point>` is one of
//! `before-started`, `after-started`, `after-effect` and `after-outcome`. There the process aborts, as if it had been
//! killed. With `<file>` it does so once: the file is made before, and a process that finds it goes on. Without the
//! variable nothing ever happens.

use env::PortFuture;
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Arc;

/// The variable that arms a failpoint.
pub const VARIABLE: &str = "FARSHORE_FAILPOINT";
/// The name by which the end of a run goes for a step.
pub const FINISH: &str = "finish";

/// Where in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// Nothing of this attempt is written down yet.
    BeforeStarted,
    /// Its start is written down, nothing is done.
    AfterStarted,
    /// It is done or has failed, which is not written down.
    AfterEffect,
    /// That is written down.
    AfterOutcome,
}

impl Point {
    /// All of them, in order.
    pub const ALL: [Self; 4] = [Self::BeforeStarted, Self::AfterStarted, Self::AfterEffect, Self::AfterOutcome];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BeforeStarted => "before-started",
            Self::AfterStarted => "after-started",
            Self::AfterEffect => "after-effect",
            Self::AfterOutcome => "after-outcome",
        }
    }
}

/// A failpoint that cannot be armed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{VARIABLE}={text:?} is not <step>:<point>[:<file>] with a point of before-started, after-started, after-effect, after-outcome"
)]
pub struct BadFailpoint {
    text: String,
}

type Hook = dyn Fn(&str, Point) -> PortFuture<'static, ()> + Send + Sync;

/// What happens at the places; usually nothing.
#[derive(Clone, Default)]
pub struct Failpoints(Option<Arc<Hook>>);

impl Failpoints {
    /// None.
    pub fn none() -> Self {
        Self::default()
    }

    /// `hook` is asked at every place; the executor goes on when it has answered.
    pub fn hooked(hook: impl Fn(&str, Point) -> PortFuture<'static, ()> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hook)))
    }

    /// As the environment says.
    ///
    /// # Errors
    /// [`BadFailpoint`] when it says something else.
    pub fn from_environment() -> Result<Self, BadFailpoint> {
        std::env::var(VARIABLE).map_or(Ok(Self::none()), |text| Self::parse(&text))
    }

    fn parse(text: &str) -> Result<Self, BadFailpoint> {
        let bad = || BadFailpoint { text: text.to_owned() };
        let mut parts = text.splitn(3, ':');
        let step = parts.next().filter(|step| !step.is_empty()).ok_or_else(bad)?.to_owned();
        let point = parts.next().ok_or_else(bad)?;
        let point = Point::ALL.into_iter().find(|known| known.name() == point).ok_or_else(bad)?;
        let once = parts.next().map(str::to_owned);
        Ok(Self::hooked(move |at, here| {
            if at == step && here == point && once.as_deref().is_none_or(is_first) {
                tracing::error!(step = at, point = here.name(), "dying here, as {VARIABLE} asks");
                std::process::abort();
            }
            Box::pin(std::future::ready(()))
        }))
    }

    pub(super) async fn reach(&self, step: &str, point: Point) {
        if let Some(hook) = &self.0 {
            hook(step, point).await;
        }
    }
}

/// Whether nobody has died here before; from now on somebody has.
fn is_first(file: &str) -> bool {
    OpenOptions::new().write(true).create_new(true).open(Path::new(file)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failpoint_is_read_or_refused() {
        for text in ["seal:after-effect", "pivot.undo:before-started:/tmp/x", "finish:after-outcome"] {
            assert!(Failpoints::parse(text).is_ok(), "{text}");
        }
        for text in ["", "seal", "seal:", ":after-effect", "seal:sometime"] {
            assert!(Failpoints::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_process_dies_once_for_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("died");
        let file = file.to_str().unwrap();
        assert!(is_first(file));
        assert!(!is_first(file));
    }
}
