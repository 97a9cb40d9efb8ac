//! A broker as its clients see it.

mod cluster;
mod disk;
mod harness;
mod hostile;
mod idempotence;
mod links;
mod produce_and_fetch;
mod refusals;
mod region_admin;
mod region_brokers;
mod region_clients;
mod region_consumer_groups;
mod region_groups;
mod region_hints;
mod region_leaders;
mod region_orders;
mod region_quotas;
mod region_topics;
mod region_versions;
mod replication;
mod restart;
mod sessions;
mod transactions;
mod two;
mod waiting;
mod world;
