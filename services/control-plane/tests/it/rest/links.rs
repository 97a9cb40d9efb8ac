//! Links, and copies of a source whose disk gives something else than was written to it.

use super::Served;
use model::{CopyProof, Offset, OffsetRange};
use serde_json::json;

const REBUILD: &str = "/v1/links/r1/r2/default/rebuild";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_source_is_shown_its_copy_stays_a_standby_and_is_not_made_again_from_it() {
    let served = Served::start(3).await;
    let copies = served.platform.world.region("r2");
    let range = OffsetRange::new(Offset(65_536), Offset(131_072));
    copies.pages().proof = Some(CopyProof { source_damaged: vec![range], ..CopyProof::default() });

    let health = served.until("/v1/health", |health| health["findings"].to_string().contains("[65536, 131072)")).await;
    let finding = health["findings"].to_string();
    assert!(finding.contains("the disk of r1") && finding.contains("switchover --target r2"), "{health}");
    assert_eq!((&health["status"], &health["groups"][0]["ready_standbys"]), (&json!("degraded"), &json!(["r2", "r3"])));
    let link = served.until("/v1/links/r1/r2/default", |link| link["source_damaged_partitions"] == 1).await;
    assert_eq!((&link["different_partitions"], &link["unusable_partitions"]), (&json!(0), &json!(0)));
    let shown = &link["partitions"][0]["proof"]["source_damaged"];
    assert_eq!(*shown, json!([{"from_offset": 65_536, "to_offset": 131_072}]));

    copies.pages().must_rebuild = true;
    served.until("/v1/links/r1/r2/default", |link| link["unusable_partitions"] == 1).await;
    let refused = served.post(REBUILD, json!({})).await.problem(409, "conflict");
    let told = refused["detail"].as_str().unwrap();
    assert!(told.contains("damaged in offsets [65536, 131072)") && told.contains("sound there"), "{told}");
    served.post(&format!("{REBUILD}?from_damaged_source=true"), json!({})).await.ok(202);
    copies.pages().proof = None;
    served.until("/v1/links/r1/r2/default", |link| link["source_damaged_partitions"] == 0).await;
    served.post(REBUILD, json!({})).await.ok(202);
    served.stop().await;
}
