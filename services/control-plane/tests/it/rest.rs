//! The REST API over real HTTP, against one node and a region that keeps book.

mod diverged;
mod groups;
mod links;

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
use tokio::net::TcpListener;

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
