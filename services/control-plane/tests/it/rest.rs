//! The REST API over real HTTP, against one node and a region that keeps book.

mod diverged;

use crate::platform::{Platform, default_group, eventually};
use bytes::Bytes;
use control_plane::ports::Ports;
use control_plane::rest::{Api, Measured, Server, Telemetry, router};
use env::real::{SystemClock, SystemEntropy};
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::timeout;

/// A platform and the API of its first node.
struct Served {
    platform: Platform,
    server: Server,
    client: Client<HttpConnector, Full<Bytes>>,
    gauges: Arc<Gauges>,
}

/// Keeps what was measured last.
#[derive(Default)]
struct Gauges(Mutex<Measured>);

impl Telemetry for Gauges {
    fn update(&self, measured: &Measured) {
        *self.0.lock().unwrap() = measured.clone();
    }

    fn render(&self) -> String {
        format!("links {}\n", self.0.lock().unwrap().links.len())
    }
}

struct Answer {
    status: StatusCode,
    headers: hyper::HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// The problem document it is.
    #[track_caller]
    fn problem(&self, status: u16, code: &str) -> Value {
        let document = self.json();
        assert_eq!((self.status.as_u16(), &document["code"]), (status, &json!(code)), "{document}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(document["status"], status);
        assert!(!document["detail"].as_str().unwrap().is_empty());
        document
    }

    #[track_caller]
    fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.body));
        if self.body.is_empty() { Value::Null } else { self.json() }
    }
}

impl Served {
    async fn start(regions: usize) -> Self {
        let platform = Platform::start(regions).await;
        platform.settled().await;
        let (node, gauges) = (&platform.nodes["r1"], Arc::new(Gauges::default()));
        let ports = Ports {
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            region: Some(platform.world.region("r1")),
            canary: platform.bird.clone(),
            salvor: platform.bird.clone(),
            archivist: None,
        };
        let api = Api::new(&node.council, &node.automation, &ports, gauges.clone());
        let server = Server::start(TcpListener::bind("127.0.0.1:0").await.unwrap(), router(api));
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { platform, server, client, gauges }
    }

    async fn stop(self) {
        self.server.stop().await;
        self.platform.shutdown().await;
    }

