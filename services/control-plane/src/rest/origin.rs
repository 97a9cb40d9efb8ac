//! Keeps other people's web pages from changing anything.
//!
//! As long as nobody has to say who he is, REST listens on loopback only; but a browser on this machine would let any
//! page it shows send requests there. So changes are taken from pages of the API's own origin only. Programs that are no
//! browsers send neither header.

use super::refused::Refused;
use ::api::ErrorCode;
use axum::extract::Request;
use axum::http::header::ORIGIN;
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;

/// Refuses changes that a foreign page asks for.
pub(super) async fn check(request: Request, next: Next) -> Response {
    if request.method().is_safe() || is_ours(request.headers()) {
        return next.run(request).await;
    }
    let what = "a web page from elsewhere may change nothing here; open the console or /swagger-ui of this address";
    Refused::new(ErrorCode::InvalidRequest, what).into_response()
}

fn is_ours(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let is_same = matches!(site, None | Some(b"same-origin" | b"none"));
    // A foreign name that was made to point here would look like the same origin.
    is_same && headers.get(ORIGIN).is_none_or(|origin| origin.to_str().is_ok_and(is_loopback))
}

fn is_loopback(origin: &str) -> bool {
    let uri = origin.parse::<Uri>().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(site: Option<&str>, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        let mut put = |name: &'static str, value: Option<&str>| {
            if let Some(value) = value {
                headers.insert(name, value.parse().unwrap());
            }
        };
        put("sec-fetch-site", site);
        put("origin", origin);
        is_ours(&headers)
    }

    #[test]
    fn pages_from_elsewhere_change_nothing() {
        assert!(ours(None, None), "no browser");
        assert!(ours(Some("same-origin"), Some("http://127.0.0.1:8080")));
        assert!(ours(Some("same-origin"), Some("http://localhost:8080")));
        assert!(ours(None, Some("http://[::1]:8080")));
        assert!(!ours(Some("cross-site"), Some("http://127.0.0.1:8080")));
        assert!(!ours(Some("same-site"), None));
        assert!(!ours(Some("same-origin"), Some("http://rebound.example:8080")));
        assert!(!ours(None, Some("null")));
    }
}
