//! Protection groups, their runs and their conflicts.

use super::Served;
use crate::platform::eventually;
use hyper::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;

/// A client of JSON is given the same events as a list, page by page.
async fn listed(served: &Served, path: &str, count: usize) {
    let json = [("accept", "application/json")];
    let (mut numbers, mut after) = (vec![], String::new());
    loop {
        let query = format!("{path}?limit=4{after}");
        let page = served.send(Method::GET, &query, &json, String::new()).await.ok(200);
        numbers.extend(page["items"].as_array().unwrap().iter().map(|event| event["seq"].as_u64().unwrap()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(numbers, (0..count as u64).collect::<Vec<_>>());
    let query = format!("{path}?after=x");
    served.send(Method::GET, &query, &json, String::new()).await.problem(400, "invalid_request");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn protection_groups_are_created_changed_and_deleted() {
    let served = Served::start(3).await;
    let policy = json!({"name": "eu", "home": "r1", "standbys": ["r2"], "coverage": {"topics": [{"prefix": "eu."}]}});
    let created = served.post("/v1/protection-groups", policy.clone()).await;
    let group = created.ok(201);
    assert_eq!(created.header("location"), "/v1/protection-groups/eu");
    assert_eq!((&group["owner"], &group["grant"], &group["rpo_ms"]), (&json!("r1"), &json!("held"), &json!(5000)));
    let other = json!({"name": "eu", "home": "r2", "standbys": ["r1"], "coverage": {"topics": [{"prefix": "eu."}]}});
    served.post("/v1/protection-groups", other).await.problem(409, "already_exists");
    let names = served.get("/v1/protection-groups").await.ok(200);
    let names: Vec<_> = names["items"].as_array().unwrap().iter().map(|group| group["name"].clone()).collect();
    assert_eq!(names, ["default", "eu"]);

    let path = "/v1/protection-groups/eu";
    let tag = served.get(path).await.header("etag").to_owned();
    let on = served.with_json(Method::PATCH, path, &[("if-match", &tag)], json!({"automatic_failover": true})).await;
    assert_eq!(on.ok(200)["automatic_failover"], true);
    let off = served.with_json(Method::PATCH, path, &[("if-match", &tag)], json!({"automatic_failover": false})).await;
    off.problem(412, "precondition_failed");
    let mut wider = policy;
    wider["standbys"] = json!(["r2", "r3"]);
    assert_eq!(served.with_json(Method::PUT, path, &[], wider.clone()).await.ok(200)["automatic_failover"], false);
    wider["standbys"] = json!(["r9"]);
    let unknown = served.with_json(Method::PUT, path, &[], wider.clone()).await.problem(422, "unprocessable");
    assert!(unknown["detail"].as_str().unwrap().contains("r9"), "{unknown}");
    served.with_json(Method::PUT, "/v1/protection-groups/us", &[], wider).await.problem(422, "unprocessable");

    let block = format!("{path}/automation-block");
    let blocked = served.with_json(Method::PUT, &block, &[], json!({"reason": "works on the network"})).await.ok(200);
    assert_eq!(blocked["automation_blocked"]["reason"], "works on the network");
    served.delete(&block).await.ok(204);
    assert!(served.get(path).await.ok(200).get("automation_blocked").is_none());
    served.post(&format!("{path}/acknowledge"), json!(null)).await.ok(204);
    served.post("/v1/protection-groups/us/acknowledge", json!(null)).await.problem(404, "not_found");

    served.delete(path).await.ok(204);
    served.get(path).await.problem(404, "not_found");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switchover_is_planned_run_followed_and_reported() {
    let served = Served::start(3).await;
    served.post("/v1/topics", json!({"name": "orders"})).await.ok(201);
    served
        .until("/v1/links", |links| {
            let links = links["items"].as_array().unwrap();
            links.len() == 2 && links.iter().all(|link| link["partitions"].as_array().unwrap().len() == 2)
        })
        .await;
    served.until("/v1/health", |health| health["status"] == "ok").await;
    let path = "/v1/protection-groups/default/switchover";
    let plan = eventually("the move can be planned", || async {
        let answer = served.post("/v1/plans", json!({"kind": "switchover", "group": "default", "target": "r2"})).await;
        answer.status.is_success().then(|| answer.json())
    })
    .await;
    assert_eq!((&plan["source"], &plan["target"]), (&json!("r1"), &json!("r2")));
    assert_eq!(plan["expected"]["lost_records"], 0);
    assert!(plan["steps"].as_array().unwrap().iter().any(|step| step["pivot"] == true));
    assert!(served.post(path, json!({"dry_run": true})).await.ok(200)["expected"].is_object());
    assert_eq!(served.get("/v1/runs").await.ok(200)["items"], json!([]), "nothing was started");
    served.post(path, json!({"target": "r9"})).await.problem(409, "plan_refused");

    let key = [("idempotency-key", "move-1")];
    let begun = served.with_json(Method::POST, path, &key, json!({"target": "r2", "reason": "works"})).await;
    let run = begun.ok(202);
    let id = run["id"].as_str().unwrap();
    assert_eq!(begun.header("location"), format!("/v1/runs/{id}"));
    let again = served.with_json(Method::POST, path, &key, json!({"target": "r2"})).await.ok(202);
    assert_eq!(again["id"], run["id"], "the same key is the same run");

    let events = timeout(Duration::from_secs(30), served.get(&format!("/v1/runs/{id}/events"))).await.unwrap();
    assert_eq!(events.header("content-type"), "text/event-stream");
    let text = String::from_utf8(events.body.to_vec()).unwrap();
    let first = text.lines().find(|line| line.starts_with("data:")).unwrap();
    let first: Value = serde_json::from_str(first.trim_start_matches("data:")).unwrap();
    assert_eq!((&first["seq"], &first["event"]), (&json!(0), &json!("created")));
    let numbers: Vec<u64> = text.lines().filter_map(|line| line.strip_prefix("id:")?.trim().parse().ok()).collect();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
    assert!(text.trim_end().lines().any(|line| line.starts_with("event:") && line.contains("finished")), "{text}");

    let last = (numbers.len() - 2).to_string();
    let path = format!("/v1/runs/{id}/events");
    let rest = served.send(Method::GET, &path, &[("last-event-id", &last)], String::new()).await;
    let rest = String::from_utf8(rest.body.to_vec()).unwrap();
    assert_eq!(rest.lines().filter(|line| line.starts_with("id:")).count(), 1, "{rest}");
    served.send(Method::GET, &path, &[("last-event-id", "x")], String::new()).await.problem(400, "invalid_request");

    listed(&served, &path, numbers.len()).await;
    let orders = served.get("/v1/regions/r1").await.ok(200)["orders"].clone();
    let order = json!([{"run": id, "step": "stop-writes", "at": orders[0]["at"]}]);
    assert_eq!(orders, order, "the old owner has stopped its writes once");
    assert_eq!(served.get("/v1/regions").await.ok(200)["items"][0].get("orders"), None);

    let run = served.get(&format!("/v1/runs/{id}")).await.ok(200);
    assert_eq!(run["state"], "succeeded", "{run}");
    let steps = run["steps"].as_array().unwrap();
    assert!(steps.iter().all(|step| step["state"] == "succeeded" && step["duration_ms"].is_u64()), "{steps:?}");
    let report = served.until(&format!("/v1/runs/{id}/report"), |report| report["outcome"] == "succeeded").await;
    assert_eq!((&report["lost"]["records"], &report["standing"]["state"]), (&json!(0), &json!("final")));
    let group = served.get("/v1/protection-groups/default").await.ok(200);
    assert_eq!((&group["owner"], &group["ownership_epoch"]), (&json!("r2"), &json!(2)));
    let plan = run["plan"].as_str().unwrap();
    assert_eq!(served.get(&format!("/v1/plans/{plan}")).await.ok(200)["id"], run["plan"]);
    assert_eq!(served.get("/v1/plans?group=default").await.ok(200)["items"][0]["id"], run["plan"]);
    let cancel = json!({"reason": "too late"});
    served.post(&format!("/v1/runs/{id}/cancel"), cancel).await.problem(409, "conflict");
    served.get("/v1/runs/none").await.problem(404, "not_found");
    served.get("/v1/runs/none/events").await.problem(404, "not_found");
    served.get("/v1/runs/none/report").await.problem(404, "not_found");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicts_are_listed_and_settled_and_nothing_of_their_group_is_moved() {
    let served = Served::start(3).await;
    let page = served.get("/v1/regions/r2/conflicts?limit=2").await.ok(200);
    assert_eq!((page["items"].as_array().unwrap().len(), &page["next"]), (2, &json!("2")));
    assert_eq!(page["items"][0]["loser"]["record"], json!({"origin": 2, "offset": 0}));
    let rest = served.get("/v1/regions/r2/conflicts?after=2").await.ok(200);
    assert_eq!((&rest["items"][0]["key"], &rest["next"]), (&json!({"text": "k2"}), &Value::Null));
    served.get("/v1/regions/r2/conflicts?after=x").await.problem(400, "invalid_request");
    served.get("/v1/regions/r9/conflicts").await.problem(404, "not_found");

    let waits = served.get("/v1/regions/r1/quarantine").await.ok(200);
    let (waits, chosen) = (&waits["items"][0], json!({"origin": 2, "offset": 8}));
    assert_eq!((&waits["key_hex"], &waits["versions"][1]["record"]), (&json!("6b"), &chosen));
    let known = json!([{"origin": 1, "offset": 7}, chosen]);
    let choice = |topic: &str, key: &str, known: &Value| json!({"topic": topic, "partition": 0, "key_hex": key, "choice": chosen, "known": known});
    let path = "/v1/regions/r1/quarantine/settle";
    assert_eq!(served.post(path, choice("carts", "6b", &known)).await.ok(200)["offset"], 42);
    served.post(path, choice("carts", "6b", &json!([chosen]))).await.problem(409, "conflict");
    served.post(path, choice("bills", "6b", &known)).await.problem(404, "not_found");
    served.post(path, choice("carts", "6", &known)).await.problem(422, "unprocessable");
    let partitions = served.get("/v1/regions/r3/active-partitions").await.ok(200);
    let received = json!([{"incarnation": 500, "tail": 9, "records_behind_max": 3, "behind_ms": 1500}]);
    assert_eq!(partitions["items"][0]["received"], received);

    let both = json!({
        "name": "both", "home": "r1", "standbys": ["r2", "r3"], "coverage": {"topics": [{"prefix": "both."}]},
        "active_active": {"region_priority": {"order": ["r3"]}},
    });
    let made = served.post("/v1/protection-groups", both.clone()).await.ok(201);
    assert_eq!(made["active_active"], both["active_active"]);
    served.post("/v1/protection-groups/both/failover", json!({})).await.problem(409, "plan_refused");
    let some = json!({
        "name": "some", "home": "r1", "standbys": ["r2"], "coverage": {"topics": [{"prefix": "some."}]},
        "active_active": "last_writer_wins",
    });
    served.post("/v1/protection-groups", some).await.problem(422, "unprocessable");
    served.stop().await;
}
