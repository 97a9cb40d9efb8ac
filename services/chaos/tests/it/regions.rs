//! What all regions of a platform hold.

use crate::load::{Journal, scan, tail};
use crate::rest::get;
use api::topics::Topic;
use chaos::platform::Platform;
use model::RegionName;
use std::time::Duration;

/// Waits until all regions show the same end of every partition.
pub(crate) fn equal_tails(platform: &Platform, topic: &str, partitions: i32) {
    let regions = &platform.endpoints().regions;
    let tails = |bootstrap: &str| (0..partitions).map(|p| tail(bootstrap, topic, p)).collect::<Option<Vec<_>>>();
    let mut last = Vec::new();
    let equal = || {
        last = regions.iter().map(|region| tails(&region.bootstrap)).collect();
        last.iter().all(|tails| tails.is_some() && *tails == last[0])
    };
    let waited = platform.wait_for("all regions hold the same", Duration::from_secs(60), equal);
    waited.unwrap_or_else(|error| panic!("{error}\nends of {topic} by region: {last:?}\n{}", platform.logs()));
}

/// Writes down what every region holds; answers their names.
pub(crate) fn scan_all(platform: &Platform, topic: &str, partitions: i32, journal: &Journal) -> Vec<RegionName> {
    let regions = &platform.endpoints().regions;
    regions.iter().for_each(|region| scan(&region.bootstrap, &region.name, topic, partitions, journal));
    regions.iter().map(|region| RegionName::new(&region.name).unwrap()).collect()
}

/// Waits until every partition has the same bytes in all regions.
pub(crate) fn equal_hashes(platform: &Platform, topic: &str) {
    let (path, regions) = (format!("/v1/topics/{topic}?hashes=true"), platform.endpoints().regions.len());
    let mut last: Result<Topic, String> = Err("nothing was asked yet".to_owned());
    let equal = || {
        last = get(&platform.endpoints().api, &path);
        last.as_ref().is_ok_and(|topic| is_equal(topic, regions))
    };
    let waited = platform.wait_for("all regions hold the same bytes", Duration::from_secs(60), equal);
    waited.unwrap_or_else(|error| panic!("{error}\n{last:?}\n{}", platform.logs()));
}

fn is_equal(topic: &Topic, regions: usize) -> bool {
    (0..topic.partitions).all(|partition| {
        let copies: Vec<_> = topic.replicas.iter().filter(|replica| replica.partition == partition).collect();
        let held = |replica: &api::topics::Replica| (replica.start_offset, replica.tail_offset, replica.hash.clone());
        let is_same = copies.iter().all(|copy| copy.hash.is_some() && held(copy) == held(copies[0]));
        copies.len() == regions && is_same
    })
}
