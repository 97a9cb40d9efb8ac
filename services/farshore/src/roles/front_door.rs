//! One address for REST: passes every request on to a region's API that answers.

use super::context::Context;
use crate::up::addresses::loopback;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const BODY_BYTES_MAX: usize = 1 << 20;
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Most answers begin within this time; later another region is asked too, where that changes nothing.
const QUICK: Duration = Duration::from_secs(1);
/// A region that is there begins to answer within this time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const BIND_PAUSE: Duration = Duration::from_millis(500);

type Body = BoxBody<Bytes, hyper::Error>;

struct Door {
    targets: Vec<Authority>,
    preferred: AtomicUsize,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// Serves until the process ends.
pub(super) async fn serve(context: Context) {
    let targets = context.platform.addresses.regions.iter().map(|ports| context.reached(ports.rest));
    let door = Arc::new(Door::to(targets));
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
    fn to(targets: impl Iterator<Item = SocketAddr>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let authority = |target: SocketAddr| target.to_string().parse().expect("an address is an authority");
        Self {
            targets: targets.map(authority).collect(),
            preferred: AtomicUsize::new(0),
            client: Client::builder(TokioExecutor::new()).build(connector),
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = match timeout(BODY_TIMEOUT, Limited::new(body, BODY_BYTES_MAX).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => return problem(StatusCode::PAYLOAD_TOO_LARGE, "a request may have 1 MiB at most"),
            Err(_) => return problem(StatusCode::REQUEST_TIMEOUT, "the request came in too slowly"),
        };
        if parts.method.is_safe() { self.ask_around(&parts, body).await } else { self.order(&parts, body).await }
    }

    /// The regions' APIs, the one that answered last first.
    fn in_turn(&self) -> impl Iterator<Item = usize> + use<> {
        let (count, first) = (self.targets.len(), self.preferred.load(Ordering::Relaxed));
        (0..count).map(move |step| (first + step) % count)
    }

    /// Asks one region, and where it is not quick, or says nothing, another one too: the first answer counts.
    async fn ask_around(&self, parts: &Parts, body: Bytes) -> Response<Body> {
        let (mut others, mut asked) = (self.in_turn().peekable(), JoinSet::new());
        loop {
            if let Some(at) = others.next() {
                let asking = self.pass(at, parts, body.clone());
                asked.spawn(async move { (at, asking.await) });
            }
            let patience = if others.peek().is_some() { QUICK } else { ANSWER_TIMEOUT };
            match timeout(patience, asked.join_next()).await {
                Ok(Some(Ok((at, Ok(answer))))) => return self.answered(at, answer),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) if others.peek().is_some() => {}
                Ok(None) | Err(_) => return nobody(),
            }
        }
    }

    /// Has one region do it. What may have been taken is not sent a second time to somebody else.
    async fn order(&self, parts: &Parts, body: Bytes) -> Response<Body> {
        for at in self.in_turn() {
            match timeout(ANSWER_TIMEOUT, self.pass(at, parts, body.clone())).await {
                Ok(Ok(answer)) => return self.answered(at, answer),
                Ok(Err(error)) if error.is_connect() => {}
                Ok(Err(error)) => return problem(StatusCode::BAD_GATEWAY, &error.to_string()),
                Err(_) => {
                    self.preferred.store((at + 1) % self.targets.len(), Ordering::Relaxed);
                    return problem(StatusCode::GATEWAY_TIMEOUT, "the region did not answer in time");
                }
            }
        }
        nobody()
    }

    fn answered(&self, at: usize, answer: Response<Incoming>) -> Response<Body> {
        self.preferred.store(at, Ordering::Relaxed);
        answer.map(BodyExt::boxed)
    }

    fn pass(&self, at: usize, parts: &Parts, body: Bytes) -> ResponseFuture {
        let mut passed = Request::new(Full::new(body));
        *passed.method_mut() = parts.method.clone();
        *passed.headers_mut() = parts.headers.clone();
        passed.headers_mut().remove(HOST);
        let mut uri = parts.uri.clone().into_parts();
        uri.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
        (uri.scheme, uri.authority) = (Some(Scheme::HTTP), Some(self.targets[at].clone()));
        *passed.uri_mut() = Uri::from_parts(uri).expect("it has a scheme, an authority and a path");
        self.client.request(passed)
    }
}

fn nobody() -> Response<Body> {
    problem(StatusCode::SERVICE_UNAVAILABLE, "no region answers; see `farshore region list`")
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn listen() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    fn asked(method: &str) -> Parts {
        Request::builder().method(method).uri("/v1/regions?limit=1").body(()).unwrap().into_parts().0
    }

    #[tokio::test]
    async fn a_region_that_stands_still_keeps_nobody_from_an_answer() {
        let ((_stands_still, first), (listener, second)) = (listen().await, listen().await);
        let answering = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 1024];
            let read = stream.read(&mut request).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await.unwrap();
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        let door = Door::to([first, second].into_iter());
        let answer = timeout(ANSWER_TIMEOUT, door.ask_around(&asked("GET"), Bytes::new())).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(answering.await.unwrap().starts_with("GET /v1/regions?limit=1 HTTP/1.1\r\n"));
        assert_eq!(door.in_turn().next(), Some(1), "it is asked first from now on");
    }

    #[tokio::test]
    async fn where_nobody_listens_that_is_said() {
        let addresses = [listen().await.1, listen().await.1];
        let door = Door::to(addresses.into_iter());
        for method in ["GET", "POST"] {
            let parts = asked(method);
            let answer = match method {
                "GET" => door.ask_around(&parts, Bytes::new()).await,
                _ => door.order(&parts, Bytes::new()).await,
            };
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{method}");
        }
    }
}
