//! `farshore bench`

use crate::output::remark;
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const BINARY: &str = "farshore-bench";

/// Compares Farshore with its peers on this machine; `farshore bench broker --help` says how.
///
/// The benchmarks are a binary of their own, so that this one does not carry another Kafka client.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Bench {
    /// Everything for the benchmarks.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl Bench {
    pub(super) fn run(self) -> Result<ExitCode> {
        let farshore = std::env::current_exe()?;
        let binary = match farshore.with_file_name(BINARY) {
            built if built.is_file() => built,
            missing => build(&farshore, missing)?,
        };
        let failed = Command::new(&binary).args(self.arguments).env("FARSHORE_BIN", farshore).exec();
        Err(failed).with_context(|| format!("cannot run {}", binary.display()))
    }
}

/// Builds the benchmarks where this binary came from a checkout.
fn build(farshore: &Path, binary: PathBuf) -> Result<PathBuf> {
    let Some(checkout) = checkout_of(farshore) else {
        bail!(
            "{} is not there: build it with `cargo build --release -p bench` in the checkout and put it beside {}",
            binary.display(),
            farshore.display()
        );
    };
    remark!("{BINARY} is not built yet: cargo build --release -p bench");
    let built = Command::new("cargo").args(["build", "--release", "-p", "bench"]).current_dir(&checkout).status();
    if !built.context("cargo cannot be run")?.success() {
        bail!("`cargo build --release -p bench` failed in {}", checkout.display());
    }
    let elsewhere = checkout.join("target/release").join(BINARY);
    match [binary, elsewhere].into_iter().find(|path| path.is_file()) {
        Some(binary) => Ok(binary),
        None => bail!("cargo has put {BINARY} somewhere else; copy it beside {}", farshore.display()),
    }
}

/// The checkout whose target directory holds `binary`.
fn checkout_of(binary: &Path) -> Option<PathBuf> {
    let is_checkout = |path: &&Path| path.join("services/bench/Cargo.toml").is_file();
    binary.ancestors().find(is_checkout).map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checkout_is_found_from_the_binary() {
        let home = tempfile::tempdir().unwrap();
        let bench = home.path().join("services/bench");
        std::fs::create_dir_all(&bench).unwrap();
        std::fs::write(bench.join("Cargo.toml"), "").unwrap();
        let binary = home.path().join("target/release/farshore");
        assert_eq!(checkout_of(&binary).as_deref(), Some(home.path()));
        assert_eq!(checkout_of(Path::new("/nowhere/farshore")), None);
    }
}