    fn request(&self, method: Method, path: &str, headers: &[(&str, &str)], body: String) -> Request<Full<Bytes>> {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.server.address()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Full::new(body.into())).unwrap()
    }

    async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: String) -> Answer {
        let response = self.client.request(self.request(method, path, headers, body)).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], String::new()).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, &[], String::new()).await
    }

    async fn with_json(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Value) -> Answer {
        let headers: Vec<_> = headers.iter().copied().chain([("content-type", "application/json")]).collect();
        self.send(method, path, &headers, body.to_string()).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.with_json(Method::POST, path, &[], body).await
    }

    /// Asks until the answer is as wanted.
    async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(path, || async {
            let answer = self.get(path).await;
            Some(answer.json()).filter(|body| answer.status.is_success() && wanted(body))
        })
        .await
    }
}

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
async fn topics_are_created_changed_listed_and_deleted() {
    let served = Served::start(1).await;
    let asked = json!({"name": "orders", "partitions": 2, "config": {"retention.ms": "1000"}});
    let key = [("idempotency-key", "k-1")];
    let created = served.with_json(Method::POST, "/v1/topics", &key, asked.clone()).await;
    let topic = created.ok(201);
    assert_eq!(created.header("location"), "/v1/topics/orders");
    assert_eq!((&topic["partitions"], &topic["owner"], &topic["state"]), (&json!(2), &json!("r1"), &json!("live")));
    let again = served.with_json(Method::POST, "/v1/topics", &key, asked.clone()).await.ok(201);
    assert_eq!(again["id"], topic["id"], "the same key makes the same topic");
    let taken = served.post("/v1/topics", asked).await.problem(409, "already_exists");
    assert_eq!(taken["subject"], "orders");

    let found = served.get("/v1/topics/orders").await;
    assert_eq!(found.header("farshore-consistency"), "linearizable");
    assert_eq!(found.ok(200)["replicas"].as_array().unwrap().len(), 2);
    let tag = found.header("etag").to_owned();
    let patch = |body| served.with_json(Method::PATCH, "/v1/topics/orders", &[], body);
    let changed = patch(json!({"set": {"retention.ms": "2000"}, "partitions": 3})).await.ok(200);
    assert_eq!((&changed["config"]["retention.ms"], &changed["partitions"]), (&json!("2000"), &json!(3)));
    let stale = json!({"set": {"retention.ms": "3000"}});
    let stale = served.with_json(Method::PATCH, "/v1/topics/orders", &[("if-match", &tag)], stale).await;
    stale.problem(412, "precondition_failed");
    patch(json!({"partitions": 1})).await.problem(422, "unprocessable");
    patch(json!({})).await.problem(422, "unprocessable");

    for name in ["a", "b", "c"] {
        served.post("/v1/topics", json!({"name": name})).await.ok(201);
    }
    let mut names = vec![];
    let mut path = "/v1/topics?limit=2".to_owned();
    loop {
        let page = served.get(&path).await.ok(200);
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        names.extend(items.iter().map(|topic| topic["name"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/topics?limit=2&after={next}");
    }
    assert_eq!(names, ["__farshore_canary.default", "a", "b", "c", "orders"]);

    served.delete("/v1/topics/orders").await.ok(204);
    served.get("/v1/topics/orders").await.problem(404, "not_found");
    served.delete("/v1/topics/orders").await.problem(404, "not_found");
    served.post("/v1/topics", json!({"name": "__mine"})).await.problem(422, "unprocessable");
    served.stop().await;
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
async fn backups_restores_schedules_and_drills_are_begun_and_told() {
    let served = Served::start(1).await;
    served.post("/v1/topics", json!({"name": "orders"})).await.ok(201);
    let hold = served.platform.hold.clone();
    let held = hold.write().await;
    let key = [("idempotency-key", "b-1")];
    let begun = served.with_json(Method::POST, "/v1/backups", &key, json!({"group": "default"})).await;
    let id = begun.ok(202)["id"].as_str().unwrap().to_owned();
    assert_eq!(begun.header("location"), format!("/v1/backups/{id}"));
    let again = served.with_json(Method::POST, "/v1/backups", &key, json!({"group": "default"})).await.ok(202);
    assert_eq!(again["id"], json!(id));
    served.post("/v1/backups", json!({"group": "default"})).await.problem(409, "conflict");
    served.post("/v1/backups", json!({"group": "none"})).await.problem(404, "not_found");
    served.until(&format!("/v1/backups/{id}"), |backup| backup["progress"]["bytes_done"] == 1).await;
    drop(held);
    let backup = served.until(&format!("/v1/backups/{id}"), |backup| backup["state"] == "completed").await;
    assert_eq!(backup["summary"]["topics"], 1, "{backup}");
    assert_eq!(served.get("/v1/backups?group=default&limit=1").await.ok(200)["items"][0]["id"], json!(id));

    let wish = json!({"backup": id, "topics": [{"source": "orders"}]});
    served.post("/v1/restores", wish.clone()).await.problem(409, "conflict");
    let begun = served.post("/v1/restores", json!({"backup": id, "topics": [{"source": "orders", "target": "old"}]}));
    let restore = begun.await.ok(202)["id"].as_str().unwrap().to_owned();
    let restore = served.until(&format!("/v1/restores/{restore}"), |restore| restore["state"] == "completed").await;
    assert_eq!((&restore["topics"][0]["target"], &restore["summary"]["records"]), (&json!("old"), &json!(100)));
    served.post("/v1/restores", json!({"backup": "none"})).await.problem(404, "not_found");
    served.post("/v1/restores", json!({"backup": id, "parallel": 65})).await.problem(422, "unprocessable");
    served.platform.world.backups.lock().unwrap().clear();
    let damaged = served.post("/v1/restores", json!({"backup": id})).await;
    assert_eq!(damaged.problem(422, "unprocessable")["retryable"], false);

    let spec = json!({"cron": "0 3 * * *", "job": "backup", "group": "default"});
    let path = "/v1/schedules/nightly";
    let put = served.with_json(Method::PUT, path, &[], spec.clone()).await;
    let schedule = put.ok(200);
    assert!(schedule["next_at"].as_str().unwrap().contains("T03:00:00"), "{schedule}");
    assert_eq!(put.header("etag"), "\"1\"");
    let stale = served.with_json(Method::PUT, path, &[("if-match", "\"7\"")], spec).await;
    stale.problem(412, "precondition_failed");
    let bad = json!({"cron": "every now and then", "job": "backup", "group": "default"});
    served.with_json(Method::PUT, path, &[], bad).await.problem(422, "unprocessable");
    assert_eq!(served.get("/v1/schedules").await.ok(200)["items"][0]["name"], "nightly");
    served.delete(path).await.ok(204);
    served.get(path).await.problem(404, "not_found");

    let begun = served.post("/v1/drills", json!({"kind": "evaluate", "group": "default"})).await.ok(202);
    let drill = begun["id"].as_str().unwrap();
    let drill = served.until(&format!("/v1/drills/{drill}"), |drill| drill["verdict"].is_string()).await;
    assert!(!drill["checks"].as_array().unwrap().is_empty());
    let loss = json!({"kind": "region_loss", "group": "default"});
    served.post("/v1/drills", loss).await.problem(501, "unsupported");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_failure_is_a_problem_document() {
    let served = Served::start(1).await;
    served.get("/v1/nothing").await.problem(404, "not_found");
    served.get("/nothing").await.problem(404, "not_found");
    served.delete("/v1/topics").await.problem(405, "method_not_allowed");
    served.post("/v1/health", json!({})).await.problem(405, "method_not_allowed");
    served.get("/v1/topics/a%2Fb").await.problem(422, "unprocessable");
    served.get("/v1/topics?limit=0").await.problem(400, "invalid_request");
    served.get("/v1/topics?limit=many").await.problem(400, "invalid_request");
    served.get("/v1/runs?after=x").await.problem(400, "invalid_request");
    served.get("/v1/topics?consistency=eventually").await.problem(400, "invalid_request");

    let json_type = [("content-type", "application/json")];
    let send = |headers, body: &str| served.send(Method::POST, "/v1/topics", headers, body.to_owned());
    send(&json_type, "{").await.problem(400, "invalid_request");
    send(&[], "{}").await.problem(400, "invalid_request");
    send(&json_type, r#"{"name": 7}"#).await.problem(422, "unprocessable");
    send(&json_type, r#"{"name": "x", "what": 7}"#).await.problem(422, "unprocessable");
    send(&json_type, &format!(r#"{{"name": "{}"}}"#, "x".repeat(2 << 20))).await.problem(413, "payload_too_large");
    let huge = json!({"name": "x", "partitions": 1_000_000});
    served.post("/v1/topics", huge).await.problem(422, "unprocessable");
    let key = "k".repeat(300);
    let key = [("idempotency-key", &key[..])];
    let keyed = served.with_json(Method::POST, "/v1/topics", &key, json!({"name": "x"})).await;
    keyed.problem(400, "invalid_request");
    let foreign = [("sec-fetch-site", "cross-site")];
    let foreign = served.with_json(Method::POST, "/v1/topics", &foreign, json!({"name": "x"})).await;
    assert_eq!(foreign.problem(400, "invalid_request")["instance"], "/v1/topics");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_are_listed_drained_and_forgotten() {
    let served = Served::start(3).await;
    let brokers = served.get("/v1/regions/r2/brokers").await.ok(200);
    assert_eq!((&brokers["items"][1]["slot"], &brokers["items"][1]["state"]), (&json!(1), &json!("in_use")));
    let page = served.get("/v1/regions/r2/brokers?limit=1").await.ok(200);
    let rest = format!("/v1/regions/r2/brokers?after={}", page["next"].as_str().unwrap());
    assert_eq!(served.get(&rest).await.ok(200)["items"].as_array().unwrap().len(), 1);

    let begun = served.post("/v1/regions/r2/brokers/1/drain", json!({"onto": 0})).await;
    assert_eq!(begun.header("location"), "/v1/regions/r2/brokers/1");
    let begun = begun.ok(202);
    assert_eq!((&begun["state"], &begun["onto"], &begun["replicas"]), (&json!("draining"), &json!(0), &json!(7)));
    assert_eq!(served.get("/v1/regions/r2/brokers/1").await.ok(200), begun);
    assert_eq!(served.get("/v1/regions/r1/brokers/1").await.ok(200)["state"], "in_use", "another region's");
    assert_eq!(served.delete("/v1/regions/r2/brokers/1/drain").await.ok(200)["state"], "in_use");
    served.delete("/v1/regions/r2/brokers/1/drain").await.problem(409, "conflict");
    served.delete("/v1/regions/r2/brokers/1").await.problem(409, "conflict");
    served.post("/v1/regions/r2/brokers/9/drain", json!({})).await.problem(404, "not_found");
    served.post("/v1/regions/r9/brokers/1/drain", json!({})).await.problem(404, "not_found");
    served.post("/v1/regions/r2/brokers/1/drain", json!({"into": 0})).await.problem(422, "unprocessable");
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn regions_health_probes_and_metrics_are_told() {
    let mut served = Served::start(3).await;
    let regions = served.get("/v1/regions").await.ok(200);
    let regions = regions["items"].as_array().unwrap();
    assert_eq!(regions.len(), 3);
    assert!(regions.iter().all(|region| region["state"] == "healthy"), "{regions:?}");
    assert_eq!(regions.iter().filter(|region| region["council"]["role"] == "leader").count(), 1);
    assert_eq!(served.get("/v1/regions/r2").await.ok(200)["name"], "r2");
    served.get("/v1/regions/r9").await.problem(404, "not_found");
    let health = served.until("/v1/health", |health| health["status"] == "ok").await;
    assert_eq!((&health["node"], &health["council"]["voters"]), (&json!("r1"), &json!(3)));
    assert_eq!(health["groups"][0]["ready_standbys"], json!(["r2", "r3"]));
    assert_eq!(served.get("/v1/consumer-groups").await.ok(200)["items"], json!([]));
    assert_eq!(&served.get("/healthz").await.body[..], b"ok\n");
    assert_eq!(&served.get("/readyz").await.body[..], b"ready\n");
    let local = served.get("/v1/topics?consistency=local").await;
    assert_eq!((local.status.as_u16(), local.header("farshore-consistency")), (200, "local"));

    assert!(served.get("/metrics").await.body.starts_with(b"links "));
    let measured = served.gauges.0.lock().unwrap().clone();
    assert_eq!(measured.groups.iter().map(|(group, ..)| group.clone()).collect::<Vec<_>>(), [default_group()]);

    for lost in ["r2", "r3"] {
        served.platform.kill(lost).await;
    }
    let alone = eventually("there is no quorum", || async {
        let answer = served.get("/v1/topics").await;
        (answer.header("farshore-consistency") != "linearizable").then_some(answer)
    })
    .await;
    assert_eq!(alone.header("farshore-consistency"), "local; no-quorum");
    assert_eq!(alone.ok(200)["items"][0]["name"], "__farshore_canary.default");
    let health = served.get("/v1/health").await.ok(200);
    assert_eq!((&health["status"], &health["council"]["quorum"]), (&json!("failing"), &json!(false)));
    let refused = served.post("/v1/topics", json!({"name": "orders"})).await.problem(503, "no_quorum");
    assert_eq!(refused["retryable"], true);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_served_is_documented_and_back() {
    let served = Served::start(1).await;
    let document = served.get("/openapi.json").await;
    assert_eq!(String::from_utf8(document.body.to_vec()).unwrap(), control_plane::rest::openapi());
    let document = document.json();
    const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    for (path, item) in document["paths"].as_object().unwrap() {
        let concrete = path.replace(['{', '}'], "");
        for method in METHODS {
            let is_documented = item.get(method.as_str().to_lowercase()).is_some();
            let answer = served.send(method.clone(), &concrete, &[], String::new()).await;
            let is_served = answer.status != StatusCode::METHOD_NOT_ALLOWED;
            assert_eq!(is_served, is_documented, "{method} {path}: {}", answer.status);
            let unknown = answer.status == StatusCode::NOT_FOUND
                && answer.json()["detail"].as_str().unwrap().starts_with("nothing answers");
            assert!(!unknown, "{method} {path} is documented and not there");
        }
    }
    let swagger = served.get("/swagger-ui/").await;
    assert_eq!(swagger.status, StatusCode::OK);
    let page = served.get("/").await;
    assert!(page.header("content-security-policy").contains("connect-src 'self'"));
    let text = String::from_utf8(page.body.to_vec()).unwrap();
    assert!(text.contains("<title>Farshore</title>"));
    served.stop().await;
}
