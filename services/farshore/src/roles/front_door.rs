//! One address for REST: passes every request on to a region's API that answers.

use super::context::Context;
use crate::up::addresses::loopback;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

const BODY_BYTES_MAX: usize = 1 << 20;
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// A region that is there begins to answer within this time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const BIND_PAUSE: Duration = Duration::from_millis(500);

type Body = BoxBody<Bytes, hyper::Error>;

struct Door {
    targets: Vec<String>,
    preferred: AtomicUsize,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// Serves until the process ends.
pub(super) async fn serve(context: Context) {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let door = Arc::new(Door {
        targets: context.platform.addresses.regions.iter().map(|ports| loopback(ports.rest).to_string()).collect(),
        preferred: AtomicUsize::new(0),
        client: Client::builder(TokioExecutor::new()).build(connector),
    });
    let address = loopback(context.platform.addresses.rest);
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) => tracing::error!(%address, %error, "REST cannot be served; free its port"),
        }
        sleep(BIND_PAUSE).await;
    };
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(BIND_PAUSE).await;
            continue;
        };
        let door = door.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let door = door.clone();
                async move { Ok::<_, Infallible>(door.answer(request).await) }
            });
            let http = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!(error, "REST connection");
            }
        });
    }
}

impl Door {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = match timeout(BODY_TIMEOUT, Limited::new(body, BODY_BYTES_MAX).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => return problem(StatusCode::PAYLOAD_TOO_LARGE, "a request may have 1 MiB at most"),
            Err(_) => return problem(StatusCode::REQUEST_TIMEOUT, "the request came in too slowly"),
        };
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let (count, first) = (self.targets.len(), self.preferred.load(Ordering::Relaxed));
        for at in (0..count).map(|step| (first + step) % count) {
            let Ok(uri) = format!("http://{}{path}", self.targets[at]).parse::<Uri>() else { continue };
            let mut passed = Request::new(Full::new(body.clone()));
            *passed.method_mut() = parts.method.clone();
            *passed.headers_mut() = parts.headers.clone();
            passed.headers_mut().remove(HOST);
            *passed.uri_mut() = uri;
            match timeout(ANSWER_TIMEOUT, self.client.request(passed)).await {
                Ok(Ok(answer)) => {
                    self.preferred.store(at, Ordering::Relaxed);
                    return answer.map(BodyExt::boxed);
                }
                // A request that may have been taken is not sent a second time to somebody else.
                Ok(Err(error)) if error.is_connect() || parts.method.is_safe() => {}
                Ok(Err(error)) => return problem(StatusCode::BAD_GATEWAY, &error.to_string()),
                Err(_) if parts.method.is_safe() => {}
                Err(_) => return problem(StatusCode::GATEWAY_TIMEOUT, "the region did not answer in time"),
            }
        }
        problem(StatusCode::SERVICE_UNAVAILABLE, "no region answers; see `farshore region list`")
    }
}

/// A problem document (RFC 9457).
fn problem(status: StatusCode, detail: &str) -> Response<Body> {
    let document = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": detail,
    });
    let body = Full::new(Bytes::from(document.to_string())).map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}
