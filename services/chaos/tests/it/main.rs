//! Real clients against a real platform.
//!
//! The platform under test is our own binary (FARSHORE_BIN, or the one built beside these tests), started once for all
//! tests without faults. FARSHORE_TEST_BOOTSTRAP=host:port turns the client matrix to another cluster instead, and
//! FARSHORE_TEST_PLATFORM=kafka says that it is Apache Kafka, the reference.

mod cluster;
mod faults;
mod generated;
mod house;
mod librdkafka;
mod load;
mod matrix;
mod region_loss;
mod rest;
mod segments;
