use super::Served;
use catalog::command::RecordDiverged;
use catalog::reader::RecordedTail;
use hyper::Method;
use mirror_core::salvage::Wish;
use model::{
    DivergedTail, Offset, OffsetRange, OwnershipEpoch, PartitionId, ProducerId, RegionName, Timestamp, TopicName,
};
use serde_json::{Value, json};

/// A tail of the only partition of `topic`, which the council heard of from r1.
async fn diverged(served: &Served, topic: &str) -> String {
    diverged_in(served, "r1", topic).await
}

async fn diverged_in(served: &Served, region: &str, topic: &str) -> String {
    let council = &served.platform.nodes["r1"].council;
    let view = council.view();
    let topic = view.topics.named(topic).unwrap();
    let tail = DivergedTail {
        topic: topic.id,
        partition: PartitionId(0),
        ownership_epoch: OwnershipEpoch(1),
        range: OffsetRange::new(Offset(10), Offset(15)),
        records: 5,
        bytes: 512,
        first_time: Timestamp(1),
        last_time: Timestamp(2),
        file: "diverged/orders-0-1.log".into(),
    };
    let region = RegionName::new(region).unwrap();
    let tail = RecordedTail { region: region.clone(), tail, recorded_at: Timestamp(0) };
    council.propose("tester", RecordDiverged { region, tails: vec![tail.tail.clone()] }).await.unwrap();
    tail.id()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diverged_tail_is_shown_and_written_again_once() {
    let served = Served::start(1).await;
    served.post("/v1/topics", json!({"name": "orders", "partitions": 1})).await.ok(201);
    assert_eq!(served.get("/v1/diverged").await.ok(200)["items"], json!([]));
    let id = diverged(&served, "orders").await;
    let path = format!("/v1/diverged/{id}");
    let listed = served.until("/v1/diverged", |list| list["items"][0]["id"] == id.as_str()).await;
    assert_eq!(listed["items"][0]["tail"]["records"], 5);
    assert_eq!(served.get(&path).await.ok(200)["findings"]["records"]["lacking"], 5);
    let dry = served.post(&format!("{path}/reinject"), json!({"dry_run": true})).await.ok(200);
    assert_eq!((&dry["findings"]["records"]["lacking"], &dry["reinjection"]), (&json!(5), &Value::Null));

    let asked = json!({"keys_not_newer": true});
    let begun = served.post(&format!("{path}/reinject"), asked).await;
    assert_eq!(begun.header("location"), path);
    assert_eq!(begun.ok(202)["reinjection"]["keys_not_newer"], true);
    let done = served.until(&path, |tail| tail["reinjection"]["state"] == "completed").await;
    assert_eq!(done["reinjection"]["records"]["lacking"], 5);
    let again = served.post(&format!("{path}/reinject"), json!({})).await.ok(202);
    assert_eq!(again["reinjection"], done["reinjection"], "what was done stays as it was");
    let wish = Wish { keys_not_newer: true, leave_unknown: false };
    let written = served.platform.bird.written.lock().unwrap().clone();
    let attempt = (TopicName::new("orders").unwrap(), wish, ProducerId(7));
    assert_eq!(written, [attempt.clone(), attempt], "the attempt that failed and the one that went on");
    served.get("/v1/diverged/r1.none").await.problem(404, "not_found");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diverged_tail_is_published_in_a_topic_of_its_own() {
    let served = Served::start(1).await;
    served.post("/v1/topics", json!({"name": "orders", "partitions": 3})).await.ok(201);
    let path = format!("/v1/diverged/{}", diverged(&served, "orders").await);
    let shown = served.until(&path, |tail| tail["published"]["state"] == "completed").await;
    let published = &shown["published"];
    assert_eq!((&published["topic"], &published["reason"]), (&json!("orders.diverged.1"), &Value::Null));
    let offsets = json!([{"tail": {"start": 10, "end": 15}, "topic": {"start": 20, "end": 25}}]);
    let records =
        json!({"published": 5, "held": 0, "aborted": 0, "open": 0, "offsets": offsets, "offsets_complete": true});
    assert_eq!(published["records"], records);
    let attempts = served.platform.bird.published.lock().unwrap().clone();
    let attempt = (TopicName::new("orders.diverged.1").unwrap(), ProducerId(7));
    assert_eq!(attempts, [attempt.clone(), attempt], "the attempt that failed and the one that went on");
    let topic = served.get("/v1/topics/orders.diverged.1").await.ok(200);
    assert_eq!((&topic["partitions"], &topic["config"]["retention.ms"]), (&json!(3), &json!("-1")));

    let nested = format!("/v1/diverged/{}", diverged(&served, "orders.diverged.1").await);
    let shown = served.get(&nested).await.ok(200);
    assert_eq!(shown["published"]["state"], "absent");
    assert!(shown["published"]["reason"].as_str().unwrap().contains("holds published tails itself"), "{shown}");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tails_of_two_regions_of_the_same_records_go_one_after_the_other() {
    let served = Served::start(3).await;
    served.post("/v1/topics", json!({"name": "orders", "partitions": 1})).await.ok(201);
    let tails = [diverged_in(&served, "r1", "orders").await, diverged_in(&served, "r2", "orders").await];
    for tail in &tails {
        served.until(&format!("/v1/diverged/{tail}"), |tail| tail["published"]["state"] == "completed").await;
    }
    let others = served.platform.bird.others.lock().unwrap().clone();
    assert_eq!((others.first(), others.last()), (Some(&0), Some(&1)), "{others:?}");
    for tail in &tails {
        let path = format!("/v1/diverged/{tail}");
        served.post(&format!("{path}/reinject"), json!({})).await.ok(202);
        served.until(&path, |tail| tail["reinjection"]["state"] == "completed").await;
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_that_name_that_is_another_is_left_alone() {
    let served = Served::start(1).await;
    for topic in ["orders", "orders.diverged.1"] {
        served.post("/v1/topics", json!({"name": topic, "partitions": 1})).await.ok(201);
    }
    let path = format!("/v1/diverged/{}", diverged(&served, "orders").await);
    let shown = served.until(&path, |tail| tail["published"]["state"] == "completed").await;
    let topic = shown["published"]["topic"].as_str().unwrap();
    let id = shown["tail"]["topic_id"].as_str().unwrap();
    assert!(topic.starts_with("orders-") && topic.ends_with(".diverged.1"), "{topic} for {id}");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tails_are_published_only_where_the_group_wants_it() {
    let served = Served::start(1).await;
    let wish = |on: bool| json!({"diverged_topics": on});
    served.post("/v1/topics", json!({"name": "orders", "partitions": 1})).await.ok(201);
    let patch = |on| served.with_json(Method::PATCH, "/v1/protection-groups/default", &[], wish(on));
    assert_eq!(patch(false).await.ok(200)["diverged_topics"], false);
    let path = format!("/v1/diverged/{}", diverged(&served, "orders").await);
    let shown = served.until(&path, |tail| tail["published"]["state"] == "absent").await;
    assert!(shown["published"]["reason"].as_str().unwrap().contains("diverged-topics on default"), "{shown}");
    served.get("/v1/topics/orders.diverged.1").await.problem(404, "not_found");
    patch(true).await.ok(200);
    let shown = served.until(&path, |tail| tail["published"]["state"] == "completed").await;
    assert_eq!(shown["published"]["topic"], "orders.diverged.1");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_belong_nowhere_are_not_written_again() {
    let served = Served::start(1).await;
    let id = diverged(&served, "__farshore_canary.default").await;
    let path = format!("/v1/diverged/{id}");
    let shown = served.until(&path, |tail| tail["not_compared"].is_string()).await;
    assert!(shown["not_compared"].as_str().unwrap().contains("internal topic"), "{shown}");
    served.post(&format!("{path}/reinject"), json!({})).await.problem(422, "unprocessable");
    served.stop().await;
}
