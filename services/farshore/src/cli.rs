//! The command line: it speaks the REST API and the Kafka protocol like any other client.

mod archive;
mod attach;
mod bench;
mod broker;
mod conflict;
mod consume;
mod diverged;
mod group;
mod health;
mod kept;
mod link;
mod openapi;
mod place;
mod produce;
mod progress;
mod protection;
mod region;
mod run;
mod schedule;
mod stamp;
mod topic;

pub(crate) use place::{Place, escaped, list};
pub(crate) use produce::now;
pub(crate) use progress::spinner;
pub(crate) use region::start as start_region;
pub(crate) use run::summary;
pub(crate) use stamp::{bytes, instant, millis, seconds};

use crate::output::{self, remark};
use crate::{drill, roles, up};
use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 failed, 2 the command was not understood, 3 a drill proved nothing, 141 nobody read the output to
its end.

Begin with `farshore up` in one terminal; in another:
  farshore produce greetings hello
  farshore consume greetings --exit-at-end
  farshore drill region-loss";

/// Disaster recovery for Kafka, region to region.
///
/// Keeps topics alive on the far shore when a whole region is lost, brings the clients along without a restart, and
/// proves afterwards what was lost and how long it took.
#[derive(Debug, Parser)]
#[command(name = "farshore", version, after_help = AFTER_HELP, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Up),
    Broker(Box<broker::Brokers>),
    #[command(hide = true)]
    Role(roles::Role),
    #[command(subcommand)]
    Region(region::Command),
    #[command(subcommand)]
    Topic(topic::Command),
    Produce(produce::Produce),
    Consume(consume::Consume),
    #[command(subcommand)]
    Group(group::Command),
    Link(link::Link),
    Attach(Box<attach::Attach>),
    #[command(subcommand)]
    Protection(protection::Command),
    #[command(subcommand)]
    Run(run::Command),
    #[command(subcommand)]
    Backup(archive::Backup),
    #[command(subcommand)]
    Restore(archive::Restore),
    #[command(subcommand)]
    Diverged(diverged::Command),
    #[command(subcommand)]
    Kept(kept::Command),
    #[command(subcommand)]
    Conflict(conflict::Command),
    #[command(subcommand)]
    Schedule(schedule::Command),
    Health(health::Health),
    #[command(subcommand)]
    Drill(drill::Command),
    Bench(bench::Bench),
    Openapi(openapi::Openapi),
}

impl Cli {
    /// Does what was asked for and answers how it went.
    pub(crate) fn run(self) -> ExitCode {
        let outcome = match self.command {
            Command::Up(up) => up.run().map(|()| ExitCode::SUCCESS),
            Command::Broker(broker) if broker.is_alone() => broker.run_alone(&self.place).map(|()| ExitCode::SUCCESS),
            Command::Role(role) => role.run().map(|()| ExitCode::SUCCESS),
            Command::Attach(attach) => attach.run(&self.place).map(|()| ExitCode::SUCCESS),
            Command::Bench(bench) => bench.run(),
            Command::Openapi(openapi) => openapi.run().map(|()| ExitCode::SUCCESS),
            command => ask(command, &self.place),
        };
        outcome.unwrap_or_else(|error| match output::is_unread(&error) {
            true => ExitCode::from(output::UNREAD),
            false => {
                remark!("error: {}", told(&error));
                ExitCode::FAILURE
            }
        })
    }
}

/// What is wrong and why, on one line. Errors of libraries say their cause in their own words as well: it is said once.
fn told(error: &anyhow::Error) -> String {
    let mut told = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !told.contains(&cause) {
            told = format!("{told}: {cause}");
        }
    }
    told
}

/// Runs a command that talks to a platform.
fn ask(command: Command, place: &Place) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(async {
        match command {
            Command::Drill(drill) => return drill.run(place).await,
            Command::Health(health) => return health.run(place).await,
            Command::Run(run) => return run.run(place).await,
            Command::Protection(protection) => return protection.run(place).await,
            Command::Region(region) => region.run(place).await?,
            Command::Broker(broker) => broker.run(place).await?,
            Command::Topic(topic) => topic.run(place).await?,
            Command::Produce(produce) => produce.run(place).await?,
            Command::Consume(consume) => consume.run(place).await?,
            Command::Group(group) => group.run(place).await?,
            Command::Link(link) => link.run(place).await?,
            Command::Backup(backup) => backup.run(place).await?,
            Command::Restore(restore) => restore.run(place).await?,
            Command::Diverged(diverged) => diverged.run(place).await?,
            Command::Kept(kept) => kept.run(place).await?,
            Command::Conflict(conflict) => conflict.run(place).await?,
            Command::Schedule(schedule) => schedule.run(place).await?,
            Command::Up(_) | Command::Role(_) | Command::Attach(_) | Command::Bench(_) | Command::Openapi(_) => {
                unreachable!("these need no platform")
            }
        }
        Ok(ExitCode::SUCCESS)
    });
    // A read of the terminal that never ends does not hold the process.
    runtime.shutdown_background();
    outcome
}

#[cfg(test)]
mod tests;
