//! Real clients against a real platform.
//!
//! The platform under test is our own binary (FARSHORE_BIN, or the one built beside these tests), started once for all
//! tests without faults. FARSHORE_TEST_BOOTSTRAP=host:port turns the client matrix to another cluster instead, and
//! FARSHORE_TEST_PLATFORM=kafka says that it is Apache Kafka, the reference.
//!
//! Tests with faults start platforms of their own. How long and how much they play is in the environment, too:
//! FARSHORE_CHAOS_SECONDS, FARSHORE_CHAOS_SEED and FARSHORE_CHAOS_REGIONS, see `nemesis`; FARSHORE_CHAOS_ALL and
//! FARSHORE_CHAOS_BOUNDARIES, see `executor`; FARSHORE_CHAOS_SERIES, see `brokers`, `sync` and `modes`, where
//! FARSHORE_CHAOS_TOGGLES and FARSHORE_CHAOS_TOGGLE_MS say how often the mode changes; FARSHORE_CHAOS_AUTO_SECONDS, see
//! `auto`; FARSHORE_CHAOS_PLACES, see `failpoints`; FARSHORE_CHAOS_CUT_SECONDS, see `cut`; FARSHORE_CHAOS_ACTIVE_SECONDS and
//! FARSHORE_CHAOS_ACTIVE_KEYS, see `active`. FARSHORE_CHAOS_GAPS=1 holds the times in which writers stood still against
//! their limits.

mod active;
mod active_gateway;
mod attached;
mod auto;
mod backup;
mod brokers;
mod cluster;
mod converging;
mod council;
mod cut;
mod digests;
mod end_loop;
mod executor;
mod failpoints;
mod faults;
mod generated;
mod house;
mod isolation;
mod lag;
mod librdkafka;
mod line;
mod load;
mod lost_broker;
mod matrix;
mod modes;
mod nemesis;
mod publication;
mod region_loss;
mod regions;
mod reinject;
mod replaced_broker;
mod resets;
mod rest;
mod segments;
mod sync;
mod tombstones;

/// The number that the environment gives, or the usual one.
fn setting<T: std::str::FromStr>(name: &str, usual: T) -> T {
    let Ok(text) = std::env::var(name) else { return usual };
    text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number"))
}
