//! What a region measures, as Prometheus reads it.

use crate::region::Region;
use std::process::Stdio;

#[test]
fn a_consumer_that_waits_is_counted() {
    let mut region = Region::with(Stdio::null(), Stdio::null(), "info");
    region.until_done(&["produce", "t", "hello", "--bootstrap", "BOOTSTRAP"]);
    region.until_measured("farshore_broker_fetches_waiting 0");
    let consumer = region.start(&["consume", "t", "--from", "latest", "--bootstrap", "BOOTSTRAP"]);
    region.until_measured("farshore_broker_fetches_waiting 1");
    drop(consumer);
    region.until_measured("farshore_broker_fetches_waiting 0");
}
