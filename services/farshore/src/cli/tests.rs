//! What the command line understands.

use super::{Cli, Command, told};
use clap::{CommandFactory, Parser};

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("farshore").chain(line.split_whitespace()))
}

#[test]
fn the_declarations_are_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_documented_command_is_understood() {
    let lines = [
        "up",
        "up --regions 2 --base-port 20000 --data-dir /tmp/x --flush os --link-delay-ms 1500 --links-at 10.64.255.1 --nodes-at 10.65.255.1",
        "role r1 --data-dir /tmp/x --supervisor 7",
        "region list",
        "region start r1 --data-dir /tmp/x",
        "broker",
        "broker --port 19092 --slot 1 --peers 127.0.0.1:1,127.0.0.1:2 --data-dir /tmp/x",
        "broker list r1 --data-dir /tmp/x --json",
        "broker drain r1 2 --wait",
        "broker drain r1 2 --onto 3",
        "broker cancel-drain r1 2",
        "broker replace r1 2 --by 3",
        "broker replace r1 2 --wait",
        "broker unregister r1 2",
        "topic list --json",
        "topic create orders --partitions 6 --config retention.ms=1000",
        "topic describe orders --hash",
        "topic delete orders --yes",
        "produce greetings hello world",
        "produce greetings --key k",
        "consume greetings --from beginning --group g --max 3 --exit-at-end",
        "consume greetings --from 2026-01-01T00:00:00Z -e -n 1",
        "group list",
        "group describe g",
        "link --watch",
        "protection list",
        "protection describe",
        "protection failover default --target r2 --dry-run",
        "protection switchover --no-wait",
        "protection set automatic off",
        "protection set diverged-topics off",
        "protection assess",
        "run list",
        "run show",
        "run watch f-1",
        "run report f-1",
        "backup create",
        "backup list",
        "backup show b-1",
        "restore create --topic orders --topic a=b",
        "restore show s-1",
        "diverged list --json",
        "diverged show r1.1f3a9c2e7b60.0.1.1234",
        "diverged reinject r1.1f3a9c2e7b60.0.1.1234 --keys-not-newer --leave-unknown --dry-run",
        "kept list --json",
        "kept restore AbCdEf --as orders.old --region r2",
        "conflict list --region r2",
        "conflict quarantine",
        "conflict settle carts-0 k 1:7 --region r1",
        "conflict partitions --json",
        "protection active both --topics carts,eu.* --groups shop.* --policy region-priority --order r1,r2",
        "schedule list",
        "schedule create nightly --cron 0_3_*_*_*",
        "schedule delete nightly",
        "health --strict",
        "drill list",
        "drill region-loss --how stop --link-delay 1500 --runs 3 --regions 2",
        "drill switchover --attach --api http://127.0.0.1:1",
        "bench broker --quick --json",
        "openapi",
    ];
    for line in lines {
        parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

#[test]
fn nonsense_is_refused_with_exit_code_2() {
    let lines = [
        "",
        "fly",
        "up --regions 1",
        "up --flush never",
        "broker --port 9092 list r1",
        "broker drain r1",
        "topic create a/b",
        "topic create a --config retention",
        "consume a --from soon",
        "protection set automatic perhaps",
        "drill region-loss --how nicely",
    ];
    for line in lines {
        let error = parse(line).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn the_place_may_stand_before_or_behind_the_command() {
    for line in ["--data-dir /tmp/x topic list", "topic list --data-dir /tmp/x"] {
        let cli = parse(line).unwrap();
        assert!(matches!(cli.command, Command::Topic(_)));
        assert!(cli.place.endpoints().unwrap_err().to_string().contains("/tmp/x"), "{line}");
    }
}

#[test]
fn every_command_explains_itself() {
    fn explained(command: &clap::Command, path: &str) {
        let path = format!("{path} {}", command.get_name());
        assert!(command.get_about().is_some(), "{path} has no description");
        for argument in command.get_arguments().filter(|argument| argument.get_id() != "help") {
            assert!(argument.get_help().is_some(), "{path}: {} has no description", argument.get_id());
        }
        command.get_subcommands().for_each(|inner| explained(inner, &path));
    }
    explained(&Cli::command(), "");
}

#[test]
fn a_cause_is_told_once() {
    let refused = std::io::Error::other("connection refused");
    let said =
        anyhow::Error::new(refused).context("cannot connect to b:1: connection refused").context("the link has ended");
    assert_eq!(told(&said), "the link has ended: cannot connect to b:1: connection refused");
}
